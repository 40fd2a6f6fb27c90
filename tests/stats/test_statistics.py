"""Statistics, with everything around it in memory."""

from __future__ import annotations

from typing import cast

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from metro_backend.counting import Counting
from metro_backend.stats.counters import Vocabulary
from metro_backend.stats.events import MOST_REMEMBERED
from metro_backend.stats.history import History
from metro_backend.stats.reports import Era
from metro_backend.stats.statistics import MOST_IN_FLIGHT, Statistics
from metro_backend.stats.statsd import Metrics
from tests.doubles.statsd import StatsDListener
from tests.stats.memory import MemoryConnection, MemoryStore
from tests.stats.table import HOST, event, queue

VOCABULARY = Vocabulary(branches=frozenset({"play", "master"}), versions=frozenset({"77", "438"}))


class StatisticsCase(SynchronousTestCase):
    """Makes statistics, and reads what they have counted."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore()
        self.connection = MemoryConnection()
        self.history = History(lambda: 1_700_000_000 + self.clock.seconds())
        self.metrics = Metrics(self.clock, self.connection, record=self.history.record)
        self.statistics = self.make()
        self.logged: list[LogEvent] = []
        observer = cast(ILogObserver, self.logged.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def vocabulary(self) -> Vocabulary:
        """Return what is published."""
        return VOCABULARY

    def make(self, max_names: int = 2000) -> Statistics:
        """Make statistics that share the metrics and the store."""
        return Statistics(
            self.clock,
            self.metrics,
            self.store,
            lambda: self.vocabulary(),
            max_names,
            lambda: 1_700_000_000 + self.clock.seconds(),
        )

    def totals(self) -> dict[str, int]:
        """Return everything that has been counted so far."""
        self.metrics.drain()
        listener = StatsDListener()
        for datagram in self.connection.datagrams:
            listener.datagramReceived(datagram, None)
        return listener.totals()

    def queue(self, *times: int) -> None:
        """Send a queue of successful events, each of its second."""
        events = [event({"provider": "Bmstu"}, timestamp=each) for each in times]
        self.statistics.report(Era.V3, queue(*events), HOST)


class CountTests(StatisticsCase):
    """What isn't a report."""

    def test_download(self) -> None:
        """A download counts for its branch and number; the branch passes the gate."""
        self.statistics.download("play", 77)
        self.statistics.download("play", 77)
        self.statistics.download("feature%2Fdns", 5)
        self.assertEqual(self.totals(), {"update.play.77": 2, "update.feature-2Fdns.5": 1})

    def test_update_check(self) -> None:
        """An update check has a counter."""
        self.statistics.update_check()
        self.assertEqual(self.totals(), {"update_check": 1})

    def test_own(self) -> None:
        """The server's own events are counted under their names, as `Counting` wants it."""
        count: Counting = self.statistics.count
        count("server.upstream.timeout")
        count("server.upstream.timeout", 3)
        self.assertEqual(self.totals(), {"server.upstream.timeout": 4})

    def test_history(self) -> None:
        """What is counted is in the history, too."""
        self.statistics.update_check()
        self.metrics.drain()
        self.assertEqual(self.history.recent()["totals"], {"update_check": 1})

    def test_no_input_or_output(self) -> None:
        """A form touches neither the store nor the way to StatsD, however many come."""
        for _ in range(100):
            self.statistics.report(Era.V2, b"success=true&provider=Bmstu&duration=5", HOST)
        self.assertEqual(self.store.calls, 0)
        self.assertEqual(self.connection.datagrams, [])
        self.assertEqual(self.totals()["Bmstu.success.true"], 100)

    def test_hosts(self) -> None:
        """A host is counted without its port, whatever its kind."""
        for host in ("a.example", "A.example.:80", "[2001:db8::1]:80", "192.0.2.1:8000", "", "x:y"):
            self.statistics.report(Era.CHECK, b"", host)
        names = {name for name in self.totals() if name.startswith("domain.")}
        self.assertEqual(
            names,
            {
                "domain.a-example",
                "domain.2001-db8-1",
                "domain.192-0-2-1",
                "domain.null",
                "domain.x-y",
            },
        )

    def test_max_names(self) -> None:
        """However many names are asked for, no more than allowed go out in an hour."""
        self.statistics = self.make(100)
        for each in range(300):
            self.statistics.count(f"server.x{each}")
            self.statistics.download("play", each)
            self.statistics.report(Era.V2, b"success=true&provider=x%d" % each, f"h{each}.example")
        totals = self.totals()
        self.assertLessEqual(len(totals), 100)
        self.assertTrue(totals["server.stats.folded.names"])
        self.assertTrue(totals["report.other"])
        self.assertEqual(totals["success.true"], 300)

    def test_learns(self) -> None:
        """A branch published while the server runs is known within seconds."""
        for each in range(50):
            self.statistics.download(f"old{each}", 1)
        self.statistics.download("new", 1)
        self.assertNotIn("update.new.1", self.totals())
        self.vocabulary = lambda: Vocabulary(  # type: ignore[method-assign]
            branches=frozenset({"new"}), versions=frozenset()
        )
        self.clock.advance(6)
        self.statistics.download("new", 1)
        self.assertEqual(self.totals()["update.new.1"], 1)


