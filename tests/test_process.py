"""The server as its operator runs it: real processes, Redis, UDP, files and signals."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
from typing import Any

from twisted.application.service import IServiceMaker
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.plugin import getPlugins
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from metro_backend.demo.faults import Hang
from tests.doubles.server_process import ProcessTestCase, ServerProcess
from tests.doubles.world import PROJECT, RELEASES

reactor: Any = installed_reactor


class SlowReader(Protocol):
    """Reads a response a little at a time."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.received = bytearray()
        self.begun: Deferred[None] = Deferred()
        self.closed: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        """Ask."""
        transport: Any = self.transport
        # With a big buffer of its own the kernel would take the whole file at once.
        transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        """Take a little, and pause."""
        self.received += data
        if not self.begun.called:
            self.begun.callback(None)
        transport: Any = self.transport
        transport.pauseProducing()
        reactor.callLater(0.01, self._resume)

    def _resume(self) -> None:
        transport: Any = self.transport
        if transport is not None and transport.connected:
            transport.resumeProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell what came."""
        self.closed.callback(bytes(self.received))


class PluginTests(SynchronousTestCase):
    """The plugin as twistd finds it."""

    def test_found_once(self) -> None:
        """There is exactly one plugin of our name."""
        names = [plugin.tapname for plugin in getPlugins(IServiceMaker)]
        self.assertEqual(names.count("metro-backend"), 1)


class DemoTests(TestCase):
    """``twistd metro-backend --demo``, which `make run` starts."""

    async def test_three_jobs(self) -> None:
        """It lists branches, mirrors a build byte for byte, and takes a report."""
        server = ServerProcess(self, "--demo")
        await server.start()
        await server.ready()
        code, page = await server.get("/")
        self.assertEqual(code, 200)
        self.assertIn("Wi-Fi в метро".encode(), page)
        branches = await server.branches()
        self.assertLessEqual({"play", "master", "feature%2Fdns"}, set(branches))
        master = branches["master"]
        code, build = await server.get(master["cached_url"].removeprefix(server.url))
        response = await server.http.get(master["direct_url"])
        self.assertEqual(build, await response.content())
        self.assertGreater(len(build), 1_000_000)
        report = b"version_code=77&success=true&provider=MosMetroV2"
        self.assertEqual(await server.get("/api/v2/stats", "POST", data=report), (200, b""))
        self.assertEqual(await server.terminate(), -signal.SIGTERM)

    async def test_log(self) -> None:
        """Every line of the log is JSON when nobody reads it on a terminal."""
        server = ServerProcess(self, "--demo", jenkins_urll="x")
        await server.start()
        await server.ready()
        await server.get("/releases/no.apk?secret=hush")
        await server.terminate()
        lines = [json.loads(line) for line in server.lines]
        messages = " ".join(line["message"] for line in lines)
        self.assertIn("MOSMETRO_JENKINS_URLL is unknown; did you mean", messages)
        self.assertNotIn("hush", messages)


class RefusalTests(TestCase):
    """Starts that must fail."""

    async def failed(self, *arguments: str, **environ: str) -> str:
        """Return what a start that ends with an error has said."""
        server = ServerProcess(self, *arguments, **environ)
        server.spawn()
        self.assertEqual(await server.end(), 1)
        return "\n".join(server.lines)

    async def test_wrong_settings(self) -> None:
        """A wrong setting ends the start with a line that names it."""
        self.assertIn("MOSMETRO_DRAIN takes", await self.failed(drain="soon"))
        self.assertIn("MOSMETRO_LISTEN takes", await self.failed(listen="carrier:pigeon"))
        self.assertIn("MOSMETRO_REDIS", await self.failed(redis="redis://:hush@/x/y"))

    async def test_port_in_use(self) -> None:
        """A port that somebody else has ends the start."""
        taken = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
        self.addCleanup(taken.stopListening)
        number = taken.getHost().port
        said = await self.failed("--demo", listen=f"tcp:{number}:interface=127.0.0.1")
        self.assertIn("Couldn't listen", said)


class LifeTests(ProcessTestCase):
    """Start, outage, restart, end."""

    async def test_first_questions(self) -> None:
        """Ten first questions cause one round of calls, and are answered with the list or 503."""
        server = self.server()
        await server.start()
        answers = await gatherResults(
            [Deferred.fromCoroutine(server.get("/api/v1/branches.php")) for _ in range(10)]
        )
        self.assertLessEqual({code for code, _ in answers}, {200, 503})
        await server.ready()
        self.assertEqual(self.demo.stand_in.count(RELEASES), 1)
        self.assertEqual(self.demo.stand_in.count(f"{PROJECT}/api/json"), 1)

    async def test_restart_without_upstream(self) -> None:
        """With the upstream dead a restarted server has its list and the files that it kept."""
        server = self.server()
        await server.start()
        await server.ready()
        before = await server.get("/api/v1/branches.php")
        path = "/releases/MosMetro-master-b438.apk"
        build = await server.get(path)
        await server.terminate()
        await self.demo.stopService()
        old = server.url
        await server.start()
        after = await server.get("/api/v1/branches.php")
        self.assertEqual(after[1].replace(server.url.encode(), old.encode()), before[1])
        self.assertEqual(await server.get(path), build)
        self.assertEqual((await server.get("/releases/MosMetro-play-v77.apk"))[0], 503)

    async def test_download_survives_the_end(self) -> None:
        """A download under way is finished after SIGTERM, and then the process ends."""
        server = self.server(drain="20")
        await server.start()
        await server.ready()
        path = "/releases/MosMetro-master-b438.apk"
        _, whole = await server.get(path)
        host, port = server.url.removeprefix("http://").split(":")
        request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        reader: SlowReader = await connectProtocol(
            TCP4ClientEndpoint(reactor, host, int(port)), SlowReader(request)
        )
        await reader.begun
        server.signal("TERM")
        received = await reader.closed
        body = received.partition(b"\r\n\r\n")[2]
        self.assertEqual(hashlib.sha256(body).digest(), hashlib.sha256(whole).digest())
        self.assertEqual(await server.end(), -signal.SIGTERM)

    async def test_flush(self) -> None:
        """A flush with the right password brings a new build, and keeps the old list on failure."""
        server = self.server(admin="true", admin_password="s3cret")
        await server.start()
        await server.ready()
        job = self.demo.stand_in.jenkins.job("master")
        number = str(job.add_build("x").number)
        self.assertEqual((await server.get("/api/admin/flush"))[0], 401)
        code, _ = await server.get("/api/admin/flush", auth=("admin", "s3cret"))
        self.assertEqual(code, 200)
        self.assertEqual((await server.branches())["master"]["build"], number)
        self.demo.stand_in.faults.set(PROJECT, Hang())
        await self.demo.stopService()
        code, body = await server.get("/api/admin/flush", "POST", auth=("admin", "s3cret"))
        self.assertEqual(code, 502)
        self.assertEqual(set(json.loads(body)["failures"]), {"github", "jenkins"})
        self.assertEqual((await server.branches())["master"]["build"], number)

    async def test_verify_shelf(self) -> None:
        """--verify-shelf reads what is kept and ends."""
        server = self.server()
        await server.start()
        await server.ready()
        await server.get("/releases/MosMetro-master-b438.apk")
        await server.terminate()
        server._arguments = ("--verify-shelf",)
        server.spawn()
        self.assertEqual(await server.end(), 0)
        self.assertIn("1 files", "\n".join(server.lines))
