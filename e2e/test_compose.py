"""Every variant of Docker Compose, as an operator starts it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from twisted.trial.unittest import SynchronousTestCase

from e2e.command import run, wait_for
from e2e.compose import Project
from e2e.docker_engine import Engine
from e2e.docker_plugins import configuration
from e2e.http_client import Door
from e2e.images import DEVELOPMENT, ROOT, SERVER, data_root_with_services
from e2e.namespace import Namespace
from e2e.provision import need_program

PRODUCTION = ["docker-compose.yml"]
STATISTICS = [*PRODUCTION, "docker-compose.statistics.yml"]

OVERRIDE = """
services:
  metro-backend:
    command: ["--demo"]
"""
"""Without a network the sources are the stand-in's."""

REPORT = {
    "success": "true",
    "provider": "MosMetroV2",
    "build_branch": "master",
    "build_number": "438",
    "version_code": "77",
    "version_name": "2.0",
    "duration": "1500",
}


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class ConfigTests(SynchronousTestCase):
    """What Compose makes of the files, without an engine."""

    def config(self, *files: str, expect: int = 0, variables: dict[str, str] | None = None) -> str:
        """Check the files, and return them as Compose understands them."""
        named = [word for each in files for word in ("--file", each)]
        return run(
            need_program("docker", "docker.io"), "compose", *named,
            "--env-file", "/dev/null", "config",
            cwd=ROOT, env={"DOCKER_CONFIG": str(configuration()), **(variables or {})},
            expect=expect,
        )  # fmt: skip

    def test_variants(self) -> None:
        """Each variant is valid."""
        self.assertIn("metro-backend", self.config(*PRODUCTION))
        self.assertIn("metro-backend", self.config("docker-compose.dev.yml"))
        secret = {"GRAFANA_ADMIN_PASSWORD": "opaque-value"}
        self.assertIn("opaque-value", self.config(*STATISTICS, variables=secret))

    def test_no_default_password(self) -> None:
        """Dashboards do not start without a password that somebody chose."""
        self.config(*STATISTICS, expect=15)
        self.config(*STATISTICS, expect=15, variables={"GRAFANA_ADMIN_PASSWORD": ""})

    def test_unset_keys_are_left_out(self) -> None:
        """A key that is set nowhere keeps the server's default; one that is set arrives."""
        variables = {"MOSMETRO_PUBLIC_URL": "https://metro.example"}
        config = self.config(*PRODUCTION, variables=variables)
        self.assertIn("MOSMETRO_PUBLIC_URL: https://metro.example", config)
        self.assertNotIn('MOSMETRO_BRANCHES_TTL: ""', config)


