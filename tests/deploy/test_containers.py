"""The image, Compose and the stack, held against the server's settings and routes."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from metro_backend.api.health import Health
from metro_backend.api.routing import routes_of
from metro_backend.keys import KEYS

ROOT = Path(__file__).resolve().parent.parent.parent
FIXED = {"MOSMETRO_LISTEN", "MOSMETRO_STATE_DIR", "MOSMETRO_SENDFILE"}
"""Keys whose value is the image's affair."""

SERVICES = {"MOSMETRO_REDIS", "MOSMETRO_STATSD"}
"""Keys that name another service of a deployment."""

VARIABLES = {key.variable: key for key in KEYS}
COMPOSE = ("docker-compose.yml", "docker-compose.statistics.yml", "deploy/stack.yml")


def routes() -> set[str]:
    """Return the routes that tell how the server is."""
    return {route.rule for route, _ in routes_of(object.__new__(Health))}


def load(name: str) -> Any:
    """Read a YAML file."""
    return yaml.safe_load((ROOT / name).read_text())


def seconds(duration: str) -> int:
    """Read Compose's durations, as far as they are used here."""
    match = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", duration)
    assert match is not None and match[0]
    return int(match[1] or 0) * 60 + int(match[2] or 0)


class ImageTests(SynchronousTestCase):
    """The Dockerfile."""

    def setUp(self) -> None:
        """Read it, continued lines joined."""
        text = (ROOT / "Dockerfile").read_text().replace("\\\n", "")
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        self.instructions = [line.split(maxsplit=1) for line in lines]
        last = max(n for n, each in enumerate(self.instructions) if each[0] == "FROM")
        self.final = dict(self.instructions[last + 1 :])

    def test_starts_without_a_shell_or_a_pid_file_as_nobody_special(self) -> None:
        """Signals reach the server itself, a killed one is no obstacle, and root it is not."""
        entry = json.loads(self.final["ENTRYPOINT"])
        self.assertEqual(entry, ["twistd", "--nodaemon", "--pidfile=", "metro-backend"])
        self.assertRegex(self.final["USER"], r"^[1-9][0-9]*:[1-9][0-9]*$")

    def test_health_check_asks_a_route_that_exists(self) -> None:
        """The health check is a path of the server's."""
        found = re.search(r"127\.0\.0\.1:8000(/\w+)", self.final["HEALTHCHECK"])
        assert found is not None
        self.assertIn(found[1], routes())

    def test_state_is_a_volume(self) -> None:
        """What the server keeps outlives the container."""
        self.assertIn(f"MOSMETRO_STATE_DIR={self.final['VOLUME']}", self.final["ENV"])

    def test_base_is_pinned(self) -> None:
        """The base image is one of a version."""
        (base,) = [each[1] for each in self.instructions if each[0] == "ARG"][:1]
        self.assertRegex(base, r"^PYTHON=python:3\.\d+-slim-\w+$")


