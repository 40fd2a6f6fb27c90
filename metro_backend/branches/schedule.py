"""When each source is asked next: after the TTL, or with a growing pause while it fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

BACK_OFF = (30.0, 1800.0)
"""Seconds between tries of a failing source: the first wait, and the longest."""

COLD_BACK_OFF = (1.0, 30.0)
"""The same while there is no list at all."""

JITTER = 0.1
"""Part of the TTL by which instances differ, so that they do not refresh in step."""

LONGEST_WISH = 86400.0
"""Seconds that a source may ask us to stay away."""


@dataclass(kw_only=True)
class Schedule:
    """One source's turn. Times are the clock's."""

    ttl: float
    """Seconds after which a good answer is old."""
    spread: Callable[[], float]
    """Yields 0…1 for the jitter."""
    due_at: float = 0.0
    failures: int = 0
    """In a row, up to now."""
    error: str | None = None
    """Why the newest try failed; None if it did not."""

    def succeeded(self, at: float) -> None:
        """Note a good answer of that time."""
        self.error, self.failures = None, 0
        self.due_at = at + self.ttl * (1 + JITTER * (2 * self.spread() - 1))

    def failed(self, at: float, error: str, retry_after: float | None, *, cold: bool) -> None:
        """Note a failure; `retry_after` is what the source asked for, in seconds."""
        first, longest = COLD_BACK_OFF if cold else BACK_OFF
        wait = min(longest, first * 2 ** min(self.failures, 20))
        wait *= 1 - JITTER * self.spread()
        self.due_at = at + max(wait, min(retry_after or 0.0, LONGEST_WISH))
        self.error = error
        self.failures += 1
