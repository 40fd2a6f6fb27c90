"""The Dockerfile's own steps, and a container of what they make."""

from __future__ import annotations

import hashlib
import time

from twisted.trial.unittest import SynchronousTestCase

from e2e.command import wait_for
from e2e.docker_engine import Engine
from e2e.http_client import Door
from e2e.images import SERVER, data_root
from e2e.namespace import Namespace

LIMIT = 200_000_000
"""Bytes that the image may have, its base with it."""


class ImageTests(SynchronousTestCase):
    """The image of the server."""

    def setUp(self) -> None:
        """Start an engine with the image in it."""
        data = data_root()
        self.namespace = Namespace()
        self.addCleanup(self.namespace.close)
        self.engine = Engine(data, self.namespace)
        self.addCleanup(self.engine.close)

    def start(self, *options: str) -> Door:
        """Start a server that shows the demonstration, hardened as compose does it."""
        self.engine(
            "run", "--detach", "--name", "server", "--read-only", "--tmpfs", "/tmp",
            "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
            "--health-interval", "1s", *options, SERVER, "--demo",
        )  # fmt: skip
        self.engine.wait_healthy("server")
        door = Door(self.namespace, self.engine.address("server"), 8000)
        wait_for("a list of branches", door.ready)
        return door

    def test_labels_size_and_command(self) -> None:
        """The image says what it is, is small, and starts without a shell as an ordinary user."""
        image = self.engine.inspect(SERVER)
        labels = image["Config"]["Labels"]
        self.assertEqual(labels["org.opencontainers.image.version"], "e2e")
        self.assertEqual(labels["org.opencontainers.image.revision"], "0123456")
        self.assertLess(image["Size"], LIMIT)
        self.assertEqual(image["Config"]["User"], "10001:10001")
        self.assertEqual(
            image["Config"]["Entrypoint"], ["twistd", "--nodaemon", "--pidfile=", "metro-backend"]
        )

    def test_container_serves_builds_read_only_and_unprivileged(self) -> None:
        """A container turns healthy, runs as a plain user on a read-only root, and has builds."""
        door = self.start()
        self.assertEqual(self.engine("exec", "server", "id", "-u"), "10001")
        processes = self.engine("exec", "server", "cat", "/proc/1/status")
        self.assertIn("CapEff:\t0000000000000000", processes)
        self.engine("exec", "server", "touch", "/opt/metro-backend/written", expect=1)
        self.engine("exec", "server", "touch", "/var/lib/metro-backend/written")
        branches = door.get("/api/v1/branches.php")
        self.assertEqual(branches.status, 200)
        build = door.get(_a_build(door))
        self.assertEqual(build.status, 200)
        self.assertEqual(build.body[:4], b"PK\x03\x04")
        log = self.engine("logs", "server")
        self.assertNotIn("plugin cache", log)

    def test_sigterm_lets_a_download_finish(self) -> None:
        """SIGTERM during a download: no new connection, the file arrives whole, and exit is 0."""
        door = self.start()
        path = _a_build(door)
        whole = door.get(path).body
        response = door.open(path, buffer=4096)
        begun = response.read(10_000)
        self.engine("kill", "--signal", "TERM", "server")
        wait_for("the port to be closed", lambda: _refused(door))
        self.assertEqual(self.engine.inspect("server")["State"]["Status"], "running")
        rest = []
        while piece := response.read(256 * 1024):
            rest.append(piece)
            time.sleep(0.05)
        arrived = begun + b"".join(rest)
        self.assertEqual(hashlib.sha256(arrived).digest(), hashlib.sha256(whole).digest())
        self.assertEqual(self.engine("wait", "server", timeout=30), "0")

    def test_state_survives_a_new_container(self) -> None:
        """A kill -9 and a new container on the same volume: the list is there at once."""
        door = self.start("--volume", "state:/var/lib/metro-backend")
        before = door.get("/api/v1/branches.php").body
        self.engine("kill", "server")
        self.engine("rm", "server")
        # No source answers this one.
        self.engine(
            "run", "--detach", "--name", "server", "--read-only",
            "--volume", "state:/var/lib/metro-backend",
            "--env", "MOSMETRO_STATE_DIR=/var/lib/metro-backend/demo",
            "--env", "MOSMETRO_GITHUB_API=http://127.0.0.1:9",
            "--env", "MOSMETRO_JENKINS_URL=http://127.0.0.1:9", SERVER,
        )  # fmt: skip
        door = Door(self.namespace, self.engine.address("server"), 8000)
        wait_for("a list of branches", door.ready)
        self.assertEqual(sorted(door.get("/api/v1/branches.php").json()), sorted(_names(before)))


def _names(body: bytes) -> list[str]:
    import json

    return list(json.loads(body))


def _a_build(door: Door) -> str:
    """Return the path of one of the builds in the list."""
    branches = door.get("/api/v2/branches").json()["branches"]
    return "/releases/" + str(branches["master"]["filename"])


def _refused(door: Door) -> bool:
    try:
        door.namespace.connect(door.host, door.port).close()
    except ConnectionRefusedError:
        return True
    return False
