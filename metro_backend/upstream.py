"""The only door to other servers: deadline, size limit, allow-list, conditional requests.

Everything that leaves for GitHub or Jenkins leaves here, so that no caller
can forget a limit. JSON is asked for with `Upstream.json`, a build's bytes with
`Upstream.open`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar, cast
from urllib.parse import urljoin, urlsplit

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol as StreamProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

from metro_backend import __version__
from metro_backend.counting import Counting
from metro_backend.hosts import AllowedHosts
from metro_backend.store import Store

T = TypeVar("T")

USER_AGENT = f"metro-backend/{__version__}".encode("ascii")
"""GitHub's API refuses requests without one."""

DEADLINE = 10.0
"""Seconds for a whole JSON answer, or for the headers of a file."""

JSON_LIMIT = 5 * 1024 * 1024
"""Bytes of a JSON answer."""

KEPT_LIMIT = 1024 * 1024
"""Bytes of an answer that is worth a place in the store."""

VALIDATOR_AGE = 30 * 86400.0
"""Seconds for which a body is kept beside its ETag."""

REDIRECTS = 5
"""Hops that one request may take."""


@dataclass(eq=False)
class UpstreamError(Exception):
    """Another server did not give what was asked for."""

    kind: str
    """``refused``, ``timeout``, ``cut``, ``status``, ``size``, ``shape`` or ``forbidden``."""
    detail: str
    """For people; never holds credentials or a query string."""
    status: int | None = None
    retry_after: float | None = None
    """Seconds that the server asked us to wait."""

    def __str__(self) -> str:
        return self.detail


