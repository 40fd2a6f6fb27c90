"""Sources over real connections: what a cut, a stall and an end look like there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent

from metro_backend.mirror.body import STALL
from metro_backend.mirror.errors import FillFailed, Unavailable
from metro_backend.mirror.fill import BACK_OFF
from tests.mirror.scripted import Bench, apk, artifact, read
from tests.mirror.serving import reactor

DATA = apk(400_000)
HALF = 200_000


class Source(Protocol):
    """Answers one request by a function of the test."""

    transport: Any
    factory: Any

    def connectionMade(self) -> None:
        """Await the request."""
        self.request = b""
        self.lost = False
        self.factory.connections.append(self)

    def dataReceived(self, data: bytes) -> None:
        """Answer when it is whole."""
        self.request += data
        if b"\r\n\r\n" in self.request:
            self.factory.answers.pop(0)(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note it."""
        self.lost = True

    @property
    def offset(self) -> int:
        """The first byte that is asked for."""
        match = re.search(rb"Range: bytes=(\d+)-", self.request, re.I)
        return int(match[1]) if match else 0

    def head(self, *lines: str, version: str = "HTTP/1.1", code: int = 200) -> None:
        """Send status and headers."""
        self.transport.write("\r\n".join([f"{version} {code} X", *lines, "", ""]).encode())


def half(source: Source) -> None:
    """Send half of the file, with the length of the whole."""
    source.head(f"Content-Length: {len(DATA)}", 'ETag: "1"')
    source.transport.write(DATA[:HALF])


def half_and_reset(source: Source) -> None:
    """Send half of the file, and break the connection."""
    half(source)
    reactor.callLater(0.05, source.transport.abortConnection)


def half_and_close(source: Source) -> None:
    """Send half of the file, and close properly."""
    half(source)
    source.transport.loseConnection()


def rest(source: Source) -> None:
    """Send what is asked for."""
    size = len(DATA)
    source.head(
        f"Content-Range: bytes {source.offset}-{size - 1}/{size}",
        f"Content-Length: {size - source.offset}",
        'ETag: "1"',
        code=206,
    )
    source.transport.write(DATA[source.offset :])


class WireTests(TestCase):
    """A fetch with Twisted's own client."""

    timeout = 30

    def setUp(self) -> None:
        """Listen."""
        self.clock = Clock()
        directory = Path(self.mktemp())
        directory.mkdir()
        self.bench = Bench(directory, clock=self.clock, agent=Agent(reactor))
        self.factory: Any = cast(Any, Factory.forProtocol(Source))
        self.factory.connections = []
        port = reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.build = artifact(DATA, url=f"http://127.0.0.1:{port.getHost().port}/a.apk")

    async def tearDown(self) -> None:  # type: ignore[override]
        """Close what is open."""
        for connection in self.factory.connections:
            if not connection.lost:
                connection.transport.abortConnection()
        await self.bench.mirror.service.stopService()
        await self.until(lambda: all(each.lost for each in self.factory.connections))
        await deferLater(reactor, 0)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the reactor work until the condition holds."""
        for _ in range(2000):
            if condition():
                return
            await deferLater(reactor, 0.005)
        self.fail("the condition never came to hold")

    async def check_resumed(self, before: Callable[[], None] = lambda: None) -> None:
        """Expect the second connection to bring the rest."""
        holding = await self.bench.open(self.build)
        before()
        await self.until(lambda: bool(self.factory.connections[0].lost))
        while len(self.factory.connections) < 2:
            self.clock.advance(BACK_OFF[0])
            await deferLater(reactor, 0.01)
        await holding.wait(len(DATA) - 1)
        self.assertEqual(read(holding), DATA)
        self.assertIn(b'If-Range: "1"', self.factory.connections[1].request)
        holding.close()

    async def test_reset(self) -> None:
        """A connection that breaks is a cut."""
        self.factory.answers = [half_and_reset, rest]
        await self.check_resumed()

    async def test_early_close(self) -> None:
        """So is one that ends before Content-Length."""
        self.factory.answers = [half_and_close, rest]
        await self.check_resumed()

    async def test_stall(self) -> None:
        """So is one over which nothing comes; it is closed."""
        self.factory.answers = [half, rest]

        def stall() -> None:
            self.clock.advance(STALL)

        await self.check_resumed(stall)

    async def test_end_of_an_old_server(self) -> None:
        """HTTP/1.0 without a length ends with the connection; the digest tells that it is whole."""

        def old(source: Source) -> None:
            source.head(version="HTTP/1.0")
            source.transport.write(DATA)
            source.transport.loseConnection()

        self.factory.answers = [old]
        holding = await self.bench.open(self.build)
        await holding.wait(len(DATA) - 1)
        self.assertEqual(read(holding), DATA)
        holding.close()

    async def test_unwanted_bodies_are_closed(self) -> None:
        """A page, a wrong length and an error do not hold their connections."""

        def page(source: Source) -> None:
            source.head("Content-Length: 400000")
            source.transport.write(b"<!doctype html>")

        def short(source: Source) -> None:
            source.head("Content-Length: 12345")

        def error(source: Source) -> None:
            source.head("Content-Length: 12345", code=404)

        for number, answer in enumerate((page, short, error)):
            self.factory.answers = [answer]
            build = artifact(DATA, number=number, url=self.build.url)
            with self.assertRaises(Unavailable) as caught:
                await self.bench.open(build)
            self.assertEqual(caught.exception.status, 502)
            await self.until(lambda: all(each.lost for each in self.factory.connections))
        self.assertEqual(self.bench.files("*/*"), [])

    async def test_stop_closes_the_connection(self) -> None:
        """A server that stops leaves no download behind."""
        self.factory.answers = [half]
        holding = await self.bench.open(self.build)
        waiting: Deferred[None] = holding.wait(len(DATA) - 1)
        failing = self.assertFailure(waiting, FillFailed)
        await self.bench.mirror.service.stopService()
        await failing
        await self.until(lambda: bool(self.factory.connections[0].lost))
        holding.close()

    async def test_nobody_there(self) -> None:
        """A refused connection is a clear answer at once."""
        build = artifact(DATA, url="http://127.0.0.1:1/a.apk")
        with self.assertRaises(Unavailable) as caught:
            await self.bench.open(build)
        self.assertEqual(caught.exception.status, 503)
