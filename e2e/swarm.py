"""deploy/stack.yml on a swarm of one machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from e2e.command import CommandFailed, wait_for
from e2e.docker_engine import Engine
from e2e.http_client import Door
from e2e.images import ROOT
from e2e.namespace import Namespace

STACK = "e2e"
SERVICE = f"{STACK}_metro-backend"
PORT = 8080


class Swarm:
    """A swarm, and the stack on it."""

    def __init__(self, engine: Engine, namespace: Namespace) -> None:
        """Make a swarm of the engine alone."""
        self._engine = engine
        engine("swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1")
        node = engine("node", "ls", "--quiet")
        engine("node", "update", "--label-add", "metro.redis=true", node)
        self.door = Door(namespace, "127.0.0.1", PORT)

    def deploy(self, changes: Path, variables: Mapping[str, str]) -> None:
        """Deploy the stack with a file of changes over it, and wait until it answers."""
        self._engine(
            "stack", "deploy", "--resolve-image", "never",
            "--compose-file", ROOT / "deploy" / "stack.yml", "--compose-file", changes, STACK,
            env={"METRO_PORT": str(PORT), **variables}, timeout=120,
        )  # fmt: skip
        try:
            wait_for("all replicas", self.complete, seconds=90)
            wait_for("the proxy", self.door.ready)
        except CommandFailed as error:
            raise CommandFailed(f"{error}\n{self.report()}") from None

    def complete(self) -> bool:
        """Tell whether every service has all the replicas it should have."""
        listed = self._engine("service", "ls", "--format", "{{.Replicas}}")
        counts = [each.split()[0].split("/") for each in listed.splitlines()]
        return bool(counts) and all(now == wanted for now, wanted in counts)

    def update(self, *options: str) -> str:
        """Change the service, and return the state that the update ends in."""
        self._engine("service", "update", "--quiet", "--detach", *options, SERVICE)
        wait_for("the end of the update", self._ended, seconds=200)
        return self.update_state()

    def update_state(self) -> str:
        """Return ``updating``, ``completed``, ``rollback_completed`` …"""
        status: dict[str, Any] = self._engine.inspect(SERVICE).get("UpdateStatus") or {}
        return str(status.get("State", ""))

    def _ended(self) -> bool:
        return self.update_state() in (
            "completed", "paused", "rollback_completed", "rollback_paused"
        )  # fmt: skip

    def containers(self) -> list[str]:
        """Return the ids of the server's running containers."""
        label = f"label=com.docker.swarm.service.name={SERVICE}"
        return self._engine("ps", "--quiet", "--no-trunc", "--filter", label).split()

    def image(self) -> str:
        """Return the image that the service is to run."""
        spec = self._engine.inspect(SERVICE)["Spec"]["TaskTemplate"]["ContainerSpec"]
        return str(spec["Image"])

    def ask_replica(self, container: str, path: str) -> Any:
        """Ask one replica, past the proxy, and return the JSON it answers."""
        code = (
            "import sys, urllib.request as r;"
            "sys.stdout.buffer.write(r.urlopen('http://127.0.0.1:8000' + sys.argv[1]).read())"
        )
        return json.loads(self._engine("exec", container, "python", "-c", code, path))

    def report(self) -> str:
        """Tell what became of the tasks, for a failed test."""
        tasks = self._engine("stack", "ps", "--no-trunc", STACK, expect=None)
        logs = self._engine("service", "logs", "--tail", "10", SERVICE, expect=None)
        proxy = self._engine("service", "logs", "--tail", "10", f"{STACK}_proxy", expect=None)
        return f"{tasks}\n{logs}\n{proxy}"
