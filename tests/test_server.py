"""The HTTP server on real sockets: limits, drain, and what crosses the wire."""

from __future__ import annotations

from collections import Counter
from typing import Any

from klein import Klein
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    UNIXClientEndpoint,
    connectProtocol,
)
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from metro_backend import server
from metro_backend.api.root import Root
from metro_backend.server import ARRIVAL, BODY_LIMIT, Channel, Request, Site, WebService

reactor: Any = installed_reactor


class Echo(Resource):
    """Answers with the length of the body, or when it is told to."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Request] = []
        self.bodies: list[bytes] = []

    def render(self, request: Request) -> Any:
        """Answer."""
        assert request.content is not None
        self.bodies.append(request.content.read())
        if request.path == b"/later":
            self.waiting.append(request)
            return NOT_DONE_YET
        answer = b"%d" % len(self.bodies[-1])
        request.setHeader(b"Content-Length", b"%d" % len(answer))
        return answer


class Wire(Protocol):
    """A client that sends bytes and collects bytes."""

    def __init__(self) -> None:
        self.received = b""
        self.closed: Deferred[bytes] = Deferred()
        self._expected: list[tuple[bytes, Deferred[None]]] = []

    def dataReceived(self, data: bytes) -> None:
        """Collect."""
        self.received += data
        for each in list(self._expected):
            if each[0] in self.received:
                self._expected.remove(each)
                each[1].callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell what came."""
        self.closed.callback(self.received)

    def until(self, text: bytes) -> Deferred[None]:
        """Wait for these bytes."""
        arrived: Deferred[None] = Deferred()
        if text in self.received:
            arrived.callback(None)
        else:
            self._expected.append((text, arrived))
        return arrived.addTimeout(10, reactor)


