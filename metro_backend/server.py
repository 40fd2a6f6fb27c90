"""The HTTP server below the routes: limits, time-outs, drain, access log."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IListeningPort,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import connectionDone
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.resource import IResource

from metro_backend.counting import Counting
from metro_backend.log import Brake

BODY_LIMIT = 2 * 1024 * 1024
"""Bytes of a request's body: a report of 2016 may be over 1 MB (contract §1.2)."""

ARRIVAL = 60.0
"""Seconds in which a request must have arrived as a whole, however it drips."""

IDLE = 60.0
"""Seconds for which a connection without a request is kept."""

CONNECTIONS = 8192
"""Connections at once; one more is closed at once."""

FIRST_REQUEST = 1.0
"""Seconds that a drain leaves a new connection for its first request."""

SWEEP = 5.0
"""Seconds between looks at connections whose request does not arrive."""


class Request(server.Request):
    """A request with a bounded body, kept in memory."""

    channel: Channel
    mounted_at = ""
    """The prefix that the request came below, such as ``/mosmetro``."""
    _received = 0
    _refused = False

    def gotLength(self, length: int | None) -> None:
        """Refuse a body that says it is too long before a byte of it is read."""
        self.content = BytesIO()
        if length is not None and length > BODY_LIMIT:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:
        """Take a piece of the body; a chunked one may turn out too long only now."""
        if self._refused:
            return
        self._received += len(data)
        if self._received > BODY_LIMIT:
            self._refuse()
        else:
            super().handleContentChunk(data)

    def process(self) -> None:
        """Answer, unless that has been done already."""
        if self._refused:
            return
        if self.path.startswith((b"http://", b"https://")):
            # The absolute form, which a proxy may send (RFC 9112 §3.2.2).
            self.path = b"/" + self.path.split(b"//", 1)[1].partition(b"/")[2]
        super().process()

    def _refuse(self) -> None:
        # http.Request cannot answer yet, so the answer goes to the connection itself.
        self._refused = True
        channel = self.channel
        channel.site.count("server.http.413")
        assert channel.transport is not None
        channel.transport.write(
            b"HTTP/1.1 413 Content Too Large\r\n"
            b"Access-Control-Allow-Origin: *\r\n"
            b"Connection: close\r\nContent-Length: 0\r\n\r\n"
        )
        channel.loseConnection()


class Channel(http.HTTPChannel):
    """A connection that the site knows of, so that it can be drained."""

    site: Site
    requests: list[Request]
    fresh = True
    """Whether it has not had a whole request yet."""
    _closing: IDelayedCall | None = None
    arriving_since: float | None = None
    """When the first byte of a request came that is not complete yet (reactor's time)."""

    def connectionMade(self) -> None:
        """Enter the site's set of connections, if there is room."""
        if len(self.site.channels) >= CONNECTIONS:
            self.site.count("server.http.connections_refused")
            self.abort()
            return
        self.site.channels.add(self)
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Leave the set."""
        self.site.channels.discard(self)
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        super().connectionLost(reason)
        self.site.channel_gone()

    def dataReceived(self, data: bytes) -> None:
        """Note when a request began to arrive."""
        if self.arriving_since is None and not self.requests:
            self.arriving_since = self.site.reactor.seconds()
        super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        """Note the same of a request that came in one piece with the end of another."""
        if self.arriving_since is None:
            self.arriving_since = self.site.reactor.seconds()
        super().lineReceived(line)

    def allContentReceived(self) -> None:
        """Note that it is complete."""
        self.arriving_since = None
        self.fresh = False
        super().allContentReceived()

    def abort(self) -> None:
        """Close at once, whatever is still to be sent."""
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()

    def drain(self) -> None:
        """Let the request under way finish, and close then; close at once if there is none."""
        # A connection that is not persistent drops what comes, a first request as well.
        self.persistent = self.fresh
        for request in self.requests:
            if not request.startedWriting:
                request.setHeader(b"Connection", b"close")
        if self.fresh:
            # Its first request may be on its way, and nobody would send it again.
            self._closing = self.callLater(FIRST_REQUEST, self._close_if_idle)
        else:
            self._close_if_idle()

    def checkPersistence(self, request: http.Request, version: bytes) -> bool:
        """Let a request that comes during the drain be the connection's last one."""
        if self.site.draining:
            request.responseHeaders.setRawHeaders(b"connection", [b"close"])
            return False
        return bool(super().checkPersistence(request, version))

    def _close_if_idle(self) -> None:
        if not self.requests:
            # The channel's own method: the transport's would cut a producer that is paused.
            self.loseConnection()


