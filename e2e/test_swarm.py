"""Updates and failures of several replicas, while phones go on asking."""

from __future__ import annotations

import shutil
import tempfile
from http.client import IncompleteRead
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from e2e.command import CommandFailed, wait_for
from e2e.docker_engine import Engine
from e2e.images import SERVER, build, data_root_with_services
from e2e.load import Load
from e2e.namespace import Namespace
from e2e.sources import URL, Sources
from e2e.swarm import Swarm

DEMO = """\
version: "3.9"
services:
  metro-backend:
    command: ["--demo"]
"""

SHARED = f"""\
version: "3.9"
services:
  metro-backend:
    environment:
      MOSMETRO_GITHUB_API: {URL}
      MOSMETRO_JENKINS_URL: {URL}
      MOSMETRO_NOTIFY_TOKEN: opaque-value
"""


class SwarmCase(SynchronousTestCase):
    """A swarm that has the stack's images."""

    def setUp(self) -> None:
        """Start it."""
        data = data_root_with_services()
        self.namespace = Namespace()
        self.addCleanup(self.namespace.close)
        self.engine = Engine(data, self.namespace)
        self.addCleanup(self.engine.close)
        self.work = Path(tempfile.mkdtemp(prefix="metro-e2e-"))
        self.addCleanup(shutil.rmtree, self.work)
        self.swarm = Swarm(self.engine, self.namespace)
        self.door = self.swarm.door

    def deploy(self, changes: str, **variables: str) -> None:
        """Deploy the stack with changes over it."""
        path = self.work / "changes.yml"
        path.write_text(changes)
        self.swarm.deploy(path, {"METRO_IMAGE": SERVER, "MOSMETRO_DRAIN": "20", **variables})

    def a_build(self) -> str:
        """Return the path of a build."""
        branches = self.door.get("/api/v2/branches").json()["branches"]
        return "/releases/" + str(branches["master"]["filename"])

    def assert_nothing_failed(self, load: Load) -> None:
        """Nothing that the phones asked for failed, and each kind was asked for."""
        self.assertEqual(dict(load.failed), {}, f"{dict(load.done)}\n{self.swarm.report()}")
        print(f"\n    {dict(load.done)}", end=" ")


class UpdateTests(SwarmCase):
    """A new image takes over."""

    def test_start_first_drops_nothing(self) -> None:
        """Both replicas are replaced under load: no request fails, and downloads complete."""
        self.deploy(DEMO)
        image = self.slow_image()
        before = set(self.swarm.containers())
        with Load(self.door, self.a_build()) as load:
            state = self.swarm.update("--image", image, "--no-resolve-image")
            wait_for("the old replicas to be gone", lambda: not before & self.running())
        self.assertEqual(state, "completed")
        self.assertEqual(len(self.swarm.containers()), 2)
        self.assertGreater(load.done["downloads"], 2)
        self.assert_nothing_failed(load)

    def test_broken_image_is_rolled_back(self) -> None:
        """An image that ends at once takes no replica's place; the old one is back by itself."""
        self.deploy(DEMO)
        build(
            self.engine, self.work, "metro-backend:broken", f'FROM {SERVER}\nENTRYPOINT ["false"]\n'
        )
        before = set(self.swarm.containers())
        with Load(self.door, self.a_build()) as load:
            state = self.swarm.update("--image", "metro-backend:broken", "--no-resolve-image")
        self.assertEqual(state, "rollback_completed")
        self.assertIn(SERVER, self.swarm.image())
        self.assertLessEqual(before, self.running())
        self.assert_nothing_failed(load)

    def test_stop_first_does_drop_requests(self) -> None:
        """The control: one replica that stops before the next one starts is noticed by phones."""
        self.deploy(DEMO, METRO_REPLICAS="1")
        image = self.slow_image()
        with Load(self.door) as load:
            state = self.swarm.update(
                "--image", image, "--no-resolve-image", "--update-order", "stop-first"
            )
        self.assertEqual(state, "completed")
        self.assertGreater(load.failed.total(), 0, dict(load.done))

    def slow_image(self) -> str:
        """Make an image that takes longer to start than the proxy is willing to wait."""
        image = "metro-backend:slow"
        start = "sleep 12; exec twistd --nodaemon --pidfile= metro-backend --demo"
        lines = f'FROM {SERVER}\nENTRYPOINT ["sh", "-c", "{start}"]\n'
        build(self.engine, self.work, image, lines)
        return image

    def running(self) -> set[str]:
        """Return the server's running containers."""
        return set(self.swarm.containers())


class ReplicaTests(SwarmCase):
    """Two replicas and what they share."""

    def setUp(self) -> None:
        """Start sources that both replicas ask."""
        super().setUp()
        self.sources = Sources(self.namespace)
        self.addCleanup(self.sources.close)
        self.deploy(SHARED)

    def new_build(self, size: int = 2_000_000) -> int:
        """Make a build of master at the source, tell one replica, and return its number."""
        number = self.sources.new_build("master", size)
        token = {"Authorization": "Bearer opaque-value"}
        answer = self.door.post("/api/notify/jenkins", headers=token)
        self.assertEqual(answer.status, 202)
        return number

    def builds(self) -> list[int]:
        """Return the build of master that each replica tells."""
        return [
            self.swarm.ask_replica(each, "/api/v2/branches")["branches"]["master"]["build"]
            for each in self.swarm.containers()
        ]

    def test_a_notice_to_one_reaches_both(self) -> None:
        """Jenkins tells one replica of a build, and both have it."""
        self.assertEqual(len(set(self.builds())), 1)
        number = self.new_build()
        self.wait_for_build(number)

    def wait_for_build(self, number: int) -> None:
        """Wait until both replicas tell the build."""
        try:
            wait_for("the build on both replicas", lambda: self.builds() == [number, number])
        except CommandFailed as error:
            raise CommandFailed(f"{error}\n{self.builds()}\n{self.swarm.report()}") from None

    def test_a_killed_replica_is_not_missed(self) -> None:
        """Under load, a killed replica costs no request; a cut download goes on elsewhere."""
        # More than what sockets and the proxy take in on the way.
        self.wait_for_build(self.new_build(size=50_000_000))
        path = self.a_build()
        whole = self.door.get(path)
        download = self.door.open(path, buffer=4096, timeout=60)
        begun = download.read(100_000)
        wait_for("the replica that sends", lambda: len(self.sending()) == 1)
        (victim,) = self.sending()
        with Load(self.door, reports=False) as load:
            load.wait_for_more(100)
            self.engine("kill", "--signal", "KILL", victim)
            wait_for("a new replica", lambda: len(self.swarm.containers()) == 2)
            load.wait_for_more(1000)
        self.assert_nothing_failed(load)

        # Too much of it was still to come when the replica died; the proxy notices, and says so.
        with download, self.assertRaises(IncompleteRead):
            begun += download.read()
        rest = self.door.get(
            path, headers={"Range": f"bytes={len(begun)}-", "If-Range": whole.headers["etag"]}
        )
        self.assertEqual(rest.status, 206)
        self.assertEqual(begun + rest.body, whole.body)

    def sending(self) -> list[str]:
        """Return the replicas that have bytes to send that their client does not take yet."""
        found = []
        for each in self.swarm.containers():
            lines = self.engine("exec", each, "cat", "/proc/net/tcp").splitlines()[1:]
            if any(int(line.split()[4].partition(":")[0], 16) > 4096 for line in lines):
                found.append(each)
        return found
