"""What operators, balancers and build servers ask."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

from metro_backend.demo.faults import Hang, Status
from tests.doubles.app import AppTestCase, Reply
from tests.doubles.world import PROJECT, RELEASES

BASIC = "Basic " + base64.b64encode(b"admin:s3cret").decode()


class AdminTests(AppTestCase):
    """``/api/admin``."""

    environ = {"admin": "true", "admin_password": "s3cret"}

    def flush(self, method: str = "GET", query: str = "", authorization: str = BASIC) -> Reply:
        """Demand a refresh."""
        path = f"/api/admin/flush{query}"
        return self.ask(method, path, passing=1.25, Authorization=authorization)

    def test_flush(self) -> None:
        """A flush, by GET or POST, answers with the new list."""
        self.app.start()
        for method in ("GET", "POST"):
            build = self.world.stand_in.jenkins.job("master").add_build("x")
            reply = self.flush(method)
            value = json.loads(reply.body)
            self.assertEqual((reply.code, value["status"]), (200, "success"))
            self.assertEqual(value["branches"]["master"]["build"], str(build.number))
            self.assertTrue(value["branches"]["master"]["url"].startswith("http://127.0.0.1"))

    def test_failed_flush(self) -> None:
        """A flush that fails says which source did, and the old list stays."""
        self.app.start()
        before = self.ask("GET", "/api/v1/branches.php").body
        self.world.stand_in.faults.set(RELEASES, Status(500))
        reply = self.flush()
        value = json.loads(reply.body)
        self.assertEqual((reply.code, value["status"]), (502, "failed"))
        self.assertEqual(list(value["failures"]), ["github"])
        self.assertEqual(self.ask("GET", "/api/v1/branches.php").body, before)

    def test_reset(self) -> None:
        """A branch's number goes down only for an admin who says so."""
        self.app.start()
        job = self.world.stand_in.jenkins.job("master")
        job.builds.clear()
        job.add_build("x")
        self.assertEqual(json.loads(self.flush().body)["branches"]["master"]["build"], "438")
        value = json.loads(self.flush(query="?reset=master").body)
        self.assertEqual(value["branches"]["master"]["build"], "1")

    def test_credentials(self) -> None:
        """Without the right credentials nothing happens, and the browser is asked for them."""
        self.app.start()
        self.world.stand_in.forget()
        wrong = [
            "Basic " + base64.b64encode(pair).decode()
            for pair in (b"admin:no", b"root:s3cret", b"admin", b"\xff:\xff")
        ]
        for authorization in ("", "Basic", "Basic !", "Bearer s3cret", *wrong):
            for path in ("/api/admin/flush", "/api/admin/status"):
                reply = self.ask("GET", path, Authorization=authorization)
                self.assertEqual(reply.code, 401, authorization)
                self.assertEqual(reply.header("WWW-Authenticate"), 'Basic realm="Login Required"')
                self.assertIsNone(reply.header("Access-Control-Allow-Origin"))
        self.assertEqual(self.world.stand_in.count(), 0)

    def test_status(self) -> None:
        """The status explains each branch, those that are left out as well."""
        self.app.start()
        reply = self.ask("GET", "/api/admin/status", Authorization=BASIC)
        value = json.loads(reply.body)
        self.assertEqual(value["branches"]["master"]["number"], 438)
        self.assertIn("disabled", value["branches"]["old"]["note"])
        self.assertIsNone(value["sources"]["github"]["error"])
        self.assertGreater(value["sources"]["github"]["next_refresh"], 0)


class NoAdminTests(AppTestCase):
    """With admin routes turned off."""

    def test_off(self) -> None:
        """They are not there."""
        self.app.start()
        for path in ("/api/admin/flush", "/api/admin/status", "/api/notify/github"):
            self.assertEqual(self.ask("POST", path).code, 404)


