"""Says when a repeated complaint may be logged again."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime


class Throttle:
    """Lets one in so many seconds through."""

    def __init__(self, clock: IReactorTime, seconds: float = 60.0) -> None:
        """Take the clock and the shortest time between two."""
        self._clock = clock
        self._seconds = seconds
        self._last: float | None = None

    def allow(self) -> bool:
        """Tell whether this one may pass."""
        now = self._clock.seconds()
        # A clock that was set back must not silence us until it catches up.
        if self._last is not None and 0 <= now - self._last < self._seconds:
            return False
        self._last = now
        return True
