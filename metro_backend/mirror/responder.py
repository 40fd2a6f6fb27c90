"""Answers requests for a build's file: the HTTP side of the mirror."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.web.http import Request, datetimeToString

from metro_backend.branches.model import Artifact
from metro_backend.counting import Counting
from metro_backend.log import Brake
from metro_backend.mirror.delivery import Delivery
from metro_backend.mirror.headers import attachment, repr_digest
from metro_backend.mirror.holding import Holding
from metro_backend.mirror.ranges import Plan, evaluate, precondition

CONTENT_TYPE = b"application/vnd.android.package-archive"
"""Without it Android's download manager installs nothing (contract §1.3.7)."""

FOREVER = b"public, max-age=31536000, immutable"
"""Cache-Control under a build's own name, whose bytes never change."""

PATIENCE = 60.0
"""Seconds after which a reader that takes nothing is dropped."""

SWEEP = 5.0
"""Seconds between two looks at the readers."""


class Origin(Protocol):
    """Where the responder gets files from: the mirror."""

    def size(self, artifact: Artifact) -> int | None:
        """Bytes of the file, as far as that is known without asking anybody."""

    def sha256(self, artifact: Artifact) -> str | None:
        """Hex digest of the file, as far as that is known without asking anybody."""

    def spoiled(self, artifact: Artifact) -> bool:
        """Tell whether somebody may hold wrong bytes of the file."""

    async def open(self, artifact: Artifact) -> Holding:
        """Get the file. Raises Unavailable."""