class EventTests(StatisticsCase):
    """Queues that are sent again."""

    def test_again(self) -> None:
        """A queue that is sent again counts once, and what is new in it counts."""
        self.queue(1, 2)
        self.queue(1, 2)
        self.queue(1, 2, 3)
        self.assertEqual(self.totals()["Bmstu.success.true"], 3)

    def test_twice_in_one(self) -> None:
        """An event that stands twice in one queue counts once."""
        self.queue(1, 1)
        self.assertEqual(self.totals()["Bmstu.success.true"], 1)

    def test_instances(self) -> None:
        """Instances that share a store count an event once between them."""
        for _ in range(3):
            self.statistics = self.make()
            self.queue(1, 2)
        self.assertEqual(self.totals()["Bmstu.success.true"], 2)

    def test_unknown_phone(self) -> None:
        """Events of nobody can't be told apart, and all count."""
        body = queue(event({"provider": "Bmstu"}), uuid=None)
        for _ in range(3):
            self.statistics.report(Era.V3, body, HOST)
        self.assertEqual(self.totals()["Bmstu.success.true"], 3)
        self.assertEqual(self.store.calls, 0)

    def test_away(self) -> None:
        """While the store is away every event counts, and later ones are remembered again."""
        self.store.away = True
        self.queue(1)
        self.queue(1)
        self.assertEqual(self.totals()["Bmstu.success.true"], 2)
        self.store.away = False
        self.clock.advance(10)
        self.queue(2)
        self.statistics = self.make()
        self.queue(2)
        self.assertEqual(self.totals()["Bmstu.success.true"], 3)

    def test_broken(self) -> None:
        """A store that raises against its promise costs no event."""
        self.store.broken = True
        self.queue(1, 2)
        self.assertEqual(self.totals()["Bmstu.success.true"], 2)
        self.assertEqual(self.totals()["server.stats.failed"], 2)
        self.assertEqual(self.statistics.in_flight, 0)

    def test_slow(self) -> None:
        """Nobody waits for a slow store; the events count when it has answered."""
        self.store.slow = True
        self.queue(1, 2)
        self.assertNotIn("Bmstu.success.true", self.totals())
        self.assertEqual(self.statistics.in_flight, 2)
        for _ in range(4):
            self.store.answer()
        self.assertEqual(self.totals()["Bmstu.success.true"], 2)
        self.assertEqual(self.statistics.in_flight, 0)

    def test_flood(self) -> None:
        """Events beyond those that may wait for the store count without asking."""
        self.store.slow = True
        for each in range(0, MOST_IN_FLIGHT + 250, 50):
            self.queue(*range(each, each + 50))
        self.assertEqual(self.statistics.in_flight, MOST_IN_FLIGHT)
        totals = self.totals()
        self.assertEqual(totals["Bmstu.success.true"], 250)
        self.assertEqual(totals["server.stats.unasked"], 250)
        while self.store.waiting:
            self.store.answer()
        self.assertEqual(self.totals()["Bmstu.success.true"], MOST_IN_FLIGHT + 250)

    def test_remembered(self) -> None:
        """An hour adds only so many events to the store; those that are in it stay known."""
        self.queue(1)
        for each in range(0, MOST_REMEMBERED + 200, 100):
            self.queue(*range(each + 2, each + 102))
        self.assertEqual(len(self.store.values), MOST_REMEMBERED + 1)
        self.queue(1, 2, 3)
        self.assertEqual(self.totals()["Bmstu.success.true"], MOST_REMEMBERED + 201)
        self.clock.advance(3600)
        self.queue(0)
        self.assertEqual(len(self.store.values), MOST_REMEMBERED + 2)

    def test_key(self) -> None:
        """The store holds keyed hashes: the same event has another name under another key."""
        self.queue(1)
        first = set(self.store.values)
        self.store.values.clear()
        self.statistics = self.make()
        self.queue(1)
        self.assertEqual(len(first & set(self.store.values)), 1)
        self.assertEqual(len(self.store.values["event-key"]), 32)

    def test_key_lost(self) -> None:
        """A key that the store has lost is put back, so that what was counted stays known."""
        self.queue(1)
        key = self.store.values.pop("event-key")
        self.clock.advance(3600)
        self.queue(1, 2)
        self.assertEqual(self.store.values["event-key"], key)
        self.assertEqual(self.totals()["Bmstu.success.true"], 2)

    def test_foreign_key(self) -> None:
        """A value in the key's place that is no key is left alone."""
        self.store.values["event-key"] = b"short"
        self.queue(1)
        self.queue(1)
        self.assertEqual(self.totals()["Bmstu.success.true"], 1)


