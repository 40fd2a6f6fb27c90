"""A Docker engine of the test's own, which leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from e2e.command import CommandFailed, run, wait_for
from e2e.docker_plugins import configuration
from e2e.namespace import Namespace
from e2e.provision import need_program, need_root


class Engine:
    """A running dockerd and its client."""

    def __init__(self, data_root: Path, namespace: Namespace | None = None) -> None:
        """Start it, or skip the test where none is to be had.

        Args:
            data_root: images are here, so that one engine can build what another one runs.
            namespace: where containers run. Without one the engine can only build,
                on the machine's own network and without changing that.
        """
        need_root()
        self._dockerd = need_program("dockerd", "docker.io")
        self._docker = need_program("docker", "docker.io")
        self.data_root = data_root
        self.namespace = namespace
        # Short: the path of a socket is limited.
        self._run = Path(tempfile.mkdtemp(prefix="mbe-"))
        self._environment = {
            "DOCKER_HOST": f"unix://{self._run}/docker.sock",
            "DOCKER_CONFIG": str(configuration()),
            "DOCKER_BUILDKIT": "1",
        }
        self._log: IO[bytes] = (self._run / "log").open("wb")
        self._process = self._start()
        try:
            wait_for("dockerd", self._answers, seconds=30)
        except BaseException:
            self.close()
            raise

    def _start(self) -> subprocess.Popen[bytes]:
        command = [
            self._dockerd,
            "--config-file=" + str(self._empty_configuration()),
            f"--data-root={self.data_root}",
            f"--exec-root={self._run}/exec",
            f"--pidfile={self._run}/pid",
            f"--host=unix://{self._run}/docker.sock",
        ]
        if self.namespace is None:
            command += [
                "--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"
            ]  # fmt: skip
        else:
            command = self.namespace.inside(*command)
        return subprocess.Popen(command, stdout=self._log, stderr=self._log, start_new_session=True)

    def _empty_configuration(self) -> Path:
        path = self._run / "daemon.json"
        path.write_text("{}")
        return path

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            said = (self._run / "log").read_text(errors="replace")[-2000:]
            from unittest import SkipTest

            raise SkipTest(f"needs dockerd, which does not start here: {said}")
        return bool(self("version", "--format", "{{.Server.Version}}"))

    def __call__(
        self,
        *arguments: str | Path,
        timeout: float = 60,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        given: str | bytes = b"",
        expect: int | None = 0,
    ) -> str:
        """Run ``docker`` with the arguments and return what it printed; see `command.run`."""
        return run(
            self._docker,
            *arguments,
            timeout=timeout,
            env={**self._environment, **(env or {})},
            cwd=cwd,
            given=given,
            expect=expect,
        ).strip()

    @property
    def environment(self) -> Mapping[str, str]:
        """What another program needs to find this engine."""
        return dict(self._environment)

    def inspect(self, name: str) -> dict[str, Any]:
        """Return what the engine knows of a container, an image, a service …"""
        found: list[dict[str, Any]] = json.loads(self("inspect", name))
        return found[0]

    def address(self, container: str) -> str:
        """Return the container's address on its only network."""
        networks = self.inspect(container)["NetworkSettings"]["Networks"]
        (network,) = networks.values()
        return str(network["IPAddress"])

    def health(self, container: str) -> str:
        """Return ``starting``, ``healthy`` or ``unhealthy``."""
        return str(self.inspect(container)["State"]["Health"]["Status"])

    def wait_healthy(self, container: str, seconds: float = 60) -> None:
        """Wait until the container's health check passes."""
        wait_for(
            f"{container} healthy", lambda: self.health(container) == "healthy", seconds=seconds
        )

    def close(self) -> None:
        """Remove containers, networks and volumes, stop, and unmount what was mounted."""
        for step in (self._leave_swarm, self._remove_containers, self._prune, self._stop):
            with suppress(CommandFailed):
                step()
        self._log.close()
        _unmount_below(self._run)
        shutil.rmtree(self._run, ignore_errors=True)

    def _leave_swarm(self) -> None:
        self("swarm", "leave", "--force", timeout=60, expect=None)

    def _remove_containers(self) -> None:
        left = self("ps", "--all", "--quiet").split()
        if left:
            self("rm", "--force", "--volumes", *left, timeout=120, expect=None)

    def _prune(self) -> None:
        self("network", "prune", "--force")
        volumes = self("volume", "ls", "--quiet").split()
        if volumes:
            self("volume", "rm", "--force", *volumes, expect=None)

    def _stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait(10)


def _unmount_below(directory: Path) -> None:
    """Detach what a killed engine left mounted, the deepest first."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for each in sorted(mounts, key=len, reverse=True):
        if each.startswith(f"{directory}/"):
            run("umount", "--lazy", each, expect=None)


def remove_data_root(directory: Path) -> None:
    """Remove an engine's data when no engine uses it any more."""
    _unmount_below(directory)
    shutil.rmtree(directory, ignore_errors=True)
