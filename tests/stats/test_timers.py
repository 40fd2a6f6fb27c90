"""Measurements between two flushes: bounded, and a fair sample where there are too many."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from metro_backend.stats.timers import MOST_MEASUREMENTS, MOST_PER_TIMER, Timers


class TimersTests(SynchronousTestCase):
    """`Timers`."""

    def test_few(self) -> None:
        """Few measurements are kept, all of them and in order; taking them begins anew."""
        timers = Timers(10)
        for value in (3, 1, 2):
            self.assertTrue(timers.add("a", value))
        timers.add("b", 7)
        self.assertEqual(list(timers.take()), [("a", [3, 1, 2], 3), ("b", [7], 1)])
        self.assertEqual(list(timers.take()), [])

    def test_sample(self) -> None:
        """Of many measurements a sample is kept that looks like all of them."""
        timers = Timers(10, random.Random(1).random)
        for value in range(10_000):
            timers.add("a", value)
        ((_, kept, seen),) = timers.take()
        self.assertEqual((len(kept), seen), (MOST_PER_TIMER, 10_000))
        self.assertTrue(4000 < sum(kept) / len(kept) < 6000, kept)
        self.assertEqual(len(set(kept)), len(kept))

    def test_names(self) -> None:
        """There is a bound to the names; those that are there go on."""
        timers = Timers(2)
        self.assertTrue(timers.add("a", 1))
        self.assertTrue(timers.add("b", 1))
        self.assertFalse(timers.add("c", 1))
        self.assertTrue(timers.add("a", 2))

    def test_all(self) -> None:
        """There is a bound to all measurements, above which every name still has its first."""
        timers = Timers(1000)
        for each in range(1000):
            for value in range(20):
                timers.add(f"n{each}", value)
        taken = list(timers.take())
        self.assertEqual(sum(len(kept) for _, kept, _ in taken), 1000 + MOST_MEASUREMENTS)
        self.assertEqual(len(taken), 1000)
        self.assertEqual({seen for _, _, seen in taken}, {20})
