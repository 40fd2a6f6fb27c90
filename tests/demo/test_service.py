"""The stand-in on a real port."""

from __future__ import annotations

from collections.abc import Callable

from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, ResponseFailed, ResponseNeverReceived
from twisted.web.http_headers import Headers

from metro_backend.demo.faults import Cut, Hang, Refuse, Slow
from metro_backend.demo.jenkins import Artifact
from metro_backend.demo.service import DemoService
from tests.demo.memory import PROJECT, RELEASES

FILE = f"{PROJECT}/job/master/438/artifact/file.apk"


class Silent(Protocol):
    """A client that sends one request and reads nothing of the answer."""

    def __init__(self) -> None:
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.pauseProducing()  # type: ignore[attr-defined]
        self.transport.write(f"GET {FILE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


class DemoServiceTests(TestCase):
    """DemoService, over real connections."""

    timeout = 20

    def setUp(self) -> None:
        """Start a service, with a file too big for the sockets' buffers."""
        self.service = DemoService.bind(reactor)
        self.addCleanup(self.service.close)
        build = self.service.stand_in.jenkins.job("master").find(438)
        assert build is not None
        build.artifacts = [Artifact(path="file.apk", size=30_000_000)]
        self.client = HTTPClient(Agent(reactor))

    def start(self) -> None:
        """Start the service, for this test."""
        self.service.startService()
        self.addCleanup(self.service.stopService)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition to hold."""
        while not condition():
            await deferLater(reactor, 0.005)

    async def silent(self) -> Silent:
        """Connect a client that reads nothing."""
        protocol = Silent()
        port = int(self.service.url.rpartition(":")[2])
        await HostnameEndpoint(reactor, "127.0.0.1", port).connect(
            Factory.forProtocol(lambda: protocol)
        )
        return protocol

    async def test_early(self) -> None:
        """The address is known before the start, and an early request is answered after it."""
        response = self.client.get(
            f"{self.service.url}{RELEASES}", headers=Headers({"User-Agent": ["t"]})
        )
        self.start()
        releases = await (await response).json()
        self.assertTrue(releases[0]["url"].startswith(f"{self.service.url}/repos/"))

    async def test_both_names(self) -> None:
        """A download goes on at the other name of the loopback, and is whole."""
        self.start()
        response = await self.client.get(
            f"{self.service.url}/mosmetro-android/mosmetro-android/releases/download/77/"
            "MosMetro-play-v77.apk"
        )
        body = await response.content()
        self.assertEqual((response.code, len(body)), (200, 2_591_001))
        self.assertEqual(self.service.stand_in.count("/github-assets/"), 1)

    async def test_faults(self) -> None:
        """A reset and a cut are seen as such over TCP."""
        self.start()
        faults = self.service.stand_in.faults
        faults.set(FILE, Refuse())
        error = await self.assertFailure(
            self.client.get(self.service.url + FILE), ResponseNeverReceived
        )
        self.assertIsInstance(error.reasons[0].value, ConnectionLost)
        faults.set(FILE, Cut(12_345_678))
        response = await self.client.get(self.service.url + FILE, unbuffered=True)
        received: list[int] = []
        await self.assertFailure(
            response.collect(lambda data: received.append(len(data))), ResponseFailed
        )
        self.assertEqual((response.length, sum(received)), (30_000_000, 12_345_678))

    async def test_stop(self) -> None:
        """A stop ends hanging, slow and unread requests, and gives the port back."""
        self.service.startService()
        faults = self.service.stand_in.faults
        faults.set("/job/", Hang())
        faults.set(FILE, Slow(1000))
        hanging = self.client.get(f"{self.service.url}{PROJECT}/api/json")
        slow = await self.client.get(self.service.url + FILE, unbuffered=True)
        faults.clear(FILE)
        faults.clear("/job/")
        unread = await self.silent()
        await self.until(lambda: self.service.stand_in.in_flight == 3)
        await self.service.stopService()
        self.assertEqual(self.service.stand_in.in_flight, 0)
        await self.assertFailure(hanging, ResponseNeverReceived)
        await self.assertFailure(slow.content(), ResponseFailed)
        unread.transport.resumeProducing()  # type: ignore[union-attr]
        await unread.lost
        await self.assertFailure(
            self.client.get(f"{self.service.url}{PROJECT}/api/json"), ConnectionRefusedError
        )

    async def test_unread(self) -> None:
        """A client that reads nothing holds the transmission, and leaving ends it."""
        self.start()
        client = await self.silent()
        await self.until(lambda: self.service.stand_in.in_flight == 1)
        for _ in range(50):
            await deferLater(reactor, 0)
        self.assertEqual(self.service.stand_in.in_flight, 1)
        client.transport.abortConnection()  # type: ignore[union-attr]
        await self.until(lambda: self.service.stand_in.in_flight == 0)

    async def test_not_started(self) -> None:
        """A service that is never started gives its port back when it is closed."""
        self.service.close()
        await self.assertFailure(
            self.client.get(f"{self.service.url}{PROJECT}/api/json"), ConnectionRefusedError
        )
