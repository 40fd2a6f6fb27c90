"""Metrics: what is counted, how it leaves, and what becomes of it when it can't."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from metro_backend.stats.statsd import BURST, DATAGRAM, HELD, MOST_NAMES, MOST_WAITING, Metrics
from metro_backend.stats.timers import MOST_PER_TIMER
from tests.doubles.statsd import StatsDListener
from tests.stats.memory import MemoryConnection


class MetricsCase(SynchronousTestCase):
    """Metrics that are started, with a way to StatsD in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.connection = MemoryConnection()
        self.recorded: list[Mapping[str, int]] = []
        self.metrics = Metrics(self.clock, self.connection, record=self.recorded.append)
        self.metrics.service.startService()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        """End the service, if the test hasn't."""
        if self.metrics.service.running:
            self.successResultOf(self.metrics.service.stopService())

    def received(self) -> StatsDListener:
        """Return a StatsD that has received everything sent so far."""
        listener = StatsDListener()
        for datagram in self.connection.datagrams:
            listener.datagramReceived(datagram, None)
        return listener


class FormatTests(MetricsCase):
    """What leaves, to the byte."""

    def test_kinds(self) -> None:
        """A second sends each name once, with the prefix; then the names are gone."""
        for _ in range(3):
            self.metrics.increment("a.b")
        self.metrics.increment("a.b", 4)
        self.metrics.decrement("down", 2)
        self.metrics.meter("events", 5)
        self.metrics.gauge("level", 1)
        self.metrics.gauge("level", 7.5)
        self.metrics.timing("took", 12)
        self.metrics.timing("took", 1.25)
        self.assertEqual(self.connection.datagrams, [])
        self.clock.advance(1)
        self.assertEqual(
            self.connection.datagrams,
            [
                b"mosmetro.a.b:7|c\nmosmetro.down:-2|c\nmosmetro.events:5|c\n"
                b"mosmetro.level:7.500|g\nmosmetro.took:12|ms\nmosmetro.took:1.250|ms"
            ],
        )
        self.clock.advance(1)
        self.assertEqual(len(self.connection.datagrams), 1)

    def test_negative_gauge(self) -> None:
        """A negative gauge goes after a zero, in the same datagram; with a sign it is a change."""
        for each in range(300):
            self.metrics.gauge(f"level{each}", -5)
        self.metrics.drain()
        gauges = self.received().gauges
        self.assertEqual(set(gauges.values()), {-5})
        for datagram in self.connection.datagrams:
            lines = datagram.split(b"\n")
            zeros = [line for line in lines if line.endswith(b":0|g")]
            self.assertEqual(len(lines), 2 * len(zeros))

    def test_sampled(self) -> None:
        """Of too many measurements a share is sent, with its rate."""
        for _ in range(4 * MOST_PER_TIMER):
            self.metrics.timing("took", 5)
        self.clock.advance(1)
        listener = self.received()
        self.assertEqual(len(listener.timers["took"]), MOST_PER_TIMER)
        self.assertAlmostEqual(listener.measured["took"], 4 * MOST_PER_TIMER)
        self.assertIn("|ms|@0.250000", listener.lines[0])

    def test_sum_of_nothing(self) -> None:
        """A counter that went up and down again isn't sent."""
        self.metrics.increment("a")
        self.metrics.decrement("a")
        self.clock.advance(1)
        self.assertEqual(self.connection.datagrams, [])

    def test_sample_rate(self) -> None:
        """A sample rate doesn't make a counter less exact."""
        for _ in range(10):
            self.metrics.increment("a", sample_rate=0.1)
        self.clock.advance(1)
        self.assertEqual(self.received().totals(), {"a": 10})

    def test_prefix(self) -> None:
        """The prefix may be empty, and must be one that StatsD takes."""
        self.metrics = Metrics(self.clock, self.connection, prefix="")
        self.metrics.increment("a")
        self.metrics.drain()
        self.assertEqual(self.connection.datagrams, [b"a:1|c"])
        for prefix in ("a:b", "a.", "Щ", "a\nb"):
            self.assertRaises(ValueError, Metrics, self.clock, None, prefix)

    def test_bad_values(self) -> None:
        """What StatsD would not take doesn't leave, and is counted as lost."""
        self.metrics.increment("a b")
        self.metrics.increment("a:1|c\nb", 2)
        self.metrics.increment("x" * DATAGRAM)
        for value in (float("nan"), float("inf"), -float("inf")):
            self.metrics.gauge("level", value)
            self.metrics.timing("took", value)
        self.metrics.timing("took", -1)
        self.metrics.increment("good")
        self.clock.advance(1)
        self.clock.advance(1)
        self.assertEqual(self.metrics.lost, 4 + 7)
        self.assertEqual(self.received().totals(), {"good": 1, "server.statsd.lost": 11})


