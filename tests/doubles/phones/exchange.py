"""The seam between a phone and the server under test, in two makes: sockets and memory."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, cast
from urllib.parse import SplitResult, urlsplit

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import connectProtocol
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IReactorTime,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol as StreamProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed, readBody
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer
from zope.interface import implementer

from tests.doubles.phones.answers import Answer
from tests.doubles.phones.failures import MalformedAnswer, PhoneCutOff, PhoneFailure, PhoneHung
from tests.doubles.phones.framing import AnswerReader

EndpointFor = Callable[[SplitResult], IStreamClientEndpoint]


class Exchange(Protocol):
    """Sends one request and returns its answer; follows nothing, decodes nothing."""

    async def request(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes = b"",
        *,
        timeout: float,
        version: str = "HTTP/1.1",
        stop_after: int | None = None,
    ) -> Answer:
        """Send a request to an absolute URL.

        The exchange adds Host (HTTP/1.1 only) and, for a body, Content-Length.
        `timeout` is in seconds and counts from the first SYN to the last byte.
        With `stop_after` the phone hangs up after so many bytes of the body.

        Raises:
            PhoneHung: after the time-out.
            PhoneCutOff: if no whole, well-formed answer came.
        """


def only(endpoint: IStreamClientEndpoint, *hosts: str) -> EndpointFor:
    """Lead the named hosts to one endpoint, whatever the scheme and port, and no other host.

    A link to a host that is not the server's would be lost on a real phone.
    """

    def endpoint_for(parts: SplitResult) -> IStreamClientEndpoint:
        if parts.hostname not in hosts:
            raise PhoneCutOff(f"{parts.geturl()} is not on the server")
        return endpoint

    return endpoint_for


class SocketExchange:
    """Speaks HTTP byte by byte, a connection for each request, and forgives nothing."""

    def __init__(self, clock: IReactorTime, endpoint_for: EndpointFor) -> None:
        """Take the clock for time-outs, and where each URL's server is."""
        self._clock = clock
        self._endpoint_for = endpoint_for

    async def request(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes = b"",
        *,
        timeout: float,
        version: str = "HTTP/1.1",
        stop_after: int | None = None,
    ) -> Answer:
        """See `Exchange.request`."""
        parts = _split(url)
        lines = [f"{method} {_target(parts)} {version}"]
        if version == "HTTP/1.1":
            lines.append(f"Host: {parts.netloc.rpartition('@')[2]}")
        lines.extend(f"{name}: {value}" for name, value in headers)
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        reader = AnswerReader(method=method, version=version, stop_after=stop_after)
        asking = _Asking(head + body, reader)
        endpoint = self._endpoint_for(parts)

        async def ask() -> Answer:
            await connectProtocol(endpoint, asking)
            return await asking.done

        try:
            return await _within(timeout, self._clock, ask(), f"{method} {url}")
        except ConnectError as error:
            raise PhoneCutOff(f"{method} {url}: {error}") from error


class _Asking(StreamProtocol):
    """Sends a request and has the answer in `done` once the connection is closed."""

    def __init__(self, request: bytes, reader: AnswerReader) -> None:
        self._request = request
        self._reader = reader
        self._failure: PhoneFailure | None = None
        self.done: Deferred[Answer] = Deferred(lambda _: self._abort())

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        if self._failure is not None:
            return
        try:
            self._reader.feed(data)
        except PhoneFailure as failure:
            self._failure = failure
            self._abort()
            return
        answer = self._reader.answer
        if answer is not None:
            if answer.complete:
                assert self.transport is not None
                self.transport.loseConnection()
            else:
                self._abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        try:
            if self._failure is not None:
                raise self._failure
            if reason.check(ConnectionDone) or self._reader.answer is not None:
                answer = self._reader.end()
            else:
                raise PhoneCutOff("the connection was reset before the answer ended")
        except PhoneFailure:
            self.done.errback()
        else:
            self.done.callback(answer)

    def _abort(self) -> None:
        if self.transport is not None:
            cast(ITCPTransport, self.transport).abortConnection()


class MemoryExchange:
    """Asks through an agent such as `treq.testing.RequestTraversalAgent`: no sockets, no framing.

    Use it where a test needs a phone's wits, and `SocketExchange` where it needs the wire.
    Where the server answers later than at once, the test must call the agent's `flush`.
    """

    def __init__(self, clock: IReactorTime, agent: IAgent) -> None:
        """Take the clock for time-outs and the agent that reaches the server."""
        self._clock = clock
        self._agent = agent

    async def request(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes = b"",
        *,
        timeout: float,
        version: str = "HTTP/1.1",
        stop_after: int | None = None,
    ) -> Answer:
        """See `Exchange.request`; knows HTTP/1.1 only, and cuts a body that it has read whole."""
        if version != "HTTP/1.1":
            raise ValueError("agents speak HTTP/1.1")
        _split(url)
        sent = Headers()
        for name, value in headers:
            # Connections are the agent's own affair.
            if name.lower() != "connection":
                sent.addRawHeader(name, value)
        producer = _Bytes(body) if body or method == "POST" else None

        async def ask() -> Answer:
            response = await self._agent.request(
                method.encode("ascii"), url.encode("ascii"), sent, producer
            )
            whole: bytes = await readBody(response)
            complete = stop_after is None or len(whole) < stop_after
            kept = whole if complete else whole[:stop_after]
            return Answer(
                status=response.code, headers=_all(response), body=kept, complete=complete
            )

        try:
            return await _within(timeout, self._clock, ask(), f"{method} {url}")
        except ResponseFailed as error:
            raise MalformedAnswer(f"{method} {url}: {error}") from error
        except (ConnectError, ConnectionDone, ConnectionLost) as error:
            raise PhoneCutOff(f"{method} {url}: {error}") from error


def _within(
    timeout: float, clock: IReactorTime, work: Coroutine[Any, Any, Answer], what: str
) -> Deferred[Answer]:
    def hung(_: object, seconds: float) -> Failure:
        return Failure(PhoneHung(f"{what}: no answer within {seconds:g} s"))

    return Deferred.fromCoroutine(work).addTimeout(timeout, clock, hung)


def _all(response: Any) -> Headers:
    """Return all headers: Twisted's client makes a number of the length and drops the header."""
    headers = cast(Headers, response.headers).copy()
    if (
        isinstance(response.length, int)
        and response.code not in (204, 304)
        and not headers.hasHeader(b"Content-Length")
    ):
        headers.setRawHeaders(b"Content-Length", [b"%d" % response.length])
    return headers


@implementer(IBodyProducer)
class _Bytes:
    """Produces a body at once; Twisted's own producer needs the global reactor."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Nothing is left to pause."""

    def resumeProducing(self) -> None:
        """Nothing is left to resume."""

    def stopProducing(self) -> None:
        """Nothing is left to stop."""


def _split(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PhoneCutOff(f"not a web address: {url!r}")
    if not url.isascii() or any(ord(c) <= 0x20 or ord(c) == 0x7F for c in url):
        raise PhoneCutOff(f"an address that nobody has encoded: {url!r}")
    return parts


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
