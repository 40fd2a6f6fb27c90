"""Those who wait for one event, each for as long as it likes."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime


class Waiters:
    """Gives each waiter a Deferred of its own: one that goes away takes only itself."""

    def __init__(self, clock: IReactorTime) -> None:
        """Take the clock that patience is measured by."""
        self._clock = clock
        self._waiting: list[Deferred[None]] = []

    async def wait(self, seconds: float) -> None:
        """Wait for the next `fire`, or until so many seconds are over."""
        waiter: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiter)
        timer = self._clock.callLater(seconds, waiter.cancel)
        try:
            await waiter
        except CancelledError:
            # Cancelled by its owner, and not because its time was up.
            if timer.active():
                raise
        finally:
            if timer.active():
                timer.cancel()

    def fire(self) -> None:
        """Let everybody go on who waits now."""
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)
