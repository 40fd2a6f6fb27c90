"""``/api/v1``: what the installed phones ask."""

from __future__ import annotations

import json

from metro_backend.demo.faults import Hang
from tests.doubles.app import HOST, App, AppTestCase

BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"


class BranchesTests(AppTestCase):
    """``branches.php``."""

    def test_types(self) -> None:
        """There are objects only at the top, with exactly the types that phones cast to."""
        self.app.start()
        for path in (
            "/api/v1/branches.php",
            "/api/v1/versions.php",
            "/mosmetro/api/v1/branches.php?uuid=x",
        ):
            reply = self.ask("GET", path)
            self.assertEqual(reply.code, 200)
            self.assertEqual(reply.header("Content-Type"), "application/json")
            branches = json.loads(reply.body)
            self.assertLessEqual({"play", "master"}, set(branches))
            for name, branch in branches.items():
                self.assertEqual(branch["name"], name)
                self.assertRegex(branch["version"], r"\A[0-9]+\Z")
                self.assertRegex(branch["build"], r"\A[0-9]+\Z")
                self.assertIn(branch["by_build"], ("0", "1"))
                self.assertIsInstance(branch["stable"], bool)
                self.assertIsInstance(branch["message"], str)
                self.assertIsInstance(branch["description"], (str, type(None)))

    def test_form(self) -> None:
        """The bytes are ASCII, compact, and their keys sorted, as they have been since 2017."""
        self.app.start()
        body = self.ask("GET", "/api/v1/branches.php").body
        value = json.loads(body)
        again = json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")
        self.assertEqual(body, again)

    def test_links(self) -> None:
        """Links lead where the request came from, below the same prefix."""
        self.app.start()
        branches = json.loads(self.ask("GET", "/mosmetro/api/v1/branches.php").body)
        self.assertEqual(
            branches["play"]["url"], f"{HOST}/mosmetro/api/v1/download.php?branch=play"
        )
        self.assertEqual(
            branches["play"]["cached_url"], f"{HOST}/mosmetro/releases/MosMetro-play-v77.apk"
        )
        self.assertTrue(branches["feature%2Fdns"]["url"].endswith("?branch=feature%252Fdns"))

    def test_unmodified(self) -> None:
        """A client that has the list already gets 304 and no body."""
        self.app.start()
        first = self.ask("GET", "/api/v1/branches.php")
        tag = first.header("ETag")
        assert tag is not None
        again = self.ask("GET", "/api/v1/branches.php", If_None_Match=tag)
        self.assertEqual((again.code, again.body), (304, b""))
        self.assertEqual(again.header("ETag"), tag)

    def test_age(self) -> None:
        """The headers tell how old the list is."""
        self.app.start()
        self.app.pass_time(100)
        self.assertEqual(self.ask("GET", "/api/v1/branches.php").header("Age"), "100")
        self.assertIsNotNone(self.ask("GET", "/api/v1/branches.php").header("Last-Modified"))

    def test_known_among_others(self) -> None:
        """The ETag is found in a list, and as a weak one (RFC 9110 §13.1.2)."""
        self.app.start()
        tag = self.ask("GET", "/api/v1/branches.php").header("ETag")
        for value in (f"W/{tag}", f'"x", {tag}', f'{tag}, "y"', "*"):
            reply = self.ask("GET", "/api/v1/branches.php", If_None_Match=value)
            self.assertEqual((reply.code, reply.body), (304, b""), value)
        self.assertEqual(self.ask("GET", "/api/v1/branches.php", If_None_Match='"x"').code, 200)

    def test_head(self) -> None:
        """HEAD has the same headers and no body."""
        self.app.start()
        get, head = (self.ask(method, "/api/v1/branches.php") for method in ("GET", "HEAD"))
        self.assertEqual(head.header("Content-Length"), str(len(get.body)))
        self.assertEqual(head.body, b"")

    def test_cold(self) -> None:
        """Without any list yet the answer is 503 with a time to come again."""
        self.world.stand_in.faults.set("/", Hang())
        self.app.start()
        reply = self.ask("GET", "/api/v1/branches.php", passing=1.5)
        self.assertEqual(reply.code, 503)
        self.assertIsNotNone(reply.header("Retry-After"))

    def test_waiting_for_the_first_list(self) -> None:
        """A question that comes just before the first list is answered with it."""
        self.app.mirror.service.startService()
        self.app.metrics.service.startService()
        self.app.catalogue.startService()
        self.assertEqual(self.ask("GET", "/api/v1/branches.php", passing=0.5).code, 200)

    def test_counted(self) -> None:
        """A question is an update check."""
        self.app.start()
        self.ask("GET", "/api/v1/branches.php")
        self.ask("HEAD", "/api/v1/branches.php")
        self.assertEqual(self.app.counters()["update_check"], 1)


class PublicAddressTests(AppTestCase):
    """With a configured address."""

    environ = {"public_url": "https://mosmetro.example/base"}

    def test_links(self) -> None:
        """Links have the configured base, whatever the request says."""
        self.app.start()
        branches = json.loads(self.ask("GET", "/api/v1/branches.php").body)
        self.assertTrue(branches["play"]["url"].startswith("https://mosmetro.example/base/api/v1/"))
        page = self.ask("GET", "/api/v1/download.php?branch=play", Accept=BROWSER).body
        self.assertIn(b'"https://mosmetro.example/base/releases/MosMetro-play-v77.apk"', page)