class ComposeTests(SynchronousTestCase):
    """Compose's files and the stack."""

    def services(self, name: str) -> dict[str, Any]:
        """Return the services of a file."""
        found: dict[str, Any] = load(name)["services"]
        return found

    def test_every_key_can_be_set(self) -> None:
        """No key of the server is forgotten, and none is there that it does not know."""
        for name in ("docker-compose.yml", "deploy/stack.yml"):
            environment = set(self.services(name)["metro-backend"]["environment"])
            self.assertEqual(environment, set(VARIABLES) - FIXED, name)

    def test_images_are_pinned(self) -> None:
        """Every image of others has a version."""
        for name in COMPOSE:
            for service, settings in self.services(name).items():
                if service != "metro-backend":
                    self.assertRegex(settings["image"], r":v?\d+\.\d+[^/:]*$")

    def test_no_secret_has_a_default(self) -> None:
        """A password or token is somebody's, or not there."""
        for name in (*COMPOSE, "docker-compose.dev.yml"):
            text = (ROOT / name).read_text()
            self.assertEqual(re.findall(r"\$\{\w*(?:PASSWORD|TOKEN|SECRET)\w*:?-[^}]+\}", text), [])
            for service in self.services(name).values():
                for variable, value in (service.get("environment") or {}).items():
                    if re.search("PASSWORD|TOKEN|SECRET", variable):
                        self.assertTrue(value is None or ":?" in value, variable)

    def test_limits_and_hardening(self) -> None:
        """Every service has limits; the server has a read-only root and no capability."""
        for name in COMPOSE:
            for service, settings in self.services(name).items():
                limits = settings["deploy"]["resources"]["limits"]
                self.assertEqual(set(limits), {"cpus", "memory", "pids"}, service)
        for name in (*COMPOSE[::2], "docker-compose.dev.yml"):
            server = self.services(name)["metro-backend"]
            self.assertTrue(server["read_only"])
            self.assertEqual(server["cap_drop"], ["ALL"])

    def test_a_stop_is_longer_than_the_drain(self) -> None:
        """Nobody is killed while requests may still finish."""
        drain = int(VARIABLES["MOSMETRO_DRAIN"].default)
        server = self.services("docker-compose.yml")["metro-backend"]
        self.assertGreater(seconds(server["stop_grace_period"]), drain + 2)
        server = self.services("deploy/stack.yml")["metro-backend"]
        found = re.fullmatch(
            r"\$\{MOSMETRO_DRAIN:-(\d+)\}", server["environment"]["MOSMETRO_DRAIN"]
        )
        assert found is not None
        self.assertGreater(seconds(server["stop_grace_period"]), int(found[1]) + 2)

    def test_only_doors_are_published(self) -> None:
        """The store and what adds up are reached by their neighbors alone."""
        for name in COMPOSE:
            for service, settings in self.services(name).items():
                if service in ("redis", "statsd", "influxdb", "timeshift"):
                    self.assertNotIn("ports", settings, service)

    def test_mounted_files_exist(self) -> None:
        """What is mounted from here is here."""
        for name in COMPOSE:
            for service in self.services(name).values():
                for volume in service.get("volumes", []):
                    source = volume.partition(":")[0]
                    if source.startswith("./"):
                        self.assertTrue((ROOT / source).exists(), source)

    def test_updates_start_first_and_roll_back(self) -> None:
        """The stack's server is replaced before it stops, or not at all."""
        deploy = self.services("deploy/stack.yml")["metro-backend"]["deploy"]
        self.assertEqual(deploy["update_config"]["order"], "start-first")
        self.assertEqual(deploy["update_config"]["failure_action"], "rollback")
        self.assertEqual(deploy["rollback_config"]["order"], "start-first")

    def test_checks_ask_routes_that_exist(self) -> None:
        """Health checks and the proxy ask for paths of the server's."""
        for name in ("docker-compose.dev.yml", "deploy/stack.yml"):
            check = self.services(name)["metro-backend"]["healthcheck"]["test"][-1]
            found = re.search(r"127\.0\.0\.1:8000(/\w+)", check)
            assert found is not None
            self.assertIn(found[1], routes())
        proxy = (ROOT / "deploy" / "haproxy.cfg").read_text()
        for path in re.findall(r"uri (/\S+)", proxy):
            self.assertIn(path, routes())


class ExampleTests(SynchronousTestCase):
    """``.env.example``."""

    def setUp(self) -> None:
        """Read it with the comment signs before settings taken away."""
        text = (ROOT / ".env.example").read_text()
        self.text = re.sub(r"^#(?=[A-Z][A-Z0-9_]*=)", "", text, flags=re.MULTILINE)
        self.values = {
            name: " ".join(shlex.split(value))
            for name, value in re.findall(r"^([A-Z][A-Z0-9_]*)=(.*)$", self.text, re.MULTILINE)
        }

    def test_sets_nothing_by_itself(self) -> None:
        """Copied as it is, it changes nothing."""
        lines = (ROOT / ".env.example").read_text().splitlines()
        self.assertEqual([line for line in lines if line and not line.startswith("#")], [])

    def test_has_every_key_with_its_default(self) -> None:
        """Every key that an operator may set is there, with the server's own default."""
        shown = {name: value for name, value in self.values.items() if name in VARIABLES}
        own = {name: key.default for name, key in VARIABLES.items()}
        for name in FIXED | SERVICES:
            del own[name]
        own["MOSMETRO_LOG"] = "json"
        self.assertEqual(shown, own)

    def test_has_every_variable_of_the_files(self) -> None:
        """What the files take from the environment is explained."""
        used = set()
        for name in (*COMPOSE, "docker-compose.dev.yml"):
            text = (ROOT / name).read_text()
            used |= set(re.findall(r"\$\{(\w+)", text))
        used |= {"COMPOSE_FILE", "STATSD_FLUSH_INTERVAL"}
        self.assertEqual(set(self.values) - set(VARIABLES), used - set(VARIABLES))

    def test_a_shell_reads_the_same(self) -> None:
        """The file is right for Compose and for a shell (deploy.sh) alike."""
        script = f"set -aeu\n{self.text}\n" + "".join(
            f'printf "%s\\0" "${name}"\n' for name in self.values
        )
        read = subprocess.run(["/bin/sh"], input=script, capture_output=True, text=True, check=True)
        self.assertEqual(read.stdout.split("\0")[:-1], list(self.values.values()))