class NoticeTests(AppTestCase):
    """``/api/notify``."""

    environ = {"github_webhook_secret": "hush", "notify_token": "t0ken"}

    def github(self, event: str = "release", delivery: str = "1", secret: bytes = b"hush") -> Reply:
        """Send a webhook."""
        body = b'{"action":"published"}'
        mac = hmac.new(secret, body, hashlib.sha256).hexdigest()
        return self.ask(
            "POST",
            "/api/notify/github",
            body=body,
            X_Hub_Signature_256=f"sha256={mac}",
            X_GitHub_Event=event,
            X_GitHub_Delivery=delivery,
        )

    def calls(self, seconds: float = 2.5) -> tuple[int, int]:
        """Count the calls to GitHub and Jenkins once everything has settled."""
        self.app.pass_time(seconds)
        return self.world.stand_in.count(RELEASES), self.world.stand_in.count(PROJECT)

    def begin(self) -> None:
        """Start, and count calls from then on."""
        self.app.start()
        self.app.pass_time(2)
        self.world.stand_in.forget()

    def test_release(self) -> None:
        """A release is answered at once, and GitHub alone is asked."""
        self.begin()
        self.assertEqual(self.github().code, 202)
        self.assertEqual(self.calls(), (1, 0))

    def test_replay(self) -> None:
        """The same delivery sent again does nothing more."""
        self.begin()
        for _ in range(3):
            self.assertEqual(self.github().code, 202)
            self.app.pass_time(2)
        self.assertEqual(self.calls(), (1, 0))

    def test_burst(self) -> None:
        """Fifty notices in a second cause at most two refreshes."""
        self.begin()
        for number in range(50):
            self.github(delivery=str(number))
            self.app.pass_time(0.02)
        self.assertEqual(self.calls(5), (2, 0))

    def test_while_a_refresh_runs(self) -> None:
        """A notice that comes while a refresh runs is followed by another one."""
        self.begin()
        self.world.stand_in.faults.set(RELEASES, Hang(), times=1)
        self.github(delivery="1")
        self.app.pass_time(2)
        self.github(delivery="2")
        self.github(delivery="3")
        self.assertEqual(self.calls(15), (2, 0))

    def test_other_events(self) -> None:
        """A ping and everything else is taken and ignored."""
        self.begin()
        for event in ("ping", "push", ""):
            self.assertEqual(self.github(event).code, 202)
        self.assertEqual(self.calls(), (0, 0))

    def test_signature(self) -> None:
        """A notice that is not signed with the secret is refused."""
        self.begin()
        self.assertEqual(self.github(secret=b"wrong").code, 401)
        self.assertEqual(self.ask("POST", "/api/notify/github", body=b"{}").code, 401)
        self.assertEqual(self.calls(), (0, 0))

    def test_jenkins_branch(self) -> None:
        """A notice that names a branch costs calls for that branch alone."""
        self.begin()
        build = self.world.stand_in.jenkins.job("feature%2Fdns").add_build("x")
        body = json.dumps(
            {
                "name": "feature%2Fdns",
                "url": "job/mosmetro-android-pipeline/job/feature%252Fdns/",
                "build": {"number": build.number, "phase": "FINALIZED", "status": "SUCCESS"},
            }
        ).encode()
        reply = self.ask("POST", "/api/notify/jenkins?token=t0ken", body=body)
        self.assertEqual(reply.code, 202)
        github, jenkins = self.calls()
        self.assertEqual(github, 0)
        self.assertEqual(jenkins, self.world.stand_in.count(f"{PROJECT}/job/feature%252Fdns/"))
        value = json.loads(self.ask("GET", "/api/v1/branches.php").body)
        self.assertEqual(value["feature%2Fdns"]["build"], str(build.number))

    def test_jenkins_without_body(self) -> None:
        """A bare notice, or one in a form nobody knows, refreshes all of Jenkins."""
        for body in (b"", b"[]", b"{}", b"\xff", b'{"build":7}'):
            self.setUp()
            self.begin()
            reply = self.ask("POST", "/api/notify/jenkins", body=body, Authorization="Bearer t0ken")
            self.assertEqual(reply.code, 202)
            self.assertEqual(self.calls()[0], 0)
            self.assertEqual(self.world.stand_in.count(f"{PROJECT}/api/json"), 1)

    def test_jenkins_branch_that_is_no_text(self) -> None:
        """A lone surrogate in a name is left out of the answer."""
        self.begin()
        body = b'{"url":"job/p/job/\\ud800/","build":{}}'
        reply = self.ask("POST", "/api/notify/jenkins?token=t0ken", body=body)
        self.assertEqual(reply.code, 202)

    def test_jenkins_no_news(self) -> None:
        """A build that only starts, or that failed, is no news."""
        self.begin()
        for build in ({"phase": "STARTED"}, {"phase": "COMPLETED", "status": "FAILURE"}):
            body = json.dumps({"build": build}).encode()
            self.assertEqual(
                self.ask("POST", "/api/notify/jenkins?token=t0ken", body=body).code, 202
            )
        self.assertEqual(self.calls(), (0, 0))

    def test_jenkins_token(self) -> None:
        """A wrong token, or none, is refused."""
        self.begin()
        for query in ("", "?token=", "?token=no"):
            self.assertEqual(self.ask("POST", f"/api/notify/jenkins{query}").code, 401)
        self.assertEqual(self.calls(), (0, 0))