class Upstream:
    """Asks other servers, within limits."""

    def __init__(
        self,
        agent: IAgent,
        clock: IReactorTime,
        store: Store,
        allowed: AllowedHosts,
        count: Counting,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Take the agent to send with, and the store that keeps answers."""
        self._agent = agent
        self._clock = clock
        self._store = store
        self._allowed = allowed
        self._count = count
        self._now = now

    async def json(
        self,
        url: str,
        read: Callable[[Any], T],
        *,
        headers: Mapping[str, str] | None = None,
        revalidate: bool = False,
        keep: float | None = None,
        version: str = "",
    ) -> T:
        """Ask for JSON and return what `read` makes of it.

        `read` raises ValueError if the JSON has not the expected shape; such an
        answer is never kept.

        With `keep`, an answer that cannot change (or may be old) is kept in the
        store for so many seconds and replayed without a call; `version` tells one
        life of such an answer from the next. With `revalidate`, the answer is kept
        beside its ETag and a 304 costs no body.

        Raises:
            UpstreamError: for anything but an answer of the expected shape, within
                `DEADLINE` seconds and `JSON_LIMIT` bytes.
        """
        sent = dict(headers or {})
        # ETags differ per token (and an answer may, too), so it is part of the key.
        name = hashlib.sha256(
            "\0".join((url, version, sent.get("Authorization", ""))).encode()
        ).hexdigest()
        if keep is not None:
            kept = await self._store.get(f"kept:{name}")
            try:
                if kept is not None:
                    return _shaped(kept, read, url)
            except UpstreamError:
                # Damaged, or kept by a version that read less of it: ask again.
                self._count("server.upstream.unreadable")
        validator = await self._validator(name, read, url) if revalidate else None
        if validator is not None:
            sent["If-None-Match"] = validator[0]
        sent.setdefault("Accept", "application/json")

        status, answer_headers, body = await self._within(
            self._exchange(url, sent, JSON_LIMIT), url
        )
        if status == 304 and validator is not None:
            self._count("server.upstream.not_modified")
            return validator[1]
        if status != 200:
            raise self._refusal(status, answer_headers, body, url)
        value = _shaped(body, read, url)
        if len(body) <= KEPT_LIMIT:
            if keep is not None:
                await self._store.set(f"kept:{name}", body, keep)
            etag = answer_headers.getRawHeaders("ETag")
            if revalidate and etag:
                await self._store.set(
                    f"etag:{name}", etag[0].encode() + b"\n" + body, VALIDATOR_AGE
                )
        return value

    async def open(self, url: str, headers: Mapping[str, str] | None = None) -> IResponse:
        """Ask for a file and return the response, its body not yet read.

        The caller delivers the body and watches over it; one that does not want
        it calls `abandon`. Redirects have been followed.

        Raises:
            UpstreamError: if no headers came within `DEADLINE` seconds, or if the
                status is other than 200, 206 and 416.
        """
        # The bytes must come as they are: a coding would change length and ranges.
        sent = {"Accept-Encoding": "identity", "Accept": "*/*", **(headers or {})}
        response = await self._within(self._follow(url, sent, self._bare_request), url)
        if response.code not in (200, 206, 416):
            answer_headers = response.headers
            abandon(response)
            raise self._refusal(response.code, answer_headers, b"", url)
        return response

    async def _validator(
        self, name: str, read: Callable[[Any], T], url: str
    ) -> tuple[str, T] | None:
        """Return the ETag of the last answer, and what that was; None if it cannot be read."""
        stored = await self._store.get(f"etag:{name}")
        if stored is None:
            return None
        etag, _, body = stored.partition(b"\n")
        try:
            return etag.decode("latin-1"), _shaped(body, read, url)
        except UpstreamError:
            self._count("server.upstream.unreadable")
            return None

    async def _exchange(
        self, url: str, headers: Mapping[str, str], limit: int
    ) -> tuple[int, Headers, bytes]:
        response = await self._follow(url, headers, self._treq_request)
        # Errors and 304 are read as well: an unread body holds its connection.
        body = await _collect(response, limit, url)
        return response.code, response.headers, body

    async def _follow(
        self,
        url: str,
        headers: Mapping[str, str],
        request: Callable[[str, Headers], Deferred[IResponse]],
    ) -> IResponse:
        """Send, and follow redirects hop by hop, each held against the allow-list."""
        sent = dict(headers)
        for _ in range(REDIRECTS + 1):
            if not self._allowed.allow(url):
                raise UpstreamError("forbidden", f"{_plain(url)}: this host is not allowed")
            raw = Headers({"User-Agent": [USER_AGENT.decode()]})
            for name, value in sent.items():
                raw.setRawHeaders(name, [value])
            response = await request(url, raw)
            if response.code not in (301, 302, 303, 307, 308):
                return response
            target = response.headers.getRawHeaders("Location")
            abandon(response)
            if not target:
                raise UpstreamError("shape", f"{_plain(url)}: a redirect to nowhere")
            new = urljoin(url, target[0])
            if urlsplit(url).scheme == "https" and urlsplit(new).scheme != "https":
                raise UpstreamError("forbidden", f"{_plain(url)}: redirected away from https")
            if urlsplit(new).netloc != urlsplit(url).netloc:
                sent.pop("Authorization", None)
            url = new
        raise UpstreamError("shape", f"{_plain(url)}: more than {REDIRECTS} redirects")

    def _treq_request(self, url: str, headers: Headers) -> Deferred[IResponse]:
        # A client of its own for each request: a shared one would keep cookies.
        client = HTTPClient(self._agent)
        return cast(
            "Deferred[IResponse]",
            client.request("GET", url, headers=headers, allow_redirects=False, unbuffered=True),
        )

    def _bare_request(self, url: str, headers: Headers) -> Deferred[IResponse]:
        return self._agent.request(b"GET", url.encode("ascii"), headers, None)

    async def _within(self, work: Coroutine[Deferred[Any], Any, T], url: str) -> T:
        """Await the work for at most `DEADLINE` seconds; name what went wrong."""
        exchange = Deferred.fromCoroutine(work)
        timer = self._clock.callLater(DEADLINE, exchange.cancel)
        try:
            return await exchange
        except UpstreamError as error:
            self._count(f"server.upstream.{error.kind}")
            raise
        except Exception as error:
            # A cancelled exchange fails in one way or another, depending on how far it was.
            reason = _reason(error)
            if not timer.active():
                self._count("server.upstream.timeout")
                detail = f"{_plain(url)}: no answer within {DEADLINE:g} s"
                raise UpstreamError("timeout", detail) from None
            if isinstance(reason, CancelledError):
                raise reason from None
            self._count("server.upstream.refused")
            detail = f"{_plain(url)}: {str(reason) or type(reason).__name__}"
            raise UpstreamError("refused", detail) from error
        finally:
            if timer.active():
                timer.cancel()

    def _refusal(self, status: int, headers: Headers, body: bytes, url: str) -> UpstreamError:
        self._count("server.upstream.status")
        detail = f"{_plain(url)}: HTTP {status}"
        if b"rate limit" in body[:1000].lower():
            detail += " (rate limit exceeded)"
        return UpstreamError("status", detail, status, self._retry_after(headers))

    def _retry_after(self, headers: Headers) -> float | None:
        """Read Retry-After (RFC 9110 §10.2.3), else X-RateLimit-Reset when no call is left."""
        for value in headers.getRawHeaders("Retry-After") or ():
            if value.strip().isascii() and value.strip().isdigit():
                return float(value.strip())
            try:
                return max(0.0, parsedate_to_datetime(value).timestamp() - self._now())
            except (ValueError, OverflowError):
                continue
        if (headers.getRawHeaders("X-RateLimit-Remaining") or [""])[0].strip() == "0":
            reset = (headers.getRawHeaders("X-RateLimit-Reset") or [""])[0].strip()
            if reset.isascii() and reset.isdigit() and len(reset) < 12:
                return max(0.0, float(reset) - self._now())
        return None


def abandon(response: IResponse) -> None:
    """Close the connection of a response whose body nobody wants."""
    response.deliverBody(_Abandoned())


class _Abandoned(StreamProtocol):
    def connectionMade(self) -> None:
        transport = self.transport
        # Twisted's body transport hides abortConnection; loseConnection closes it at once
        # because nothing is left to be written.
        if transport is not None:
            transport.loseConnection()


class _Collector(StreamProtocol):
    """Collects a body up to a limit; closes the connection when it is not wanted any more."""

    def __init__(self, limit: int, url: str) -> None:
        self._limit = limit
        self._url = url
        self._size = 0
        self._chunks: list[bytes] = []
        self.done: Deferred[bytes] = Deferred(lambda _: self._close())

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit:
            if not self.done.called:
                self.done.errback(
                    UpstreamError("size", f"{_plain(self._url)}: more than {self._limit} bytes")
                )
            self._chunks.clear()
            self._close()
        else:
            self._chunks.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        # Without a Content-Length the end of the connection is the end of the body.
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(b"".join(self._chunks))
        else:
            self.done.errback(UpstreamError("cut", f"{_plain(self._url)}: the answer was cut off"))

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


def _collect(response: IResponse, limit: int, url: str) -> Deferred[bytes]:
    collector = _Collector(limit, url)
    response.deliverBody(collector)
    return collector.done


def _shaped(body: bytes, read: Callable[[Any], T], url: str) -> T:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise UpstreamError("shape", f"{_plain(url)}: the answer is not JSON") from None
    try:
        return read(value)
    except ValueError as error:
        raise UpstreamError("shape", f"{_plain(url)}: {error}") from None


def _plain(url: str) -> str:
    """Return the URL without credentials and query, for logs and status pages."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def _reason(error: Exception) -> Exception:
    """Return what is behind the errors that Twisted's client wraps around others."""
    reasons = getattr(error, "reasons", None)
    return _reason(reasons[0].value) if reasons else error
