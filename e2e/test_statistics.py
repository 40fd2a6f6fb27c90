"""The way of a report: phone, server, StatsD, InfluxDB, and back by InfluxQL."""

from __future__ import annotations

import time
from collections import Counter
from itertools import pairwise

from twisted.trial.unittest import SynchronousTestCase

from e2e.statistics_influxdb import InfluxDB
from e2e.statistics_process import until
from e2e.statistics_reports import CASES, HOST
from e2e.statistics_server import Server
from e2e.statistics_statsd import FLUSHED_EVERY, Collectd, StatsD, Tee

_MILLISECONDS = (
    'SELECT sum("ms") FROM (SELECT "mean" * "count" AS "ms" FROM "duration" GROUP BY *) GROUP BY *'
)
_BAD_LINES = 'SELECT sum("count") FROM "statsd" WHERE "value" = \'bad_lines_seen\''


def post_all(test: SynchronousTestCase, server: Server) -> None:
    """Send every request of the table, and see that each is answered well."""
    for case in CASES:
        body = None if case.body is None else case.body.encode()
        for _ in range(case.times):
            status, _ = server.request(case.path, body, Host=HOST)
            test.assertEqual(status, 200, case.title)


def settled(influxdb: InfluxDB, expected: Counter[str]) -> Counter[str]:
    """Wait until everything expected has arrived, and whatever more comes with the next flush."""

    def read() -> Counter[str]:
        return Counter(
            {
                key: round(count)
                for key, count in influxdb.totals().items()
                if not key.startswith(("server,", "stats,"))
            }
        )

    try:
        until(lambda: read() >= expected, "all counters")
    except AssertionError:
        return read()
    seen = influxdb.flushes()
    until(lambda: influxdb.flushes() > seen + 1, "two more flushes")
    return read()


class ReportTests(SynchronousTestCase):
    """Reports of every era, downloads and update checks."""

    def test_every_report_is_read_back(self) -> None:
        """Counters, tags, rates and durations are exact, for each request of the table."""
        influxdb = InfluxDB(self)
        self.assertEqual(influxdb.initialize().returncode, 0)
        statsd = StatsD(self, influxdb.graphite_port)
        server = Server(self, statsd.port)
        post_all(self, server)

        expected = Counter(key for case in CASES for key in case.series)
        milliseconds: Counter[str] = Counter()
        for case in CASES:
            expected.update(case.milliseconds.keys())
            milliseconds.update(case.milliseconds)
        self.assertEqual(settled(influxdb, expected), expected)

        measured = {
            f"duration,{','.join(f'{k}={v}' for k, v in series['tags'].items() if v)}": row[1]
            for series in influxdb.ask(_MILLISECONDS)
            for row in series["values"]
        }
        self.assertEqual(measured, milliseconds)
        rows = influxdb.rows('SELECT "count", "rate" FROM /.*/ WHERE "rate" > 0')
        self.assertGreater(len(rows), len(expected) // 2)
        for row in rows:
            self.assertAlmostEqual(row["rate"] * FLUSHED_EVERY, row["count"])
        self.assertEqual(influxdb.rows(_BAD_LINES)[0]["sum"], 0)

    def test_resumed_download_counts_once(self) -> None:
        """A download in two pieces is one download."""
        influxdb = InfluxDB(self)
        influxdb.initialize()
        server = Server(self, StatsD(self, influxdb.graphite_port).port)
        path = "/releases/MosMetro-play-v77.apk"
        first, _ = server.request(path, Range="bytes=0-999")
        second, _ = server.request(path, Range="bytes=1000-")
        self.assertEqual((first, second), (206, 206))
        expected = Counter({"update,branch=play,version=77": 1})
        self.assertEqual(settled(influxdb, expected), expected)

    def test_another_make(self) -> None:
        """collectd understands the same datagrams, and counts what StatsD counts."""
        influxdb = InfluxDB(self)
        influxdb.initialize()
        statsd, collectd = StatsD(self, influxdb.graphite_port), Collectd(self)
        tee = Tee(statsd.port, collectd.port)
        self.addCleanup(tee.stop)
        server = Server(self, tee.port)
        post_all(self, server)
        settled(influxdb, Counter(key for case in CASES for key in case.series))
        server.stop()

        lines = [line.replace("|", ":").split(":") for line in tee.lines]
        counted: Counter[str] = Counter()
        seconds: Counter[str] = Counter()
        for name, value, kind in lines:
            (counted if kind == "c" else seconds)[name] += int(value)
        until(lambda: collectd.counters() == counted, "collectd to have all counters", 20)
        self.assertEqual(collectd.timers(), {name: ms / 1000 for name, ms in seconds.items()})
        measurements = sum(kind == "ms" for _, _, kind in lines)
        self.assertGreaterEqual(measurements, 10)
        everything = counted.total() + measurements
        until(lambda: sum(influxdb.totals().values()) == everything, "InfluxDB to have all", 20)


class OutageTests(SynchronousTestCase):
    """InfluxDB away."""

    def test_two_lost_flushes(self) -> None:
        """What is flushed while InfluxDB is away is lost; before and after, everything is right."""
        influxdb = InfluxDB(self)
        influxdb.initialize()
        statsd = StatsD(self, influxdb.graphite_port)
        server = Server(self, statsd.port)

        def report(version: int) -> None:
            body = f"version=2.0-{version}&success=true".encode()
            self.assertEqual(server.request("/api/v1/statistics.php", body)[0], 200)

        def counted() -> Counter[str]:
            rows = influxdb.ask('SELECT sum("count") FROM "version_code" GROUP BY "value"')
            return Counter({each["tags"]["value"]: round(each["values"][0][1]) for each in rows})

        report(10)
        until(lambda: counted() == {"10": 1}, "the first report")
        influxdb.stop()
        for version in (11, 12):
            report(version)
            name, sent = f"mosmetro.version.code.{version}", time.monotonic()
            seen = False
            # Held, and then no more: that was a flush. One that was not seen has come and gone.
            while statsd.holds(name) or not (seen or time.monotonic() > sent + 3 * FLUSHED_EVERY):
                seen = seen or statsd.holds(name)
        influxdb.start()
        before = influxdb.flushes()
        report(13)
        until(lambda: counted()["13"] == 1, "a report after the outage")
        until(lambda: influxdb.flushes() > before + 1, "two more flushes")
        self.assertEqual(counted(), {"10": 1, "13": 1})
        stamps = [row["time"] for row in influxdb.rows('SELECT "numStats" FROM "statsd"')]
        gaps = [later - earlier for earlier, later in pairwise(stamps)]
        self.assertGreaterEqual(max(gaps), 3 * 1000 * FLUSHED_EVERY)
