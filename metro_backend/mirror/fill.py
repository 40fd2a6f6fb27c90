"""One fetch of one build, with any number of readers that follow it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.web.iweb import UNKNOWN_LENGTH

from metro_backend.branches.model import Artifact
from metro_backend.counting import Counting
from metro_backend.mirror.answer import Answer, read_answer
from metro_backend.mirror.body import Body, Cut
from metro_backend.mirror.errors import FillFailed, NoRoom, Unfit, WrongFile
from metro_backend.mirror.part import MAGIC, Part
from metro_backend.upstream import Upstream, UpstreamError, abandon

BACK_OFF = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each resumption of a cut fetch; there are no more than these."""

LONGEST_WAIT = 30.0
"""Seconds before a resumption that a source may ask for; beyond that the fill fails."""

HELD_BACK = 4096
"""Bytes at the end that nobody gets before the whole is checked, so that no wrong file is whole.

A ZIP file's directory ends there: what is in front of it cannot be installed.
"""

PACE = 0.01
"""Seconds between two calls to the readers: a fast source would wake them for every packet."""


class Fill:
    """Fetches a build into a part file.

    Readers see nothing before the first bytes are those of a ZIP file and the
    length is known; then everything as it arrives but the last `HELD_BACK`
    bytes, which wait for the check of the whole.
    """

    def __init__(
        self,
        part: Part,
        upstream: Upstream,
        clock: IReactorTime,
        *,
        headers: Mapping[str, str],
        limit: int,
        check: Callable[[Part], None],
        reserve: Callable[[Part, int], None],
        count: Counting,
    ) -> None:
        """Set up; `run` starts.

        Args:
            headers: sent with each request, such as credentials.
            limit: bytes that a build may have.
            check: raises Unfit if the finished file is not the build.
            reserve: makes room for so many bytes, or raises NoRoom.
        """
        self.part = part
        self.artifact: Artifact = part.artifact
        self.total: int | None = None
        """Bytes of the whole file, once known."""
        self.resumes = 0
        self.readers = 0
        self.verified = False
        self.failure: FillFailed | None = None
        self._upstream = upstream
        self._clock = clock
        self._headers = dict(headers)
        self._limit = limit
        self._check = check
        self._reserve = reserve
        self._count = count
        self._answer: Answer | None = None
        self._position = 0
        self._allocated = False
        self._waiting: dict[Deferred[None], int] = {}
        self._woken_at = -PACE
        self._pacer: IDelayedCall | None = None
        self._ended = False

    @property
    def visible(self) -> int:
        """Bytes that readers may have; -1 while it is not certain that there will be any."""
        if self.total is None or self.part.head != MAGIC:
            return -1
        if self.verified:
            return self.total
        return max(0, min(self.part.size, self.total - HELD_BACK))

    async def run(self) -> None:
        """Fetch and check the whole file.

        Raises:
            FillFailed: if that cannot be had; the caller passes it on to `fail`.
        """
        try:
            await self._fetch()
            self._check(self.part)
        except Unfit as error:
            self._count("server.mirror.unfit")
            raise WrongFile(f"the file is not the build: {error}") from None
        except OSError as error:
            self._count("server.mirror.disk")
            raise FillFailed(f"the disk refuses the file: {error.strerror}", status=503) from error
        self.total = self.part.size
        self.verified = True
        self._wake()

    def fail(self, failure: FillFailed) -> None:
        """Tell all readers that the rest will not come."""
        self.failure = failure
        self._wake()

    def end(self) -> None:
        """Say that nothing more will be done; the descriptor closes with the last reader."""
        self._ended = True
        self._close()

    def follow(self) -> Following:
        """Return a holding for one more reader."""
        return Following(self)

    def wait(self, offset: int) -> Deferred[None]:
        """Return a Deferred of the caller's own, for `visible` to exceed the offset.

        It fails with FillFailed if that will never be.
        """
        waiter: Deferred[None] = Deferred(self._forget)
        if self.visible > offset:
            waiter.callback(None)
        elif self.failure is not None:
            waiter.errback(self.failure)
        else:
            self._waiting[waiter] = offset
        return waiter

    def _forget(self, waiter: Deferred[None]) -> None:
        self._waiting.pop(waiter, None)

    def left(self) -> None:
        """Count one reader less."""
        self.readers -= 1
        self._close()

    async def _fetch(self) -> None:
        delays = iter(BACK_OFF)
        while True:
            try:
                await self._exchange()
                return
            except Cut as cut:
                delay = next(delays, None)
                if delay is None:
                    given_up = f"given up after {self.resumes} resumptions: {cut}"
                    raise FillFailed(given_up, 503) from None
                if (cut.retry_after or 0.0) > LONGEST_WAIT:
                    raise FillFailed(str(cut), 503, cut.retry_after) from None
                self.resumes += 1
                self._count("server.mirror.resumed")
                await deferLater(self._clock, max(delay, cut.retry_after or 0.0))

    async def _exchange(self) -> None:
        """Make one request and take its body. Raises Cut if another request may get the rest."""
        offset = self.part.size
        try:
            response = await self._upstream.open(self.artifact.url, self._request(offset))
        except UpstreamError as error:
            raise self._refusal(error) from error
        length = response.length if response.length is not UNKNOWN_LENGTH else None
        try:
            answer = read_answer(
                response.code,
                response.headers,
                length,
                self.artifact,
                offset=offset,
                before=self._answer,
                limit=self._limit,
            )
            self._begin(answer)
        except BaseException:
            abandon(response)
            raise
        body = Body(self._clock, self._receive)
        response.deliverBody(body)
        self._end_of_body(marked=await body.done)

    def _request(self, offset: int) -> dict[str, str]:
        headers = dict(self._headers)
        if offset:
            headers["Range"] = f"bytes={offset}-"
            validator = self._answer.validators.if_range if self._answer else None
            if validator is not None:
                headers["If-Range"] = validator
        return headers

    def _refusal(self, error: UpstreamError) -> Exception:
        """A source that has answered before may be asked again, unless it says no."""
        gone = error.kind in ("refused", "timeout", "cut")
        busy = error.status is not None and (error.status >= 500 or error.status == 429)
        if (gone or busy) and self._answer is not None:
            cut = Cut(str(error))
            cut.retry_after = error.retry_after
            return cut
        if error.status in (404, 410):
            return WrongFile(str(error), retry_after=error.retry_after)
        return FillFailed(str(error), 503 if gone or busy else 502, error.retry_after)

    def _begin(self, answer: Answer) -> None:
        self._position = answer.start
        if not self.part.size:
            self._answer = answer
            self.total = None
        if self.total is None:
            self.total = answer.total
        if self.total is not None and not self._allocated:
            try:
                self._reserve(self.part, self.total)
            except NoRoom as error:
                raise FillFailed(str(error), 503) from error
            self.part.allocate(self.total)
            self._allocated = True

    def _receive(self, data: bytes) -> None:
        if self._position < self.part.size:
            data = self._repeated(data)
        end = self._position + len(data)
        if self.total is not None and end > self.total:
            raise WrongFile(f"more than the {self.total} bytes that were promised have come")
        if end > self._limit:
            raise WrongFile(f"the file has more than {self._limit} bytes")
        self.part.write(data)
        self._position = end
        if not MAGIC.startswith(self.part.head):
            raise WrongFile("the source gave something that is not a ZIP file")
        if self.visible < 0:
            return
        if self._clock.seconds() - self._woken_at >= PACE:
            self._wake()
        elif self._pacer is None:
            self._pacer = self._clock.callLater(PACE, self._wake)

    def _repeated(self, data: bytes) -> bytes:
        """Hold a second copy of what is there against the first one, and return what is new."""
        known = min(len(data), self.part.size - self._position)
        if os.pread(self.part.fd, known, self._position) != data[:known]:
            raise FillFailed("the file has changed while it was fetched")
        self._position += known
        return data[known:]

    def _end_of_body(self, *, marked: bool) -> None:
        size = self.part.size
        if self.total is not None and size < self.total:
            if marked:
                raise WrongFile(f"{size} bytes have come of {self.total} that were promised")
            raise Cut("the connection was closed before the end of the file")
        if self.total is None:
            if not marked and self.artifact.digest is None:
                raise FillFailed("nothing tells whether the whole file has come")
            self.total = size

    def _wake(self) -> None:
        pacer, self._pacer = self._pacer, None
        if pacer is not None and pacer.active():
            pacer.cancel()
        self._woken_at = self._clock.seconds()
        visible = self.visible
        for waiter, offset in list(self._waiting.items()):
            if visible > offset:
                # A reader that is called may leave, or take another with it.
                if self._waiting.pop(waiter, None) is not None:
                    waiter.callback(None)
            elif self.failure is not None and self._waiting.pop(waiter, None) is not None:
                waiter.errback(self.failure)

    def _close(self) -> None:
        if self._ended and self.readers <= 0:
            self.part.close()


class Following:
    """A holding of a file that is still arriving."""

    path: Path | None = None

    def __init__(self, fill: Fill) -> None:
        """Count as a reader of the fill."""
        self.artifact = fill.artifact
        self._fill = fill
        self._held = True
        fill.readers += 1

    async def ready(self) -> None:
        """Wait until it is certain that there is a file. Raises FillFailed."""
        await self._fill.wait(-1)

    @property
    def size(self) -> int:
        """See `Holding`; not before `ready`."""
        assert self._fill.total is not None, "not ready"
        return self._fill.total

    @property
    def sha256(self) -> str | None:
        """See `Holding`: what was counted, or what the source says."""
        if self._fill.verified:
            return self._fill.part.sha256
        kind, _, digest = (self.artifact.digest or "").partition(":")
        return digest.lower() if kind == "sha256" else None

    @property
    def available(self) -> int:
        """See `Holding`."""
        return max(0, self._fill.visible)

    def fileno(self) -> int:
        """See `Holding`."""
        return self._fill.part.fd

    def wait(self, offset: int) -> Deferred[None]:
        """See `Holding`."""
        return self._fill.wait(offset)

    def close(self) -> None:
        """See `Holding`."""
        if self._held:
            self._held = False
            self._fill.left()
