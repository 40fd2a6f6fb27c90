"""A site on a loopback port with a mirror behind it, and a client that reads at its own pace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.protocols.policies import WrappingFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from metro_backend.branches.model import Artifact
from metro_backend.mirror.errors import Unavailable
from metro_backend.mirror.responder import Responder
from tests.mirror.scripted import Bench

reactor: Any = _reactor


class Builds(Resource):
    """Serves builds by their file names, as the routes will."""

    isLeaf = True

    def __init__(self, bench: Bench, responder: Responder) -> None:
        super().__init__()
        self.bench = bench
        self.responder = responder
        self.requests: list[Request] = []
        self.ended = 0

    def render_GET(self, request: Any) -> int:
        """Answer, 404 for an unknown name."""
        self.requests.append(request)
        artifact = self.bench.mirror.find(request.path[1:].decode())
        serving = Deferred.fromCoroutine(self._serve(request, artifact))
        serving.addBoth(self._end)
        return NOT_DONE_YET

    render_HEAD = render_GET

    async def _serve(self, request: Request, artifact: Artifact | None) -> None:
        if artifact is None:
            request.setResponseCode(404)
            request.finish()
            return
        try:
            await self.responder.serve(request, artifact, self.bench.mirror)
        except Unavailable as error:
            request.setResponseCode(error.status)
            request.setHeader(b"Retry-After", str(error.retry_after).encode())
            request.setHeader(b"Content-Length", b"0")
            request.finish()

    def _end(self, result: Any) -> Any:
        self.ended += 1
        return result


class Client(Protocol):
    """Collects what comes; can stop reading."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.reason: Failure | None = None
        self.limit: int | None = None
        """Bytes after which it stops reading."""

    def dataReceived(self, data: bytes) -> None:
        """Keep it."""
        self.data += data
        if self.limit is not None and len(self.data) >= self.limit:
            self.tcp.pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note how it ended."""
        self.reason = reason

    def ask(self, path: str, method: str = "GET", **headers: str) -> None:
        """Send a request; underscores in header names stand for dashes."""
        lines = [f"{method} /{path} HTTP/1.1", "Host: a.example"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        assert self.transport is not None
        self.transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    @property
    def tcp(self) -> Any:
        """The connection."""
        return self.transport

    @property
    def body(self) -> bytes:
        """What has come behind the headers."""
        return bytes(self.data).partition(b"\r\n\r\n")[2]

    def take(self) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of a whole answer with Content-Length, and forget it."""
        head, _, rest = bytes(self.data).partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        length = int(headers.get("Content-Length", 0))
        del self.data[: len(head) + 4 + length]
        return int(first.split()[1]), headers, rest[:length]

    def whole(self, *, bodiless: bool = False) -> bool:
        """Tell whether a whole answer has come."""
        head, mark, rest = bytes(self.data).partition(b"\r\n\r\n")
        if not mark or bodiless:
            return bool(mark)
        for line in head.split(b"\r\n"):
            if line.startswith(b"Content-Length: "):
                return len(rest) >= int(line.split()[1])
        return True


class ServingTestCase(TestCase):
    """A mirror on a real port. Its clock is the test's own, the network's is not."""

    timeout = 60

    def setUp(self) -> None:
        """Listen."""
        self.clock = Clock()
        self.started: list[Artifact] = []
        self.clients: list[Client] = []
        self.served: list[Builds] = []
        self.bench = self.make_bench()
        self.serve()

    def make_bench(self) -> Bench:
        """Make the mirror on a fresh directory."""
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        return Bench(directory, clock=self.clock, size_limit=2**28)

    def serve(self, *, wrapped: bool = False, **more: Any) -> None:
        """Serve the mirror; `wrapped` hides the plain TCP transport, as TLS does."""
        self.responder = Responder(
            self.clock, self.bench.count, started=self.started.append, **more
        )
        self.builds = Builds(self.bench, self.responder)
        self.served.append(self.builds)
        site = Site(self.builds)
        factory: Any = WrappingFactory(site) if wrapped else site
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.port: int = port.getHost().port

    async def connect(self) -> Client:
        """Open a connection that is closed with the test."""
        client = Client()
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port)
        await connectProtocol(endpoint, client)
        self.clients.append(client)
        return client

    async def tearDown(self) -> None:  # type: ignore[override]
        """Disconnect, and wait for what was under way to end."""
        for client in self.clients:
            if client.reason is None:
                assert ITCPTransport.providedBy(client.transport)
                client.tcp.abortConnection()
        await self.until(lambda: all(client.reason is not None for client in self.clients))
        await self.until(lambda: all(each.ended == len(each.requests) for each in self.served))

    async def ask(
        self, client: Client, path: str, method: str = "GET", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request and return its answer."""
        client.ask(path, method, **headers)
        await self.until(lambda: client.whole(bodiless=method == "HEAD"))
        if method == "HEAD":
            head, _, rest = bytes(client.data).partition(b"\r\n\r\n")
            self.assertEqual(rest, b"")
            client.data[:] = head.replace(b"Content-Length", b"Length") + b"\r\n\r\n"
            status, fields, body = client.take()
            if "Length" in fields:
                fields["Content-Length"] = fields.pop("Length")
            return status, fields, body
        return client.take()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the reactor work until the condition holds."""
        for _ in range(4000):
            if condition():
                return
            await deferLater(reactor, 0.005)
        self.fail("the condition never came to hold")
