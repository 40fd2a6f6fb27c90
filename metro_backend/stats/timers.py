"""Measurements between two flushes: all of them while they are few, a fair sample when not."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

MOST_PER_TIMER = 50
"""Measurements kept of one timer."""

MOST_MEASUREMENTS = 2000
"""Measurements kept of all timers, beyond the first of each."""


class _Sample:
    __slots__ = ("kept", "seen")

    def __init__(self) -> None:
        self.kept: list[float] = []
        self.seen = 0


class Timers:
    """Keeps measurements by name, each name's a sample by Vitter's algorithm R."""

    def __init__(self, most_names: int, chance: Callable[[], float] = random.random) -> None:
        """Take the bound to the names, and what draws from [0, 1)."""
        self._most_names = most_names
        self._chance = chance
        self._samples: dict[str, _Sample] = {}
        self._room = MOST_MEASUREMENTS

    def add(self, name: str, value: float) -> bool:
        """Add a measurement; tell whether there was room for its name."""
        sample = self._samples.get(name)
        if sample is None:
            if len(self._samples) >= self._most_names:
                return False
            sample = self._samples[name] = _Sample()
        kept = sample.kept
        # A sample that is full stays so, or later measurements would weigh more than earlier ones.
        growing = len(kept) == sample.seen and len(kept) < MOST_PER_TIMER
        sample.seen += 1
        if not kept:
            kept.append(value)
        elif growing and self._room:
            kept.append(value)
            self._room -= 1
        else:
            place = int(self._chance() * sample.seen)
            if place < len(kept):
                kept[place] = value
        return True

    def take(self) -> Iterator[tuple[str, list[float], int]]:
        """Return name, kept measurements and how many there were of each; begin anew."""
        samples, self._samples, self._room = self._samples, {}, MOST_MEASUREMENTS
        return ((name, sample.kept, sample.seen) for name, sample in samples.items())
