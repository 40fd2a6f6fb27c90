"""Docker Compose on an engine of the test's own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from e2e.command import CommandFailed
from e2e.docker_engine import Engine


class Project:
    """One deployment: files, variables, and what runs of them."""

    def __init__(
        self,
        engine: Engine,
        directory: Path,
        files: Sequence[str | Path],
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Take the files, by name within the directory or by path.

        Only the given variables are set, whatever .env or the shell hold.
        """
        self._engine = engine
        self._files = tuple(str(directory / each) for each in files)
        self._directory = directory
        self._variables = dict(variables or {})

    def __call__(
        self, *arguments: str, timeout: float = 120, given: str = "", expect: int | None = 0
    ) -> str:
        """Run ``docker compose`` with the arguments and return what it printed."""
        files = [word for each in self._files for word in ("--file", each)]
        return self._engine(
            "compose",
            "--project-name", "e2e",
            "--env-file", "/dev/null",
            "--project-directory", self._directory,
            "--ansi", "never",
            *files,
            *arguments,
            timeout=timeout,
            env=self._variables,
            given=given,
            expect=expect,
        )  # fmt: skip

    def up(self) -> None:
        """Start everything, and return when every health check passes.

        Raises:
            CommandFailed: with the services' last words.
        """
        try:
            self("up", "--detach", "--wait", timeout=180)
        except CommandFailed as error:
            raise CommandFailed(f"{error}\n{self('logs', '--tail', '15')}") from None

    def run(self, service: str, *command: str, expect: int | None = 0) -> str:
        """Run a program in a service's container."""
        return self("exec", "--no-TTY", service, *command, expect=expect)

    def influxql(self, query: str) -> list[dict[str, Any]]:
        """Ask InfluxDB and return the series of the answer."""
        said = self.run(
            "influxdb", "influx", "-database", "mosmetro", "-format", "json", "-execute", query
        )
        series: list[dict[str, Any]] = json.loads(said)["results"][0].get("series", [])
        return series