class Responder:
    """Sends files whole or in part, each to its reader's pace, and watches over them."""

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        count: Counting,
        *,
        started: Callable[[Artifact], None] = lambda artifact: None,
        sendfile: str = "",
        root: Path | None = None,
    ) -> None:
        """Set up.

        Args:
            started: called at the first byte of each GET that does not resume another.
            sendfile: empty, or ``x-accel:/LOCATION/`` for an NGINX in front that has
                `root` under that internal location.
            root: the shelf's directory.

        NGINX evaluates Range and If-Range by itself then, so it must tell the same
        validators (``deploy/nginx/sendfile.conf``). Requests with other conditions are
        answered here.
        """
        self._clock = clock
        self._count = count
        self._brake = Brake(self._log, clock)
        self._started = started
        kind, _, self._location = sendfile.partition(":")
        self._root = root if kind == "x-accel" else None
        self._deliveries: dict[Delivery, Deferred[None]] = {}
        self._sweeping: IDelayedCall | None = None

    @property
    def readers(self) -> int:
        """Responses under way."""
        return len(self._deliveries)

    async def serve(
        self,
        request: Request,
        artifact: Artifact,
        origin: Origin,
        *,
        filename: str | None = None,
        cache_control: bytes = FOREVER,
    ) -> None:
        """Answer a GET or HEAD for a build, without touching its bytes where none are asked for.

        See `respond`. Raises Unavailable before anything was written.
        """
        size = origin.size(artifact)
        headers = request.requestHeaders
        status = precondition(headers, artifact.etag, artifact.modified)
        if origin.spoiled(artifact):
            # Nobody may go on where wrong bytes were sent before the whole could be checked.
            if headers.hasHeader(b"If-Match"):
                status = 412
            headers.removeHeader(b"Range")
        if status is not None:
            plan: Plan | None = Plan(status=status)
        elif size is not None:
            plan = self._plan(request, artifact, size)
        else:
            plan = None
        bodiless = plan is not None and (request.method == b"HEAD" or plan.status not in (200, 206))
        if plan is not None and bodiless:
            self._describe(request, artifact, origin.sha256(artifact), filename, cache_control)
            self._end(request, plan, size)
            return
        if request.method == b"HEAD":
            # Its length is not known before it is fetched, and nobody wants the bytes.
            self._describe(request, artifact, origin.sha256(artifact), filename, cache_control)
            request.finish()
            return
        holding = await origin.open(artifact)
        await self.respond(request, holding, filename=filename, cache_control=cache_control)

    def respond(
        self,
        request: Request,
        holding: Holding,
        *,
        filename: str | None = None,
        cache_control: bytes = FOREVER,
    ) -> Deferred[None]:
        """Answer a GET or HEAD from a holding, which is closed in the end.

        Args:
            filename: the name to save it under; the artifact's own by default.
            cache_control: the header; anything else than a build's own name needs another.

        Returns:
            A Deferred that fires when the response has ended, one way or the other;
            cancelling it cuts the connection.
        """
        if getattr(request, "channel", None) is None:
            # The reader left while the file was being opened.
            holding.close()
            return succeed(None)
        artifact = holding.artifact
        plan = self._plan(request, artifact, holding.size)
        self._describe(request, artifact, holding.sha256, filename, cache_control)
        if request.method == b"HEAD" or plan.status not in (200, 206):
            self._end(request, plan, holding.size)
            holding.close()
            return succeed(None)
        if plan.start == 0:
            self._started(artifact)
        if self._hand_over(request, holding):
            return succeed(None)
        self._head(request, plan, holding.size)
        return self._deliver(request, holding, plan)

    def _plan(self, request: Request, artifact: Artifact, size: int) -> Plan:
        return evaluate(
            request.method, request.requestHeaders, artifact.etag, artifact.modified, size
        )

    def _describe(
        self,
        request: Request,
        artifact: Artifact,
        sha256: str | None,
        filename: str | None,
        cache_control: bytes,
    ) -> None:
        """Set the headers that do not depend on the part that is sent."""
        headers = {
            b"ETag": artifact.etag,
            b"Last-Modified": datetimeToString(artifact.modified),
            b"Accept-Ranges": b"bytes",
            b"Cache-Control": cache_control,
            b"Content-Type": CONTENT_TYPE,
            b"Content-Disposition": attachment(filename or artifact.filename),
        }
        if sha256 is not None:
            headers[b"Repr-Digest"] = repr_digest(sha256)
        for name, value in headers.items():
            request.setHeader(name, value)

    def _head(self, request: Request, plan: Plan, size: int | None) -> None:
        """Set the status and the headers that depend on the part that is sent."""
        request.setResponseCode(plan.status)
        if plan.status == 206:
            last = plan.stop - 1
            request.setHeader(b"Content-Range", b"bytes %d-%d/%d" % (plan.start, last, size or 0))
        elif plan.status == 416:
            request.setHeader(b"Content-Range", b"bytes */%d" % (size or 0))
        if plan.status != 304:
            request.setHeader(b"Content-Length", b"%d" % (plan.stop - plan.start))
        if plan.status in (412, 416):
            # An error is not the file: no type, no name, nothing to be kept.
            for name in (b"Content-Type", b"Content-Disposition", b"Repr-Digest"):
                request.responseHeaders.removeHeader(name)
            request.setHeader(b"Cache-Control", b"no-store")

    def _end(self, request: Request, plan: Plan, size: int | None) -> None:
        self._head(request, plan, size)
        request.finish()

    def _hand_over(self, request: Request, holding: Holding) -> bool:
        """Let an NGINX in front send a file that is there, if it is set up for that."""
        headers = request.requestHeaders
        if (
            self._root is None
            or holding.path is None
            or any(headers.hasHeader(name) for name in _CONDITIONS)
        ):
            return False
        place = quote(holding.path.relative_to(self._root).as_posix())
        request.setHeader(b"X-Accel-Redirect", (self._location + place).encode("ascii"))
        request.setHeader(b"Content-Length", b"0")
        # NGINX says so itself.
        request.responseHeaders.removeHeader(b"Accept-Ranges")
        request.finish()
        holding.close()
        return True

    def _deliver(self, request: Request, holding: Holding, plan: Plan) -> Deferred[None]:
        delivery = Delivery(
            request, holding, plan.start, plan.stop, self._clock.seconds, self._delivered
        )
        done: Deferred[None] = Deferred(lambda _: delivery.abort())
        self._deliveries[delivery] = done
        if self._sweeping is None:
            self._sweeping = self._clock.callLater(SWEEP, self._sweep)
        delivery.begin()
        return done

    def _delivered(self, delivery: Delivery, problem: str | None) -> None:
        done = self._deliveries.pop(delivery)
        if not self._deliveries and self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        if problem is not None:
            self._count("server.mirror.broken_off")
            filename = delivery.holding.artifact.filename
            self._brake.warn("broken off", lambda: f"{filename} was broken off: {problem}")
        if not done.called:
            done.callback(None)

    def _sweep(self) -> None:
        self._sweeping = self._clock.callLater(SWEEP, self._sweep)
        for delivery in list(self._deliveries):
            if not delivery.look(PATIENCE):
                self._count("server.mirror.reader_dropped")
                delivery.abort()


_CONDITIONS = (
    b"If-Match",
    b"If-None-Match",
    b"If-Modified-Since",
    b"If-Unmodified-Since",
)
