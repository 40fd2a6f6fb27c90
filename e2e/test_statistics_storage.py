"""What InfluxDB keeps, for how long, and how much of it at most."""

from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase

from e2e.statistics_influxdb import DATABASE, InfluxDB
from e2e.statistics_names import flushed
from e2e.statistics_process import free_port, until
from e2e.statistics_templates import Templates

MONTH = {
    "name": "month",
    "duration": "744h0m0s",
    "shardGroupDuration": "24h0m0s",
    "replicaN": 1,
    "default": True,
}

COPY = (
    f'SELECT * INTO "{DATABASE}"."month".:MEASUREMENT FROM "{DATABASE}"."autogen"./.*/ GROUP BY *'
)
"""What the documentation says to take old data along."""

DAY = 86400

VALUES = 20_000
"""What influxdb.conf allows of a tag."""

BATCH = 5000
"""What influxdb.conf lets the listener write at once."""


def check_line(seconds: float = 0, count: int = 1) -> str:
    """Write an update check of so many seconds ago, as StatsD would."""
    return f"stats.counters.mosmetro.update_check.count {count} {round(time.time() - seconds)}"


class RetentionTests(SynchronousTestCase):
    """The init step, on whatever is there."""

    def policies(self, influxdb: InfluxDB) -> list[dict[str, object]]:
        """Return the database's policies."""
        return influxdb.rows(f'SHOW RETENTION POLICIES ON "{DATABASE}"')

    def checks(self, influxdb: InfluxDB, measurement: str = '"update_check"') -> int:
        """Return the sum of update checks."""
        if {"name": DATABASE} not in influxdb.rows("SHOW DATABASES"):
            return 0
        rows = influxdb.rows(f'SELECT sum("count") AS "sum" FROM {measurement}')
        return round(rows[0]["sum"]) if rows else 0

    def initialize(self, influxdb: InfluxDB, **settings: str) -> str:
        """Run the init step twice, which must go well, and return what it said first."""
        first = influxdb.initialize(**settings)
        self.assertEqual((first.returncode, first.stderr), (0, ""))
        second = influxdb.initialize(**settings)
        self.assertEqual((second.returncode, second.stderr), (0, ""))
        return first.stdout

    def test_fresh_directory(self) -> None:
        """There is one policy, of a month, and data go into it."""
        influxdb = InfluxDB(self)
        self.initialize(influxdb)
        self.assertEqual(self.policies(influxdb), [MONTH])
        self.assertEqual(influxdb.rows("SHOW DATABASES"), [{"name": DATABASE}])
        influxdb.write([check_line()])
        until(lambda: self.checks(influxdb, '"month"."update_check"') == 1, "the point")
        self.assertEqual(self.policies(influxdb), [MONTH])

    def test_listener_came_first(self) -> None:
        """The endless policy that the listener made becomes the month, with the data in it."""
        influxdb = InfluxDB(self)
        influxdb.write([check_line()])
        until(lambda: self.checks(influxdb) == 1, "the point")
        (endless,) = self.policies(influxdb)
        self.assertEqual((endless["name"], endless["duration"]), ("month", "0s"))
        self.initialize(influxdb)
        self.assertEqual(self.policies(influxdb), [MONTH])
        influxdb.write([check_line(seconds=10)])
        until(lambda: self.checks(influxdb) == 2, "the second point")

    def test_existing_database(self) -> None:
        """An endless `autogen` becomes a month, too; its data stay readable under its name."""
        influxdb = InfluxDB(
            self,
            INFLUXDB_META_RETENTION_AUTOCREATE="true",
            INFLUXDB_GRAPHITE_0_RETENTION_POLICY="autogen",
        )
        influxdb.ask(f'CREATE DATABASE "{DATABASE}"')
        influxdb.ask(f'CREATE RETENTION POLICY "long" ON "{DATABASE}" DURATION INF REPLICATION 1')
        influxdb.write([check_line()])
        until(lambda: self.checks(influxdb) == 1, "the point")
        said = self.initialize(influxdb)
        self.assertIn("warning: long keeps data for ever", said)
        policies = {each.pop("name"): each for each in self.policies(influxdb)}
        self.assertEqual({"name": "month", **policies["month"]}, MONTH)
        self.assertEqual(
            (policies["autogen"]["duration"], policies["autogen"]["default"]), ("744h0m0s", False)
        )
        self.assertEqual(policies["long"]["duration"], "0s")
        self.assertEqual(self.checks(influxdb), 0)
        self.assertEqual(self.checks(influxdb, '"autogen"."update_check"'), 1)
        influxdb.ask(COPY)
        self.assertEqual(self.checks(influxdb), 1)

    def test_old_data_go(self) -> None:
        """What is older than a month is gone with the next check, what is younger stays."""
        influxdb = InfluxDB(self, INFLUXDB_RETENTION_CHECK_INTERVAL="1s")
        influxdb.write([check_line(seconds=60 * DAY), check_line(seconds=20 * DAY)])
        until(lambda: self.checks(influxdb) == 2, "the points")
        self.initialize(influxdb)
        until(lambda: self.checks(influxdb) == 1, "the old point to go")

    def test_password(self) -> None:
        """With users turned on the init step needs an administrator, whose password may be odd."""
        influxdb = InfluxDB(self, INFLUXDB_HTTP_AUTH_ENABLED="true")
        password = 'a "quoted\\ one$'
        quoted = password.replace("\\", "\\\\")
        influxdb.ask(f"CREATE USER \"root\" WITH PASSWORD '{quoted}' WITH ALL PRIVILEGES")
        refused = influxdb.initialize()
        self.assertEqual(refused.returncode, 1)
        self.assertIn("init: CREATE DATABASE", refused.stderr)
        self.initialize(influxdb, INFLUXDB_USER="root", INFLUXDB_PASSWORD=password)

    def test_no_influxdb(self) -> None:
        """The init step says what it waited for, and gives up."""
        influxdb = InfluxDB(self)
        url = f"http://127.0.0.1:{free_port()}"
        done = influxdb.initialize(INFLUXDB_URL=url, INFLUXDB_WAIT="1")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, f"init: no InfluxDB at {url} for 1 s\n")


