"""The last day of counters by the minute, for the status page, with StatsD or without."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Mapping
from typing import Any

MINUTES = 1440

MOST_NAMES = 512
"""At twelve kilobytes a name, six megabytes at most."""

_DEEPEST = 4
_SET_BACK = 60
_MOST = 2**62


class _Row:
    __slots__ = ("counts", "total", "used")

    def __init__(self) -> None:
        self.counts = array("q", [0]) * MINUTES
        """By minute of Unix time, modulo `MINUTES`."""
        self.total = 0
        self.used = 0
        """The minute of the last count."""


class History:
    """Counters by name and minute.

    A new name that finds no room takes the place of the one that counted
    longest ago: invented names push out each other, not those in use. Names of
    five parts and more, one build's share of a provider, are left to StatsD.
    """

    def __init__(self, now: Callable[[], float] = time.time, most_names: int = MOST_NAMES) -> None:
        """Take what tells the UTC Unix time, and the bound to the names."""
        self.forgotten = 0
        """Names that had to make room."""
        self._now = now
        self._most_names = most_names
        self._rows: dict[str, _Row] = {}
        """In the order of their last use."""
        self._minute = self._since = int(now() // 60)

    def record(self, counters: Mapping[str, int]) -> None:
        """Add these to the current minute."""
        self._advance()
        place = self._minute % MINUTES
        for name, count in counters.items():
            if not count or name.count(".") >= _DEEPEST:
                continue
            row = self._rows.pop(name, None)
            if row is None:
                if len(self._rows) >= self._most_names:
                    del self._rows[next(iter(self._rows))]
                    self.forgotten += 1
                row = _Row()
            before = row.counts[place]
            row.counts[place] = max(-_MOST, min(before + count, _MOST))
            row.total += row.counts[place] - before
            row.used = self._minute
            self._rows[name] = row

    def recent(self) -> dict[str, Any]:
        """Return ``totals`` by name, of the time from ``since`` to ``until`` (UTC Unix seconds)."""
        self._advance()
        return {
            "since": 60 * max(self._since, self._minute - MINUTES + 1),
            "until": int(self._now()),
            "totals": {name: self._rows[name].total for name in sorted(self._rows)},
            "forgotten": self.forgotten,
        }

    def series(self, name: str, minutes: int = MINUTES) -> list[int]:
        """Return the counts of the last so many minutes, at most a day; the current one is last."""
        self._advance()
        minutes = max(0, min(minutes, MINUTES))
        row = self._rows.get(name)
        if row is None:
            return [0] * minutes
        first = self._minute - minutes + 1
        return [row.counts[minute % MINUTES] for minute in range(first, self._minute + 1)]

    def _advance(self) -> None:
        minute = int(self._now() // 60)
        gone = minute - self._minute
        if -_SET_BACK <= gone <= 0:
            # A clock set back a little: the minute goes on until it has caught up.
            return
        if not 0 < gone < MINUTES:
            self._rows.clear()
            self._since = minute
        else:
            places = [each % MINUTES for each in range(self._minute + 1, minute + 1)]
            for name, row in list(self._rows.items()):
                if minute - row.used >= MINUTES:
                    del self._rows[name]
                    continue
                for place in places:
                    row.total -= row.counts[place]
                    row.counts[place] = 0
        self._minute = minute