class HealthTests(AppTestCase):
    """``/healthz``, ``/readyz`` and ``/``."""

    def test_cold(self) -> None:
        """A process without a list is alive and not ready, and its page says so."""
        self.world.stand_in.faults.set("/", Hang())
        self.app.start()
        self.assertEqual(self.ask("GET", "/healthz").code, 200)
        self.assertEqual(self.ask("GET", "/readyz").code, 503)
        self.assertEqual(self.ask("GET", "/?healthcheck", passing=1.5).code, 200)

    def test_warm(self) -> None:
        """With a list it is ready, until it drains."""
        self.app.start()
        self.assertEqual(self.ask("GET", "/readyz").code, 200)
        self.app.draining = True
        self.assertEqual(self.ask("GET", "/readyz").code, 503)
        self.assertEqual(self.ask("GET", "/healthz").code, 200)


class PagesTests(AppTestCase):
    """The pages for people."""

    def test_languages(self) -> None:
        """The page is in the language that was asked for, Russian by default."""
        self.app.start()
        for headers, query, language in (
            ({}, "", "ru"),
            ({"Accept-Language": "ru-RU,ru;q=0.9,en"}, "", "ru"),
            ({"Accept-Language": "de"}, "", "en"),
            ({"Accept-Language": "de"}, "?lang=ru", "ru"),
            ({}, "?lang=en", "en"),
            ({}, "?lang=%3Cscript%3E", "ru"),
        ):
            reply = self.ask("GET", f"/{query}", headers=headers)
            self.assertEqual(reply.header("Content-Language"), language)
            self.assertIn(f'<html lang="{language}">'.encode(), reply.body)

    def test_escaped(self) -> None:
        """A commit message stays text, and no script could run anyway."""
        self.world.stand_in.jenkins.job("master").add_build("<script>alert(1)</script>")
        self.app.start()
        reply = self.ask("GET", "/")
        self.assertNotIn(b"<script", reply.body)
        self.assertIn(b"&lt;script&gt;", reply.body)
        self.assertIn("default-src 'none'", reply.header("Content-Security-Policy") or "")

    def test_releases(self) -> None:
        """The mirror's list is a page for people and JSON for programs."""
        self.app.start()
        self.assertIn(b"MosMetro-play-v77.apk", self.ask("GET", "/releases/").body)
        value = json.loads(self.ask("GET", "/releases/", Accept="application/json").body)
        names = {file["name"] for file in value["files"]}
        self.assertIn("MosMetro-master-b438.apk", names)
