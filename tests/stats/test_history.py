"""The last day of counters by the minute."""

from __future__ import annotations

import json
import sys

from twisted.trial.unittest import SynchronousTestCase

from metro_backend.stats.history import MINUTES, MOST_NAMES, History

START = 1_700_000_040.0


class HistoryTests(SynchronousTestCase):
    """`History`, under a clock that the test sets."""

    def setUp(self) -> None:
        self.time = START
        self.history = History(lambda: self.time)

    def test_totals(self) -> None:
        """Counts add up by name, and can be read by the minute; all of it is JSON."""
        self.history.record({"a": 1, "b.c": 2})
        self.history.record({"a": 1})
        self.time += 120
        self.history.record({"a": 5, "never": 0})
        self.assertEqual(
            json.loads(json.dumps(self.history.recent())),
            {
                "since": int(START) // 60 * 60,
                "until": int(START) + 120,
                "totals": {"a": 7, "b.c": 2},
                "forgotten": 0,
            },
        )
        self.assertEqual(self.history.series("a", 4), [0, 2, 0, 5])
        self.assertEqual(self.history.series("x", 2), [0, 0])
        self.assertEqual(len(self.history.series("a", 10**9)), MINUTES)

    def test_day(self) -> None:
        """What is older than a day is gone, its name too."""
        self.history.record({"a": 1, "b": 1})
        self.time += 60 * (MINUTES - 1)
        self.history.record({"a": 2})
        self.assertEqual(self.history.recent()["totals"], {"a": 3, "b": 1})
        self.time += 60
        self.assertEqual(self.history.recent()["totals"], {"a": 2})
        self.assertEqual(self.history.recent()["since"], (int(START) // 60 + 1) * 60)

    def test_long_pause(self) -> None:
        """After more than a day of silence nothing is left."""
        self.history.record({"a": 1})
        self.time += 3 * 86400
        self.assertEqual(self.history.recent()["totals"], {})
        self.history.record({"a": 1})
        self.assertEqual(sum(self.history.series("a")), 1)

    def test_every_minute(self) -> None:
        """Over three days of steady counting the total stays that of one day."""
        for _ in range(3 * MINUTES):
            self.history.record({"a": 2})
            self.time += 60
        self.time -= 60
        self.assertEqual(self.history.recent()["totals"], {"a": 2 * MINUTES})
        self.assertEqual(set(self.history.series("a")), {2})

    def test_set_back(self) -> None:
        """A clock set back a little goes on in its minute; one set back far begins anew."""
        self.history.record({"a": 1})
        self.time -= 600
        self.history.record({"a": 1})
        self.assertEqual(self.history.recent()["totals"], {"a": 2})
        self.time -= 86400
        self.history.record({"a": 1})
        self.assertEqual(self.history.recent()["totals"], {"a": 1})

    def test_names(self) -> None:
        """Invented names push out each other, and those in use stay."""
        for each in range(10 * MOST_NAMES):
            self.history.record({"real": 1, f"invented{each}": 1})
        totals = self.history.recent()["totals"]
        self.assertEqual(len(totals), MOST_NAMES)
        self.assertEqual(totals["real"], 10 * MOST_NAMES)
        self.assertEqual(self.history.recent()["forgotten"], 10 * MOST_NAMES + 1 - MOST_NAMES)
        self.assertLess(sum(map(sys.getsizeof, self._rows())), MOST_NAMES * (8 * MINUTES + 200))

    def _rows(self) -> list[object]:
        return [row.counts for row in self.history._rows.values()]

    def test_detail(self) -> None:
        """One build's share of a provider is left to StatsD."""
        self.history.record({"play.77.MosMetroV2.success.true": 1, "MosMetroV2.success.true": 1})
        self.assertEqual(list(self.history.recent()["totals"]), ["MosMetroV2.success.true"])

    def test_huge(self) -> None:
        """A count too big for its place is clamped."""
        for _ in range(3):
            self.history.record({"a": 2**70})
        self.assertEqual(self.history.recent()["totals"], {"a": 2**62})