class SocketTests(TestCase):
    """A server on a free port."""

    def setUp(self) -> None:
        """Start it."""
        self.counts: Counter[str] = Counter()
        self.echo = Echo()
        self.site = Site(self.echo, reactor, self.count)
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        self.web = WebService(self.site, [endpoint], reactor, 5.0)
        self.web.privilegedStartService()
        self.web.startService()
        self.stopped = False
        self.addCleanup(self.stop)

    def count(self, name: str, count: int = 1) -> None:
        """Count."""
        self.counts[name] += count

    def stop(self) -> Any:
        """Stop it, once."""
        if self.stopped:
            return None
        self.stopped = True
        return self.web.stopService()

    async def connect(self, data: bytes = b"") -> Wire:
        """Connect and send."""
        here: Any = self.web.ports[0].getHost()
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", here.port)
        wire: Wire = await connectProtocol(endpoint, Wire())
        assert wire.transport is not None
        wire.transport.write(data)
        return wire

    async def exchange(self, data: bytes) -> bytes:
        """Send, and return what came until the connection was closed."""
        wire = await self.connect(data)
        return await wire.closed.addTimeout(10, reactor)

    async def test_body_that_says_it_is_too_long(self) -> None:
        """It is refused before a byte of it was sent, with the header that pages need."""
        answer = await self.exchange(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (BODY_LIMIT + 1)
        )
        self.assertTrue(answer.startswith(b"HTTP/1.1 413 "), answer)
        self.assertIn(b"Access-Control-Allow-Origin: *", answer)
        self.assertEqual(self.counts["server.http.413"], 1)
        self.assertEqual(self.echo.bodies, [])

    async def test_chunked_body_that_turns_out_too_long(self) -> None:
        """It is refused as soon as it is."""
        wire = await self.connect(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        assert wire.transport is not None
        for _ in range(BODY_LIMIT // 0x10000 + 2):
            wire.transport.write(chunk)
        answer = await wire.closed.addTimeout(10, reactor)
        self.assertTrue(answer.startswith(b"HTTP/1.1 413 "), answer[:100])
        self.assertEqual(self.echo.bodies, [])

    async def test_chunked_and_expected_bodies(self) -> None:
        """Chunked bodies, and those that wait for 100 Continue, arrive whole."""
        answer = await self.exchange(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        )
        self.assertTrue(answer.endswith(b"\r\n\r\n5"), answer)
        wire = await self.connect(
            b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n"
            b"Connection: close\r\n\r\n"
        )
        await wire.until(b"100 Continue")
        assert wire.transport is not None
        wire.transport.write(b"ab")
        answer = await wire.closed.addTimeout(10, reactor)
        self.assertTrue(answer.endswith(b"\r\n\r\n2"), answer)

    async def test_old_protocol(self) -> None:
        """HTTP/1.0 without Host is answered, and the connection closed."""
        answer = await self.exchange(b"GET /?healthcheck HTTP/1.0\r\n\r\n")
        self.assertIn(b" 200 ", answer.splitlines()[0])

    async def test_unix_socket(self) -> None:
        """HTTP/1.0 without Host is answered on a unix socket, too."""
        path = self.mktemp()
        root = Root(Klein(), self.count)
        port = reactor.listenUNIX(path, Site(root, reactor, self.count))
        self.addCleanup(port.stopListening)
        wire: Wire = await connectProtocol(UNIXClientEndpoint(reactor, path), Wire())
        assert wire.transport is not None
        wire.transport.write(b"GET /?healthcheck HTTP/1.0\r\n\r\n")
        answer = await wire.closed.addTimeout(10, reactor)
        self.assertIn(b" 404 ", answer.splitlines()[0])

    async def test_absolute_form(self) -> None:
        """A target in absolute form leads to the same path."""
        answer = await self.exchange(
            b"GET http://x.example/path?a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        self.assertIn(b" 200 ", answer.splitlines()[0])

    async def test_drain_finishes_a_request(self) -> None:
        """A request under way is answered, and told that the connection closes."""
        wire = await self.connect(b"GET /later HTTP/1.1\r\nHost: x\r\n\r\n")
        idle = await self.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await idle.until(b"\r\n\r\n0")
        while not self.echo.waiting:
            await deferLater(reactor, 0.01, lambda: None)
        self.stopped = True
        stopping = Deferred.fromCoroutine(self.web._stop())
        self.assertTrue(self.site.draining)
        # The idle connection is closed at once.
        await idle.closed.addTimeout(10, reactor)
        self.assertFalse(stopping.called)
        self.echo.waiting[0].write(b"done")
        self.echo.waiting[0].finish()
        answer = await wire.closed.addTimeout(10, reactor)
        self.assertIn(b"Connection: close", answer)
        self.assertIn(b"done", answer)
        await stopping

    async def test_drain_waits_for_a_first_request(self) -> None:
        """A connection that is new when the drain begins has its request answered."""
        wire = await self.connect()
        while not self.site.channels:
            await deferLater(reactor, 0.01, lambda: None)
        self.stopped = True
        stopping = Deferred.fromCoroutine(self.web._stop())
        assert wire.transport is not None
        wire.transport.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await wire.closed.addTimeout(10, reactor)
        self.assertIn(b" 200 ", answer.splitlines()[0])
        self.assertIn(b"onnection: close", answer)
        await stopping

    async def test_drain_does_not_wait_for_ever(self) -> None:
        """A request that does not end within the grace is cut."""
        self.web._grace = 0.05
        wire = await self.connect(b"GET /later HTTP/1.1\r\nHost: x\r\n\r\n")
        while not self.echo.waiting:
            await deferLater(reactor, 0.01, lambda: None)
        self.stopped = True
        await self.web.stopService()
        self.assertEqual(await wire.closed.addTimeout(10, reactor), b"")

    async def test_connections(self) -> None:
        """A connection above the limit is closed at once."""
        self.patch(server, "CONNECTIONS", 1)
        first = await self.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await first.until(b"\r\n\r\n0")
        self.assertEqual(await self.exchange(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), b"")
        self.assertEqual(self.counts["server.http.connections_refused"], 1)
        assert first.transport is not None
        first.transport.loseConnection()
        await first.closed


def uncounted(name: str, count: int = 1) -> None:
    """Count nothing."""


class PortTests(SynchronousTestCase):
    """Listening."""

    def test_port_in_use(self) -> None:
        """A port that cannot be had ends the start with an error."""
        taken = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
        self.addCleanup(taken.stopListening)
        number = taken.getHost().port
        endpoint = TCP4ServerEndpoint(reactor, number, interface="127.0.0.1")
        web = WebService(Site(Echo(), reactor, uncounted), [endpoint], reactor, 1.0)
        self.assertRaises(CannotListenError, web.privilegedStartService)


class SweepTests(SynchronousTestCase):
    """Requests that drip."""

    def test_behind_another_request(self) -> None:
        """A request that came in one piece with the end of another is swept as well."""
        clock: Any = Clock()
        site = Site(Echo(), clock, uncounted)
        channel = site.buildProtocol(None)
        assert isinstance(channel, Channel)
        transport: Any = StringTransport()
        aborted: list[bool] = []
        transport.abortConnection = lambda: aborted.append(True)
        channel.makeConnection(transport)
        whole = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        channel.dataReceived(whole + b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n")
        clock.advance(ARRIVAL + 1)
        channel.dataReceived(b"x")
        site.sweep()
        self.assertEqual(aborted, [True])
        channel.connectionLost()

    def test_slow_arrival(self) -> None:
        """A request that has not arrived after a minute is cut off, whatever still drips in."""
        clock: Any = Clock()
        counts: Counter[str] = Counter()

        def count(name: str, count: int = 1) -> None:
            counts[name] += count

        site = Site(Echo(), clock, count)
        channel = site.buildProtocol(None)
        assert isinstance(channel, Channel)
        transport: Any = StringTransport()
        aborted: list[bool] = []
        transport.abortConnection = lambda: aborted.append(True)
        channel.makeConnection(transport)
        for byte in b"GET / HT":
            channel.dataReceived(bytes([byte]))
            clock.advance(ARRIVAL / 8)
            site.sweep()
        self.assertEqual(aborted, [])
        channel.dataReceived(b"T")
        clock.advance(1)
        site.sweep()
        self.assertEqual(aborted, [True])
        self.assertEqual(counts["server.http.too_slow"], 1)
        channel.connectionLost()