class PackingTests(MetricsCase):
    """How lines are put into datagrams, and datagrams sent."""

    def test_whole_lines(self) -> None:
        """Datagrams are as long as allowed, and no line is cut."""
        names = [f"name{each}.x{'x' * (each % 50)}" for each in range(MOST_NAMES)]
        for each, name in enumerate(names):
            self.metrics.increment(name, each + 1)
        self.metrics.drain()
        totals = self.received().totals()
        self.assertEqual(totals, {name: each + 1 for each, name in enumerate(names)})
        lengths = [len(datagram) for datagram in self.connection.datagrams]
        self.assertLessEqual(max(lengths), DATAGRAM)
        self.assertTrue(all(length > DATAGRAM - 80 for length in lengths[:-1]), lengths)

    def test_bursts(self) -> None:
        """Many datagrams leave in bursts, so that the receiver's buffer holds them."""
        for each in range(MOST_NAMES):
            self.metrics.increment(f"name{each}")
        self.clock.advance(1)
        self.assertEqual(len(self.connection.datagrams), BURST)
        self.clock.advance(0.02)
        self.assertEqual(len(self.connection.datagrams), 2 * BURST)
        self.clock.pump([0.02] * 10)
        self.assertEqual(len(self.received().counters), MOST_NAMES)
        self.assertEqual(self.metrics.lost, 0)

    def test_backlog(self) -> None:
        """What waits for its burst is bounded, too; the rest is lost, and counted."""
        self.connection.ready = True
        for second in range(20):
            for each in range(MOST_NAMES):
                self.metrics.increment(f"name{each}.{second}.{'x' * 100}")
            self.metrics.flush()
        self.assertTrue(self.metrics.lost)
        sent = len(self.connection.datagrams)
        self.metrics.drain()
        self.assertLessEqual(len(self.connection.datagrams) - sent, MOST_WAITING + 1)
        totals = self.received().totals()
        self.assertEqual(totals.pop("server.statsd.lost"), self.metrics.lost)
        self.assertEqual(sum(totals.values()) + self.metrics.lost, 20 * MOST_NAMES)


class TroubleTests(MetricsCase):
    """StatsD is away."""

    def test_short(self) -> None:
        """A way that opens within seconds costs nothing: what was counted waited for it."""
        self.connection.ready = False
        self.metrics.increment("a", 3)
        self.metrics.timing("took", 5)
        self.clock.pump([1] * (HELD - 1))
        self.connection.ready = True
        self.metrics.increment("a", 4)
        self.clock.advance(1)
        self.assertEqual(self.received().totals(), {"a": 7})
        self.assertEqual(self.received().timers, {"took": [5]})
        self.assertEqual(self.metrics.lost, 0)

    def test_long(self) -> None:
        """A way that stays shut loses what was counted, and tells how much as soon as it opens."""
        self.connection.ready = False
        self.connection.failures = 3
        for _ in range(30):
            self.metrics.increment("a", 2)
            self.metrics.timing("took", 5)
            self.metrics.gauge("level", 5)
            self.clock.advance(1)
        self.assertEqual(self.connection.datagrams, [])
        self.assertTrue(self.metrics.lost)
        self.connection.ready = True
        self.clock.pump([1] * (HELD + 1))
        totals = self.received().totals()
        self.assertEqual(totals["server.statsd.lost"], self.metrics.lost)
        self.assertEqual(totals["server.statsd.errors"], 3)
        # Two flushes lost one gauge each, of whose values only the last would have been sent.
        lost_counts = self.metrics.lost - 2
        taken = totals.get("a", 0) + len(self.received().timers["took"])
        self.assertEqual(lost_counts + taken, 30 * 3)

    def test_write_fails(self) -> None:
        """A datagram that can't leave is lost, and its loss told with the next that can."""
        self.metrics.increment("a", 5)
        self.connection.ready = False
        self.metrics.drain()
        self.assertEqual(self.metrics.lost, 5)
        self.connection.ready = True
        self.metrics.increment("a")
        self.clock.pump([1] * 2)
        self.assertEqual(self.received().totals(), {"a": 1, "server.statsd.lost": 5})
        self.clock.pump([1] * 2)
        self.assertEqual(self.received().totals(), {"a": 1, "server.statsd.lost": 5})

    def test_memory(self) -> None:
        """However long StatsD is away, what waits for it is bounded."""
        self.connection.ready = False
        for each in range(10 * MOST_NAMES):
            self.metrics.increment(f"a{each}")
            self.metrics.gauge(f"g{each}", 1)
            self.metrics.timing(f"t{each}", 1)
        self.assertEqual(self.metrics.lost, 3 * 9 * MOST_NAMES)
        self.metrics.increment("a0")
        self.assertEqual(self.metrics.lost, 3 * 9 * MOST_NAMES)

    def test_record_fails(self) -> None:
        """A history that raises neither stops the flushing nor keeps anything from leaving."""
        metrics = Metrics(self.clock, self.connection, record=self._refuse)
        metrics.service.startService()
        metrics.increment("a")
        self.clock.advance(1)
        metrics.increment("a")
        self.clock.advance(1)
        self.assertEqual(self.received().totals()["a"], 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.successResultOf(metrics.service.stopService())
        self.flushLoggedErrors(ZeroDivisionError)

    def _refuse(self, counters: Mapping[str, int]) -> None:
        raise ZeroDivisionError


class ServiceTests(MetricsCase):
    """Start, stop, and doing without."""

    def test_stop(self) -> None:
        """At the stop everything leaves at once, and the way is closed."""
        for each in range(MOST_NAMES):
            self.metrics.increment(f"name{each}")
        self.assertTrue(self.connection.started)
        self.stop()
        self.assertEqual(len(self.received().counters), MOST_NAMES)
        self.assertFalse(self.connection.started)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_recorded(self) -> None:
        """The history is told each flush's counters, once."""
        self.metrics.increment("a", 2)
        self.clock.advance(1)
        self.metrics.increment("a", 3)
        self.stop()
        self.assertEqual([dict(each) for each in self.recorded if each], [{"a": 2}, {"a": 3}])

    def test_without_statsd(self) -> None:
        """Without StatsD all goes on but the sending, and nothing is lost or piles up."""
        recorded: list[Mapping[str, int]] = []
        metrics = Metrics(self.clock, None, record=recorded.append)
        metrics.service.startService()
        metrics.increment("a", 2)
        metrics.gauge("level", 5)
        metrics.timing("took", 5)
        self.clock.advance(1)
        self.assertEqual(recorded, [{"a": 2}])
        self.assertEqual(metrics.lost, 0)
        self.successResultOf(metrics.service.stopService())
        self.assertEqual(self.connection.datagrams, [])