class RunningTests(SynchronousTestCase):
    """Variants that run, with look-alikes of the images that are not the project's."""

    def setUp(self) -> None:
        """Start an engine that has all images."""
        data = data_root_with_services()
        self.namespace = Namespace()
        self.addCleanup(self.namespace.close)
        self.engine = Engine(data, self.namespace)
        self.addCleanup(self.engine.close)
        self.work = Path(tempfile.mkdtemp(prefix="metro-e2e-"))
        self.addCleanup(shutil.rmtree, self.work)
        self.door = Door(self.namespace, "127.0.0.1", 8000)

    def project(self, *files: str, **variables: str) -> Project:
        """Describe a deployment of this directory's files."""
        (self.work / "e2e.yml").write_text(OVERRIDE)
        project = Project(
            self.engine,
            ROOT,
            [*files, self.work / "e2e.yml"],
            {"METRO_IMAGE": SERVER, "STATSD_FLUSH_INTERVAL": "1000", **variables},
        )
        self.addCleanup(project, "kill", expect=None)
        return project

    def report(self) -> None:
        """Send a report, as a phone does."""
        answer = self.door.post("/api/v2/stats", urlencode(REPORT).encode(), headers=FORM)
        self.assertEqual(answer.status, 200)

    def test_production_counts_reports_and_keeps_its_data(self) -> None:
        """A report is read back by InfluxQL; it, the builds and Redis' keys survive a restart."""
        project = self.project(*PRODUCTION)
        project.up()
        wait_for("a list of branches", self.door.ready)
        master = self.door.get("/api/v2/branches").json()["branches"]["master"]
        self.assertEqual(self.door.get(f"/releases/{master['filename']}").status, 200)
        self.report()
        wait_for("the report in InfluxDB", lambda: self.reports(project) == 1)

        keys = project.run("redis", "redis-cli", "--scan", "--pattern", "metro:*")
        self.assertTrue(keys)
        files = self.shelf(project)
        self.assertTrue(files)
        project("restart", timeout=300)
        wait_for("a list of branches", self.door.ready)
        self.assertLessEqual(files, self.shelf(project))
        self.assertLessEqual(
            set(keys.split()),
            set(project.run("redis", "redis-cli", "--scan", "--pattern", "metro:*").split()),
        )
        self.assertEqual(self.reports(project), 1)

        # And it goes on counting.
        self.report()
        wait_for("the second report in InfluxDB", lambda: self.reports(project) == 2)
        (series,) = project.influxql("SHOW RETENTION POLICIES")
        policies = [dict(zip(series["columns"], row, strict=True)) for row in series["values"]]
        self.assertEqual([each["duration"] for each in policies if each["default"]], ["744h0m0s"])
        self.assertEqual(self.engine("exec", "e2e-metro-backend-1", "id", "-u"), "10001")

    def test_statistics_variant(self) -> None:
        """Everything comes up in order; Grafana's door and the proxy's are open."""
        project = self.project(*STATISTICS, GRAFANA_ADMIN_PASSWORD="opaque-value")
        project.up()
        wait_for("a list of branches", self.door.ready)
        self.report()
        wait_for("the report in InfluxDB", lambda: self.reports(project) == 1)
        for port, path in ((3000, "/api/health"), (8888, "/ping")):
            self.assertEqual(Door(self.namespace, "127.0.0.1", port).get(path).status, 200)
        # Grafana's way to the data leads through the proxy, by names alone.
        said = project.run(
            "grafana", "wget", "-q", "-O", "-",
            "http://timeshift:8089/query?db=mosmetro&q=SHOW+MEASUREMENTS",
        )  # fmt: skip
        self.assertIn("success", said)
        # Dashboards and data sources are where Grafana looks for them.
        for kind in ("datasources", "dashboards"):
            listed = project.run("grafana", "ls", f"/etc/grafana/provisioning/{kind}")
            self.assertIn(".yml", listed)

    def test_development_restarts_on_a_change(self) -> None:
        """A source file changes, and another server answers from the same container."""
        source = self.work / "source"
        source.mkdir()
        for name in ("metro_backend", "twisted"):
            shutil.copytree(ROOT / name, source / name)
        shutil.copy(ROOT / "docker-compose.dev.yml", source)
        self.assertTrue(self.engine("images", "--quiet", DEVELOPMENT))
        project = Project(self.engine, source, ["docker-compose.dev.yml"])
        self.addCleanup(project, "kill", expect=None)
        project.up()
        self.assertEqual(self.door.get("/healthz").status, 200)
        changed = source / "metro_backend" / "__init__.py"
        changed.write_text(changed.read_text() + "\n__version__ = '99.0'\n")
        wait_for(
            "the changed server",
            lambda: self.door.get("/healthz").headers["server"] == "metro-backend/99.0",
        )

    @staticmethod
    def reports(project: Project) -> int:
        """Return how many successful reports InfluxDB has."""
        found = project.influxql(
            'SELECT sum("count") FROM "success" WHERE "level" = \'report\' AND "value" = \'true\''
        )
        return int(found[0]["values"][0][1]) if found else 0

    @staticmethod
    def shelf(project: Project) -> set[str]:
        """Return the names of the builds that the server keeps."""
        listed = project.run("metro-backend", "find", "/var/lib/metro-backend", "-type", "f")
        return {each for each in listed.split() if "/shelf/" in each}