class SeriesTests(SynchronousTestCase):
    """Names, and what becomes of them."""

    def test_templates(self) -> None:
        """Every name that StatsD can send becomes the series that the model says."""
        influxdb = InfluxDB(self)
        influxdb.initialize()
        names = flushed() | {"stats.counters.staging.update.play.77.count", "stats.gauges.x"}
        templates, now = Templates.shipped(), round(time.time())
        influxdb.write([f"{name} 1 {now}" for name in sorted(names)])
        expected = {(templates.place(name).series, templates.place(name).field) for name in names}

        def stored() -> set[tuple[str, str]]:
            return {
                (
                    ",".join([each["name"], *(f"{k}={v}" for k, v in each["tags"].items() if v)]),
                    column,
                )
                for each in influxdb.ask("SELECT * FROM /.*/ GROUP BY *")
                for row in each["values"]
                for column, value in zip(each["columns"], row, strict=True)
                if value is not None and column != "time"
            }

        until(lambda: len(stored()) >= len(expected), "all series", 20)
        self.assertEqual(stored(), expected)

    def test_flood(self) -> None:
        """Invented values end at a bound, which a batch may overrun; a known one goes on."""
        influxdb = InfluxDB(self)
        influxdb.initialize()
        now = round(time.time())
        name = "stats.counters.mosmetro.domain"

        def values() -> int:
            rows = influxdb.rows('SHOW TAG VALUES CARDINALITY FROM "domain" WITH KEY = "value"')
            return int(rows[0]["count"]) if rows else 0

        influxdb.write([f"{name}.known.count 1 {now - 1}"])
        until(lambda: values() == 1, "the known value")
        influxdb.write([f"{name}.v{number}.count 1 {now}" for number in range(VALUES + BATCH)])
        until(lambda: values() >= VALUES, "the flood")
        influxdb.write([f"{name}.known.count 1 {now}"])
        query = 'SELECT sum("count") AS "sum" FROM "domain" WHERE "value" = \'known\''
        until(lambda: influxdb.rows(query)[0]["sum"] == 2, "the known value again")
        full = values()
        self.assertLess(full, VALUES + BATCH)
        influxdb.write([f"{name}.one-more.count 1 {now}"])
        until(lambda: 'value=\\"one-more\\"' in influxdb.log, "the refusal")
        self.assertEqual(values(), full)
        influxdb.ask('DROP SERIES FROM /.*/ WHERE "value" =~ /^v/')
        influxdb.write([f"{name}.one-more.count 1 {now}"])
        until(lambda: values() == 2, "room for another value")
