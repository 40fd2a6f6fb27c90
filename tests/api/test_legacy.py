"""The routes of the first back end."""

from __future__ import annotations

import re

from metro_backend.demo.faults import Hang
from tests.doubles.app import HOST, AppTestCase
from tests.doubles.phones.reports import CHECK_KEY


class CheckTests(AppTestCase):
    """``check.php``."""

    def test_key(self) -> None:
        """The key is there by GET and POST, at both roots, with every upstream dead."""
        self.world.stand_in.faults.set("/", Hang())
        self.app.start()
        for path in ("/check.php", "/mosmetro/check.php"):
            for method in ("GET", "POST"):
                reply = self.ask(
                    method, path, body=b"version=1.0-5&TRUE" if method == "POST" else b""
                )
                self.assertEqual((reply.code, reply.body), (200, CHECK_KEY + b"<br>"))
                self.assertEqual(reply.header("Content-Type"), "text/html; charset=utf-8")
                self.assertEqual(reply.header("Cache-Control"), "no-store")
                self.assertIsNone(reply.header("Location"))
                self.assertIsNone(reply.header("Set-Cookie"))

    def test_counted(self) -> None:
        """The report that comes along is counted, from the body or from the query."""
        self.app.start()
        self.ask("POST", "/check.php", body=b"version=1.6-29&connected=1")
        self.ask("GET", "/check.php?version=1.6-29&connected=1")
        self.assertEqual(self.app.counters()["version.code.29"], 2)


class UpdateTests(AppTestCase):
    """``update.php``."""

    def test_form(self) -> None:
        """The list is on one line per message, whose newlines arrive as <br />."""
        self.app.start()
        reply = self.ask("GET", "/mosmetro/update.php")
        text = reply.body.decode()
        self.assertEqual(reply.header("Content-Type"), "text/html; charset=utf-8")
        self.assertTrue(text.startswith("<branch id="))
        self.assertNotIn("> <", text)
        self.assertIn("Сборка master-#438:<br />", text)
        # No newline of a message is bare: those would be read as spaces.
        self.assertEqual(re.findall(r"(?<!<br />\r)\n", text), [])
        self.assertIn(f"{HOST}/mosmetro/update.php?download=play", text)

    def test_branches(self) -> None:
        """There is every published branch once, and beta although it is not published."""
        self.app.start()
        text = self.ask("GET", "/update.php").body.decode()
        names = re.findall(r'<branch id="([^"]+)">', text)
        self.assertEqual(len(names), len(set(names)))
        self.assertLessEqual({"play", "beta", "master"}, set(names))

    def test_download(self) -> None:
        """A branch's file is given; an unknown one is 404 and empty."""
        self.app.start()
        reply = self.ask("GET", "/update.php?download=beta")
        self.assertEqual(reply.body[:4], b"PK\x03\x04")
        self.assertIn("MosMetro-beta-v78.apk", reply.header("Content-Disposition") or "")
        unknown = self.ask("GET", "/update.php?download=no")
        self.assertEqual((unknown.code, unknown.body), (404, b""))

    def test_beta_that_is_play(self) -> None:
        """Where nothing is newer than play, beta is the same upload under its own name."""
        releases = self.world.stand_in.github.releases
        releases[:] = [each for each in releases if each.tag != "78"]
        self.app.start()
        play = self.ask("GET", "/update.php?download=play")
        beta = self.ask("GET", "/update.php?download=beta")
        self.assertEqual(beta.body, play.body)
        self.assertIn("MosMetro-beta-v77.apk", beta.header("Content-Disposition") or "")
        self.assertIn("MosMetro-play-v77.apk", play.header("Content-Disposition") or "")
        counters = self.app.counters()
        self.assertEqual((counters["update.beta.77"], counters["update.play.77"]), (1, 1))
        self.world.stand_in.github.add_release("90")
        self.app.catalogue.refresh()
        self.app.pass_time(2)
        for name in ("beta", "play"):
            self.assertEqual(self.ask("GET", f"/releases/MosMetro-{name}-v77.apk").code, 200)

    def test_debug_is_gone(self) -> None:
        """The old dump of the server's insides is not restored."""
        self.app.start()
        plain, debug = (self.ask("GET", f"/update.php{query}").body for query in ("", "?debug=1"))
        self.assertEqual(plain, debug)


class DiscardTests(AppTestCase):
    """What holds users' data is taken and not kept."""

    def test_discarded(self) -> None:
        """Logs and crash reports are answered 200, up to 1 MB."""
        self.app.start()
        for path in ("/report.php", "/send", "/acra/send"):
            reply = self.ask("POST", path, body=b"log=" + b"x" * 1_000_000)
            self.assertEqual((reply.code, reply.body), (200, b""))
        self.assertEqual(self.app.counters()["report.discarded"], 3)
