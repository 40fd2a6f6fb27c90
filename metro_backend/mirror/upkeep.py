"""The mirror's service: opens the shelf, keeps it up, ends fetches when the server stops."""

from __future__ import annotations

from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from metro_backend.branches.model import Artifact
from metro_backend.counting import Counting
from metro_backend.mirror.shelf import Shelf

PERIOD = 60.0
"""Seconds between two rounds of upkeep."""

SCRUBBED = 16 * 1024 * 1024
"""Bytes that a round re-reads: 2 GiB in two hours."""

PATIENCE = 10.0
"""Seconds that stopping waits for what is being written to disk."""


class Upkeep(Service):
    """Runs a round of upkeep now and then; a round that fails does not end the next ones."""

    _log = Logger()
    name = "mirror"

    def __init__(
        self,
        clock: IReactorTime,
        shelf: Shelf,
        count: Counting,
        *,
        start: Callable[[], None],
        stop: Callable[[], Deferred[None]],
        lost: Callable[[Artifact], None],
        complete: Callable[[], None],
    ) -> None:
        """Take what is to be done at start and stop, and in a round.

        `lost` is told of each build found corrupt; `complete` fetches builds that are missing.
        """
        self._clock = clock
        self._shelf = shelf
        self._count = count
        self._start = start
        self._stop = stop
        self._lost = lost
        self._complete = complete
        self._next: IDelayedCall | None = None
        self._round: Deferred[None] | None = None

    def startService(self) -> None:
        """Open the shelf."""
        super().startService()
        self._start()
        self._next = self._clock.callLater(PERIOD, self._begin)

    def stopService(self) -> Deferred[None]:
        """End fetches, and fire when all is written."""
        super().stopService()
        if self._next is not None:
            self._next.cancel()
            self._next = None
        return Deferred.fromCoroutine(self._end())

    async def round(self) -> None:
        """Keep the shelf up, scrub a part of it, fetch what is missing. Never raises."""
        try:
            self._shelf.upkeep()
            for entry in await self._shelf.scrub(SCRUBBED):
                self._lost(entry.artifact)
            self._complete()
        except CancelledError:
            raise
        except Exception:
            self._count("server.mirror.upkeep_failed")
            self._log.failure("a round of upkeep failed")

    def _begin(self) -> None:
        self._next = None
        self._round = Deferred.fromCoroutine(self.round())
        self._round.addBoth(self._again)

    def _again(self, _: object) -> None:
        self._round = None
        if self.running:
            self._next = self._clock.callLater(PERIOD, self._begin)

    async def _end(self) -> None:
        try:
            await self._stop().addTimeout(PATIENCE, self._clock)
            # A thread may be reading for it: it ends by itself, and soon.
            if self._round is not None:
                ended: Deferred[None] = Deferred()
                self._round.addBoth(ended.callback)
                await ended.addTimeout(PATIENCE, self._clock)
        except TimeoutError:
            self._count("server.mirror.stop_timeout")
            self._log.warn("the shelf was still being written when the server stopped")
        self._shelf.close()
