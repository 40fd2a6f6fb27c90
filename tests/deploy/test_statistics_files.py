"""The files of the pipeline behind the statistics, without running any of it."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from e2e.statistics_dashboards import DIRECT, GRAFANA, SHIFTED, Dashboard, Query, shipped
from e2e.statistics_names import COUNTED, TIMED, flushed
from e2e.statistics_templates import CONFIG, DIRECTORY, Point, Templates

_SHIFT = re.compile(r'SELECT (?:[^,]|,(?=[^()]*\)))+? AS "shift_1_weeks" FROM ')
_MEASUREMENT = re.compile(r'FROM "(\w+)"')
_ALIAS = re.compile(r'AS "(\w+)"')
_QUOTED = re.compile(r'"(\w+)"')
_EQUAL = re.compile(r"\"(\w+)\" = '([^']*)'")
_MATCHING = re.compile(r'"(\w+)" =~ /([^/]*)/')
_VARIABLE = re.compile(r"\$(\w+)")
_BUILT_IN = {"timeFilter", "__interval"}


class TemplateTests(SynchronousTestCase):
    """Names, and the series that InfluxDB makes of them."""

    def test_every_name_has_its_template(self) -> None:
        """No name that the server or StatsD sends falls to the template for strangers."""
        templates = Templates.shipped()
        lost = {name for name in flushed() if templates.find(name) is None}
        self.assertEqual(lost, set())

    def test_no_two_names_meet(self) -> None:
        """Each name has a field of its own, with a name that StatsD gave it."""
        templates = Templates.shipped()
        places: defaultdict[Point, set[str]] = defaultdict(set)
        for name in flushed():
            places[templates.place(name)].add(name)
            if "mosmetro" in name:
                self.assertIn(templates.place(name).field, {*COUNTED, *TIMED}, name)
        self.assertEqual([names for names in places.values() if len(names) > 1], [])

    def test_values_cannot_move_a_name(self) -> None:
        """A value that is called like a part of a name is filed as a value."""
        place = Templates.shipped().place
        point = place("stats.counters.mosmetro.count.segment.count.count")
        self.assertEqual(point.series, "segment,level=provider,provider=count,value=count")
        point = place("stats.counters.mosmetro.count.77.count.success.rate.rate")
        self.assertEqual(
            point.series, "success,branch=count,level=build,provider=count,value=rate,version=77"
        )
        self.assertEqual(point.field, "rate")

    def test_strangers_share_a_measurement(self) -> None:
        """Names with another prefix neither get lost nor make measurements of their own."""
        point = Templates.shipped().place("stats.counters.staging.success.true.count")
        self.assertEqual(
            point.series, "stats,kind=counters,name=success_true_count,service=staging"
        )
        self.assertEqual(point.field, "value")


class ConfigurationTests(SynchronousTestCase):
    """What the parts must agree upon."""

    def test_influxdb(self) -> None:
        """InfluxDB is silent, bounded, and never makes an endless policy with a database."""
        configuration = tomllib.loads(CONFIG.read_text("utf-8"))
        self.assertFalse(configuration["reporting-enabled"])
        self.assertFalse(configuration["meta"]["retention-autocreate"])
        data = configuration["data"]
        self.assertFalse(data["query-log-enabled"])
        self.assertEqual(data["index-version"], "inmem")
        self.assertGreater(data["max-series-per-database"], 0)
        self.assertGreater(data["max-values-per-tag"], 0)

    def test_init_makes_the_policy_that_the_listener_writes_to(self) -> None:
        """Database and policy are the same in the configuration and in the init step."""
        (listener,) = tomllib.loads(CONFIG.read_text("utf-8"))["graphite"]
        script = (DIRECTORY / "influxdb" / "init.sh").read_text("utf-8")
        self.assertIn(f"database=${{INFLUXDB_DATABASE:-{listener['database']}}}", script)
        self.assertIn(f"policy=${{INFLUXDB_POLICY:-{listener['retention-policy']}}}", script)
        self.assertIn("duration=${INFLUXDB_DURATION:-31d}", script)

    def test_statsd(self) -> None:
        """StatsD forgets idle names, and makes of a timer what the dashboards know."""
        text = (DIRECTORY / "statsd" / "config.js").read_text("utf-8")
        self.assertIn("deleteIdleStats: true", text)
        self.assertIn("legacyNamespace: false", text)
        (listed,) = re.findall(r"calculatedTimerMetrics: \[([^]]*)\]", text)
        made = {each.replace("percent", "90") for each in _QUOTED.findall(listed)}
        self.assertEqual(made, set(TIMED))


class ProvisioningTests(SynchronousTestCase):
    """What Grafana reads when it starts."""

    def test_data_sources(self) -> None:
        """Both ways to the data are there, and both ask by GET, as the proxy moves nothing else."""
        (document,) = self.documents("datasources")
        sources = {each["uid"]: each for each in document["datasources"]}
        self.assertEqual(set(sources), {DIRECT, SHIFTED})
        (listener,) = tomllib.loads(CONFIG.read_text("utf-8"))["graphite"]
        for source in sources.values():
            self.assertEqual(source["type"], "influxdb")
            self.assertEqual(source["jsonData"]["httpMode"], "GET")
            self.assertEqual(source["jsonData"]["dbName"], listener["database"])
        self.assertTrue(sources[DIRECT]["isDefault"])

    def test_provider(self) -> None:
        """The dashboards are read from a directory, and are not deleted in the browser."""
        (document,) = self.documents("dashboards")
        (provider,) = document["providers"]
        self.assertEqual(provider["type"], "file")
        self.assertTrue(provider["disableDeletion"])
        self.assertEqual(provider["options"]["path"], "/etc/grafana/dashboards")

    def documents(self, kind: str) -> list[dict[str, Any]]:
        """Read all provisioning files of a kind."""
        found = [
            yaml.safe_load(path.read_text("utf-8"))
            for path in sorted((GRAFANA / "provisioning" / kind).glob("*.yml"))
        ]
        self.assertEqual([each["apiVersion"] for each in found], [1] * len(found))
        return found


class DashboardTests(SynchronousTestCase):
    """The dashboards, and every query in them."""

    def setUp(self) -> None:
        """Read the dashboards, and place every name that can be sent."""
        self.dashboards = shipped()
        templates = Templates.shipped()
        self.points = [templates.place(name) for name in flushed()]

    def queries(self) -> Iterator[Query]:
        """Every query of every panel and variable."""
        for dashboard in self.dashboards:
            yield from dashboard.queries
            yield from dashboard.variables.values()

    def test_identities(self) -> None:
        """Dashboards, panels and queries are told apart."""
        uids = [each.content["uid"] for each in self.dashboards]
        self.assertEqual(len(uids), 5)
        self.assertEqual(len(set(uids)), len(uids))
        for dashboard in self.dashboards:
            ids = [panel["id"] for panel in dashboard.panels]
            self.assertEqual(ids, list(range(1, len(ids) + 1)), dashboard.name)
            for panel in dashboard.panels:
                references = [target["refId"] for target in panel["targets"]]
                self.assertEqual(len(set(references)), len(references), panel["title"])

    def test_layout(self) -> None:
        """Panels lie on the grid, and none upon another."""
        for dashboard in self.dashboards:
            for panel in dashboard.panels:
                self.assertLessEqual(panel["gridPos"]["x"] + panel["gridPos"]["w"], 24)
            for one, other in combinations(dashboard.panels, 2):
                title = f"{dashboard.name}: {one['title']} and {other['title']}"
                self.assertFalse(_overlap(one["gridPos"], other["gridPos"]), title)

    def test_targets(self) -> None:
        """Every query is text, in a range of time, for one of the two data sources."""
        known = {"refId", "datasource", "rawQuery", "resultFormat", "alias", "query"}
        for dashboard in self.dashboards:
            for panel in dashboard.panels:
                for target in panel["targets"]:
                    self.assertEqual(set(target) - known, set(), panel["title"])
                    self.assertIs(target["rawQuery"], True)
                    self.assertIn(target["resultFormat"], {"time_series", "table"})
                    self.assertIn(target["datasource"]["uid"], {DIRECT, SHIFTED})
                    self.assertEqual(target["query"].count("$timeFilter"), 1, panel["title"])

    def test_shifts(self) -> None:
        """Through the proxy goes what it can move: one column, with the shift for its name."""
        for query in self.queries():
            shifted = _SHIFT.match(query.text) is not None
            self.assertEqual(shifted, query.source == SHIFTED, query.title)
            self.assertEqual("shift_" in query.text, shifted, query.title)

    def test_variables(self) -> None:
        """A query uses no variable that its dashboard does not have."""
        for dashboard in self.dashboards:
            used = {
                name for query in dashboard.queries for name in _VARIABLE.findall(query.text)
            } - _BUILT_IN
            self.assertEqual(used, set(dashboard.variables), dashboard.name)

    def test_names(self) -> None:
        """Measurements, tags, fields and fixed values are ones that the server or StatsD sends."""
        for query in self.queries():
            (measurement,) = _MEASUREMENT.findall(query.text)
            points = [each for each in self.points if each.measurement == measurement]
            self.assertTrue(points, query.title)
            values: defaultdict[str, set[str]] = defaultdict(set)
            for point in points:
                for tag, value in point.tags:
                    values[tag].add(value)
            names = {measurement, *values, *(point.field for point in points)}
            names.update(_ALIAS.findall(query.text))
            self.assertEqual(set(_QUOTED.findall(query.text)) - names, set(), query.title)
            for tag, value in _EQUAL.findall(query.text):
                self.assertIn(value, values[tag], query.title)
            for tag, pattern in _MATCHING.findall(query.text):
                expression = re.compile(_VARIABLE.sub(".*", pattern.rstrip("$")))
                self.assertTrue(any(map(expression.match, values[tag])), query.title)

    def test_levels_are_not_added_up(self) -> None:
        """Where one report counts at several levels, a query names the one that it means."""
        levels: defaultdict[str, set[str]] = defaultdict(set)
        for point in self.points:
            levels[point.measurement].update(value for tag, value in point.tags if tag == "level")
        for query in self.queries():
            (measurement,) = _MEASUREMENT.findall(query.text)
            if levels[measurement]:
                self.assertIn('"level" = \'', query.text, query.title)

    def test_documented(self) -> None:
        """The documentation knows every measurement and every dashboard."""
        text = (DIRECTORY.parent.parent / "docs" / "statistics.md").read_text("utf-8")
        for measurement in {point.measurement for point in self.points}:
            self.assertIn(f"`{measurement}`", text)
        for dashboard in self.dashboards:
            self.assertIn(dashboard.name, text)
            self.assertIn(_title(dashboard), text)


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[start] < other[start] + other[length] and other[start] < one[start] + one[length]
        for start, length in (("x", "w"), ("y", "h"))
    )


def _title(dashboard: Dashboard) -> str:
    title: str = dashboard.content["title"]
    return title.partition(": ")[2]