class DownloadTests(AppTestCase):
    """``download.php``."""

    def test_browser(self) -> None:
        """A browser gets a page that leads to a name ending in .apk."""
        self.app.start()
        reply = self.ask("GET", "/api/v1/download.php?branch=play", Accept=BROWSER)
        self.assertEqual((reply.code, reply.header("Cache-Control")), (200, "no-store"))
        self.assertEqual(reply.header("Content-Type"), "text/html; charset=utf-8")
        self.assertIn(b'window.location.replace("/releases/MosMetro-play-v77.apk")', reply.body)
        self.assertIn(b'href="/releases/MosMetro-play-v77.apk"', reply.body)

    def test_page_below_the_prefix(self) -> None:
        """The page keeps the prefix that it was asked below."""
        self.app.start()
        reply = self.ask("GET", "/mosmetro/api/v1/download.php?branch=play", Accept=BROWSER)
        self.assertIn(b'href="/mosmetro/releases/', reply.body)

    def test_download_manager(self) -> None:
        """A download manager gets the file itself, whatever it accepts."""
        self.app.start()
        for headers in (
            {"User-Agent": "AndroidDownloadManager/5.1"},
            {"User-Agent": "Dalvik/1.6.0", "Accept": BROWSER},
            {"User-Agent": "Mozilla/5.0 AndroidDownloadManager", "Accept": BROWSER},
        ):
            reply = self.ask("GET", "/api/v1/download.php?branch=play", headers=headers)
            self.assertEqual(reply.code, 200)
            self.assertEqual(
                reply.header("Content-Type"), "application/vnd.android.package-archive"
            )
            self.assertEqual(reply.body[:4], b"PK\x03\x04")
            self.assertEqual(reply.header("Content-Length"), str(len(reply.body)))

    def test_unknown(self) -> None:
        """An unknown or missing branch is 404."""
        self.app.start()
        for query in ("", "?branch=", "?branch=no", "?module=no", "?branch=old"):
            self.assertEqual(self.ask("GET", f"/api/v1/download.php{query}").code, 404)

    def test_module(self) -> None:
        """The captcha module's newest stable release is served like a branch."""
        self.app.start()
        query = "/api/v1/download.php?module=captcha_recognition"
        page = self.ask("GET", query, Accept=BROWSER)
        self.assertEqual(page.code, 200)
        path = page.body.split(b'href="')[1].split(b'"')[0].decode()
        direct, mirrored = self.ask("GET", query), self.ask("GET", path)
        self.assertEqual(direct.body[:4], b"PK\x03\x04")
        self.assertEqual(direct.body, mirrored.body)
        self.assertEqual(direct.header("ETag"), mirrored.header("ETag"))

    def test_module_away(self) -> None:
        """While GitHub does not answer, the module is 503 and nobody waits for long."""
        self.app.start()
        self.world.stand_in.faults.set("/repos/", Hang())
        reply = self.ask("GET", "/api/v1/download.php?module=captcha_recognition", passing=1.5)
        self.assertEqual(reply.code, 503)


class NoModuleTests(AppTestCase):
    """With the module turned off."""

    environ = {"github_module_repo": ""}

    def test_off(self) -> None:
        """The module is 404."""
        self.app.start()
        self.assertEqual(
            self.ask("GET", "/api/v1/download.php?module=captcha_recognition").code, 404
        )


class StatisticsTests(AppTestCase):
    """``statistics.php``."""

    def test_report(self) -> None:
        """A report is answered at once with an empty page, and counted."""
        self.app.start()
        reply = self.ask(
            "POST", "/api/v1/statistics.php", body=b"version=1.7.2-57&success=true&p=MosMetroV2"
        )
        self.assertEqual((reply.code, reply.body), (200, b""))
        self.assertEqual(reply.header("Content-Type"), "text/html; charset=utf-8")
        counters = self.app.counters()
        self.assertEqual(counters["success.true"], 1)
        self.assertEqual(counters["provider.MosMetroV2"], 1)
        self.assertEqual(counters["version.code.57"], 1)

    def test_wrong_method(self) -> None:
        """GET is refused, and told what is allowed."""
        reply = self.ask("GET", "/api/v1/statistics.php")
        self.assertEqual(reply.code, 405)
        self.assertEqual(reply.header("Allow"), "OPTIONS, POST")


class RestartTests(AppTestCase):
    """A second start on the same disk."""

    def test_list_and_files(self) -> None:
        """With the upstream dead, the list and the files that were kept are still served."""
        self.app.start()
        before = self.ask("GET", "/api/v1/branches.php").body
        build = self.ask("GET", "/releases/MosMetro-play-v77.apk")
        self.app.stop()
        self.world.stand_in.faults.set("/", Hang())
        self.app = App(self.world)
        self.app.start()
        self.assertEqual(self.ask("GET", "/api/v1/branches.php").body, before)
        again = self.ask("GET", "/releases/MosMetro-play-v77.apk")
        self.assertEqual(again.body, build.body)
        self.assertEqual(again.header("ETag"), build.header("ETag"))
