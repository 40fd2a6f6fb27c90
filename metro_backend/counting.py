"""The seam by which every part says what happened to it."""

from __future__ import annotations

from typing import Protocol


class Counting(Protocol):
    """Counts events under constant dotted names (``server.upstream.timeout``). Never raises."""

    def __call__(self, name: str, count: int = 1) -> None:
        """Add to the counter of that name."""
