"""``/api/v2`` and ``/api/v3``."""

from __future__ import annotations

import json

from metro_backend.demo.faults import Status
from tests.doubles.app import HOST, AppTestCase
from tests.doubles.world import RELEASES


class BranchesTests(AppTestCase):
    """The list for new clients."""

    def test_shape(self) -> None:
        """Numbers are numbers here, and each branch tells where its file is."""
        self.app.start()
        value = json.loads(self.ask("GET", "/api/v2/branches").body)
        self.assertEqual(set(value), {"updated_at", "sources", "branches"})
        master = value["branches"]["master"]
        self.assertEqual((master["build"], master["version"]), (438, 0))
        self.assertIs(master["by_build"], True)
        self.assertEqual(master["urls"][0], f"{HOST}/releases/MosMetro-master-b438.apk")
        self.assertEqual(len(master["urls"]), 2)

    def test_digest_once_known(self) -> None:
        """Size and SHA-256 are told as soon as the file is here, with another ETag."""
        self.app.start()
        before = self.ask("GET", "/api/v2/branches")
        file = self.ask("GET", "/releases/MosMetro-master-b438.apk").body
        after = self.ask("GET", "/api/v2/branches")
        master = json.loads(after.body)["branches"]["master"]
        self.assertEqual(master["size"], len(file))
        self.assertEqual(len(master["sha256"]), 64)
        self.assertNotEqual(before.header("ETag"), after.header("ETag"))

    def test_failing_source(self) -> None:
        """A source that fails is named, and keeps its branches."""
        self.app.start()
        self.world.stand_in.faults.set(RELEASES, Status(500))
        self.app.catalogue.refresh()
        self.app.pass_time(2)
        value = json.loads(self.ask("GET", "/api/v2/branches").body)
        self.assertIn("500", value["sources"]["github"]["error"])
        self.assertIsNone(value["sources"]["jenkins"]["error"])
        self.assertIn("play", value["branches"])


class DownloadTests(AppTestCase):
    """``/api/v2/download/NAME``."""

    def test_names(self) -> None:
        """A branch is found by its key and by its decoded name."""
        self.app.start()
        bodies = {
            self.ask("GET", f"/api/v2/download/{name}?uuid=x").body
            for name in ("feature%252Fdns", "feature%2Fdns", "feature/dns")
        }
        self.assertEqual(len(bodies), 1)
        self.assertEqual(self.ask("GET", "/api/v2/download/nothing").code, 404)

    def test_head(self) -> None:
        """HEAD tells length and ETag."""
        self.app.start()
        get, head = (self.ask(method, "/api/v2/download/play") for method in ("GET", "HEAD"))
        self.assertEqual(head.header("ETag"), get.header("ETag"))
        self.assertEqual(head.header("Content-Length"), str(len(get.body)))
        self.assertEqual(head.body, b"")

    def test_counted_once(self) -> None:
        """A download counts at its first byte; HEAD and a resumed range do not."""
        self.app.start()
        self.ask("GET", "/api/v2/download/play")
        self.ask("HEAD", "/api/v2/download/play")
        self.ask("GET", "/api/v2/download/play", Range="bytes=1000-")
        self.assertEqual(self.app.counters()["update.play.77"], 1)


class StatsTests(AppTestCase):
    """Reports."""

    FORM = (
        b"?duration=5&version_code=77&version_name=2.3.2&build_branch=play&success=true"
        b"&provider=MosMetroV2"
    )
    QUEUE = json.dumps(
        {
            "uuid": "6f1c7c1e-6a3e-4d1c-9b0e-0f2f6d7f4a11",
            "events": [
                {
                    "timestamp": 1667850000,
                    "version": {"branch": "master", "build": 438, "name": "2.3.2", "code": 77},
                    "result": {"provider": "MosMetroV2", "success": True, "error": False},
                }
            ],
        }
    ).encode()

    def test_crossings(self) -> None:
        """Each form is taken by the other's route, and counted."""
        self.app.start()
        for path in ("/api/v2/stats", "/api/v3/stats"):
            reply = self.ask("POST", path, body=self.FORM)
            self.assertEqual((reply.code, reply.body), (200, b""))
        self.ask("POST", "/api/v2/stats", body=self.QUEUE)
        self.app.pass_time(0.1)
        self.assertEqual(self.app.counters()["success.true"], 3)

    def test_queue_sent_again(self) -> None:
        """A queue whose answer was lost counts once."""
        self.app.start()
        for _ in range(3):
            self.assertEqual(self.ask("POST", "/api/v3/stats", body=self.QUEUE).code, 200)
            self.app.pass_time(0.1)
        self.assertEqual(self.app.counters()["success.true"], 1)

    def test_nonsense(self) -> None:
        """Whatever comes is answered 200."""
        self.app.start()
        for body in (
            b"",
            b"{",
            b"[]",
            b"\xff\xfe",
            b'{"events":[null,1]}',
            b"[" * 5000,
            b"a=1&" * 9,
        ):
            for path in ("/api/v2/stats", "/api/v3/stats", "/api/v1/statistics.php"):
                self.assertEqual(self.ask("POST", path, body=body).code, 200)