class Site(server.Site):
    """The site, which knows its connections."""

    noisy = False
    _log = Logger()

    def __init__(self, resource: IResource, reactor: Any, count: Counting) -> None:
        """Take the root of the routes."""
        super().__init__(
            resource,
            requestFactory=Request,
            timeout=IDLE,
            reactor=reactor,
            parsePOSTFormSubmission=False,
        )
        self.protocol = Channel  # type: ignore[method-assign, assignment]
        self.channels: set[Channel] = set()
        self.draining = False
        self.count = count
        self._brake = Brake(self._log, reactor)
        self._empty: list[Deferred[None]] = []

    def startFactory(self) -> None:
        """Skip the stock access log, which would write client addresses."""

    def stopFactory(self) -> None:
        """See `startFactory`."""

    def log(self, request: http.Request) -> None:
        """Count each answer, and log failed ones; never an address or a query."""
        code = request.code
        self.count(f"server.http.{code // 100}xx")
        if code >= 500:
            method = request.method.decode("ascii", "replace")[:16]
            path = request.path.decode("utf-8", "replace")[:200]
            self._brake.warn(str(code), lambda: f"{method} {path} {code}")

    def channel_gone(self) -> None:
        """Tell those who wait for the last connection to end."""
        if not self.channels:
            waiters, self._empty = self._empty, []
            for waiter in waiters:
                waiter.callback(None)

    def sweep(self) -> None:
        """Abort connections whose request has been arriving for too long."""
        limit = self.reactor.seconds() - ARRIVAL
        for channel in list(self.channels):
            if channel.arriving_since is not None and channel.arriving_since < limit:
                self.count("server.http.too_slow")
                channel.abort()

    def drain(self) -> Deferred[None]:
        """Ask every connection to end; fires when the last one has."""
        done: Deferred[None] = Deferred()
        self._empty.append(done)
        for channel in list(self.channels):
            channel.drain()
        self.channel_gone()
        return done


class WebService(Service):
    """Listens on the endpoints, and ends without cutting a request that is under way."""

    _log = Logger()
    name = "web"

    def __init__(
        self,
        site: Site,
        endpoints: Sequence[IStreamServerEndpoint],
        clock: IReactorTime,
        grace: float,
    ) -> None:
        """Take where to listen, and the seconds that a drain may take."""
        self.ports: list[IListeningPort] = []
        """What is listened on, once started."""
        self._site = site
        self._endpoints = endpoints
        self._clock = clock
        self._grace = grace
        self._sweeping = LoopingCall(site.sweep)
        self._sweeping.clock = clock

    def privilegedStartService(self) -> None:
        """Bind while the process may still bind low ports. Raises if a port cannot be had."""
        failures: list[Failure] = []
        for endpoint in self._endpoints:
            endpoint.listen(self._site).addCallbacks(self.ports.append, failures.append)
        # A process without its port would live on, and look well from outside.
        for failure in failures:
            failure.raiseException()

    def startService(self) -> None:
        """Answer, and say where."""
        super().startService()
        for port in self.ports:
            self._log.info("listening on {address}", address=_address(port))
        self._sweeping.start(SWEEP, now=False)

    def stopService(self) -> Deferred[None]:
        """Stop listening, let requests under way finish within the grace, cut the rest."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._site.draining = True
        if self._sweeping.running:
            self._sweeping.stop()
        ports, self.ports = self.ports, []
        await gatherResults([maybeDeferred(port.stopListening) for port in ports])
        drained = self._site.drain()
        timeout = self._clock.callLater(self._grace, self._cut)
        await drained
        if timeout.active():
            timeout.cancel()

    def _cut(self) -> None:
        left = list(self._site.channels)
        self._log.warn("{count} connections are cut after the grace", count=len(left))
        for channel in left:
            channel.abort()


def _address(port: IListeningPort) -> str:
    """Return where the port can be reached, as something to click on where that is possible."""
    here: Any = port.getHost()
    if not hasattr(here, "port"):
        return str(here)
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(here.host, here.host)  # noqa: S104
    return f"http://{host}:{here.port}/"
