"""Every dashboard, on data that came the whole way."""

from __future__ import annotations

import copy
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from e2e.statistics_dashboards import SHIFTED, Query, shipped
from e2e.statistics_influxdb import InfluxDB
from e2e.statistics_names import PREFIX
from e2e.statistics_process import free_port, until
from e2e.statistics_reports import CASES, HOST
from e2e.statistics_schema import problems
from e2e.statistics_server import Server
from e2e.statistics_statsd import StatsD
from e2e.statistics_timeshift import Timeshift

WEEK = 7 * 86400

STAND_INS = ("server.statsd.lost", "server.statsd.errors")
"""Counters that a test cannot cause from outside and also read back: who sends them is cut off."""

A_WEEK_AGO = {
    "stats.counters.mosmetro.success.true.count": 30,
    "stats.counters.mosmetro.success.error.count": 4,
    "stats.counters.mosmetro.update_check.count": 50,
    "stats.counters.mosmetro.update.play.77.count": 6,
    "stats.timers.mosmetro.MosMetroV2.duration.mean": 1700,
    "stats.timers.mosmetro.MosMetroV2.duration.count": 30,
}


class SchemaTests(SynchronousTestCase):
    """Grafana's own types."""

    def test_dashboards(self) -> None:
        """Each dashboard is what Grafana's types say, to the last key."""
        for dashboard in shipped():
            found = problems(copy.deepcopy(dict(dashboard.content)))
            self.assertEqual(list(found), [], dashboard.name)

    def test_mistakes_are_found(self) -> None:
        """A key that nobody knows, a word that is none, and a missing key are all told."""
        content: dict[str, Any] = copy.deepcopy(dict(shipped()[0].content))
        panel = content["panels"][0]
        panel["fieldConfg"] = {}
        panel["options"]["graphMode"] = "nowhere"
        del content["schemaVersion"]
        found = "\n".join(problems(content))
        for word in ("fieldConfg", "/graphMode", "schemaVersion"):
            self.assertIn(word, found)


class QueryTests(SynchronousTestCase):
    """Grafana itself is not run: its variables are put in here, and InfluxDB answers."""

    def setUp(self) -> None:
        """Let everything happen that is counted, today and a week ago."""
        self.influxdb = InfluxDB(self)
        self.influxdb.initialize()
        self.timeshift = Timeshift(self.influxdb.url)
        self.addCleanup(self.timeshift.stop)
        now = round(time.time())
        self.influxdb.write([f"{name} {value} {now - WEEK}" for name, value in A_WEEK_AGO.items()])
        statsd = StatsD(self, self.influxdb.graphite_port)
        server = Server(self, statsd.port)
        for case in CASES:
            server.request(case.path, None if case.body is None else case.body.encode(), Host=HOST)
        # More strange providers than there is room for.
        for number in range(20):
            body = f"version_code=77&success=error&build_branch=play&provider=P{number}"
            server.request("/api/v2/stats", body.encode(), Host=HOST)
        server.request("/no/such/page")
        # A server that has lost its sources and its store.
        nowhere = f"127.0.0.1:{free_port()}"
        lost = Server(
            self,
            statsd.port,
            MOSMETRO_GITHUB_API=f"http://{nowhere}",
            MOSMETRO_JENKINS_URL=f"http://{nowhere}",
            MOSMETRO_REDIS=nowhere,
        )
        lost.request("/api/v1/branches.php")
        statsd.send(*(f"{PREFIX}{name}:1|c" for name in STAND_INS))
        until(self.everything_is_there, "every kind of counter")
        self.start, self.end = 1000 * (now - 3600), 1000 * round(time.time() + 1)

    def everything_is_there(self) -> bool:
        """Tell whether the last of each source has arrived, and two flushes more."""
        parts = {
            each["value"]
            for each in self.influxdb.rows('SHOW TAG VALUES FROM "server" WITH KEY = "part"')
        }
        return (
            parts >= {"http", "mirror", "catalogue", "upstream", "store", "stats", "statsd"}
            and self.influxdb.totals().get("update,branch=master,version=438", 0) > 0
            and self.influxdb.flushes() > 2
        )

    def values(self, query: Query, variables: dict[str, list[str]]) -> list[float]:
        """Ask one query as Grafana does; return all its numbers."""
        text = query.expanded(variables, self.start, self.end)
        url = self.timeshift.url if query.source == SHIFTED else ""
        return [
            value
            for series in self.influxdb.ask(text, url=url)
            for row in series["values"]
            for column, value in zip(series["columns"], row, strict=True)
            if column != "time" and isinstance(value, (int, float))
        ]

    def test_no_panel_is_empty(self) -> None:
        """Every query returns values, for all values of the variables and for chosen ones."""
        asked = 0
        for dashboard in shipped():
            chosen: dict[str, list[str]] = {}
            for name, query in dashboard.variables.items():
                series = self.influxdb.ask(query.expanded({}, self.start, self.end))
                chosen[name] = [row[1] for row in series[0]["values"]]
                self.assertGreater(len(chosen[name]), 1, query.title)
            for query in dashboard.queries:
                asked += 1
                everything: dict[str, list[str]] = {name: [] for name in chosen}
                for variables in (everything, chosen):
                    values = self.values(query, variables)
                    # A delay may well be 0, a count that is none is not worth a panel.
                    self.assertTrue(any(values) or (values and "max(" in query.text), query.title)
        self.assertGreater(asked, 50)

    def test_last_week_is_last_week(self) -> None:
        """What the proxy moves is what was counted a week ago, and lies in the range asked for."""
        for dashboard in shipped():
            for query in dashboard.queries:
                if query.source != SHIFTED:
                    continue
                text = query.expanded({"branch": []}, self.start, self.end)
                for series in self.influxdb.ask(text, url=self.timeshift.url):
                    for stamp, _ in series["values"]:
                        self.assertTrue(self.start - 10_000 <= stamp <= self.end, query.title)
                found = max(self.values(query, {"branch": []}))
                self.assertIn(found, {34, 4, 50, 6, 1700}, query.title)
        self.assertGreater(self.timeshift.moved, 8)

    def test_choice_narrows(self) -> None:
        """Chosen values leave the others out, and each plot has the name of its values."""
        for name, title, chosen in (
            ("downloads.json", "Downloads by branch", {"branch": ["master"]}),
            ("providers.json", "Time to connect, mean", {"provider": ["MosMetroV2", "Unknown"]}),
        ):
            (dashboard,) = (each for each in shipped() if each.name == name)
            query = next(each for each in dashboard.queries if title in each.title)
            series = self.influxdb.ask(query.expanded(chosen, self.start, self.end))
            ((tag, values),) = chosen.items()
            self.assertEqual([each["tags"][tag] for each in series], values[:1])