class FailureTests(StatisticsCase):
    """Nothing raises, and nothing personal is told."""

    def test_never_raises(self) -> None:
        """Arguments of the wrong type, which no caller may pass, raise nothing and are counted."""
        self.statistics.report(Era.V2, cast(bytes, None), HOST)
        self.statistics.report(Era.V2, b"success=true", cast(str, None))
        self.statistics.download(cast(str, 7), 1)
        self.statistics.count(cast(str, []))
        self.assertEqual(self.totals(), {"server.stats.failed": 4})
        self.assertEqual(len([each for each in self.logged if "kind" in each]), 1)

    def test_all_or_nothing(self) -> None:
        """If one of a report's counters can't be named, none of them counts."""
        self.statistics.report(Era.V1, b"success=true&captcha=mcc", cast(str, None))
        self.assertEqual(self.totals(), {"server.stats.failed": 1})

    def test_vocabulary_fails(self) -> None:
        """A vocabulary that can't be had costs no report, and its words don't get into the log."""
        self.vocabulary = self._refuse  # type: ignore[method-assign]
        self.statistics.report(Era.V2, b"success=true", HOST)
        totals = self.totals()
        self.assertEqual((totals["success.true"], totals["server.stats.failed"]), (1, 1))
        self.assertNotIn("MARKER", repr(self.logged))

    def _refuse(self) -> Vocabulary:
        raise ValueError("MARKER")

    def test_private(self) -> None:
        """Nothing personal, in whichever field of whichever era, gets out of a report."""
        names = "ssid", "bssid", "captcha", "captcha_image", "captcha_code", "log", "message"
        fields = {name: f"MARKER-{name}" for name in names}
        form = "&".join(f"{name}={value}" for name, value in fields.items())
        form += "&uuid=MARKER-uuid&timestamp=MARKER-time&automatic=MARKER&MARKER-bare"
        bodies = {
            Era.CHECK: f"version=1.0-5&connected=1&{form}",
            Era.V1: f"version=1.0-50&success=true&{form}",
            Era.V2: f"?version_code=77&provider=MosMetroV2&success=true&{form}",
            Era.V3: queue(
                event({"provider": "MosMetroV3"} | fields, timestamp=1, **fields),
                "MARKER-event",
                {"MARKER-key": {}},
                uuid="MARKER-uuid",
            ).decode(),
        }
        for era in Era:
            for body in bodies.values():
                self.statistics.report(era, body.encode(), HOST)
            self.statistics.report(era, f"MARKER-{era}".encode(), HOST)
            self.statistics.report(era, f'{{"MARKER": {era}'.encode(), HOST)
        self.assertEqual(self.totals()["report.rejected.json"], 4)
        self.assertTrue(any(key.startswith("event:") for key in self.store.values))
        for place in (
            self.connection.datagrams,
            self.store.values,
            self.history.recent(),
            self.logged,
        ):
            self.assertNotIn("MARKER", repr(place))
