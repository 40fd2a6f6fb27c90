"""A real influxd with the shipped configuration, and what to ask it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from twisted.trial.unittest import SynchronousTestCase

from e2e.provision import need_program
from e2e.statistics_process import Program, free_port
from e2e.statistics_templates import CONFIG, DIRECTORY

DATABASE = "mosmetro"


class InfluxDB(Program):
    """influxd with the shipped configuration, and what to ask it."""

    def __init__(self, test: SynchronousTestCase, **settings: str) -> None:
        """Start it on an empty directory; settings are added to its environment."""
        influxd = need_program("influxd", "influxdb")
        self.graphite_port = free_port()
        self.url = f"http://127.0.0.1:{free_port()}"
        data = Path(test.mktemp()).resolve()
        super().__init__(
            test,
            "influxd",
            [influxd, "-config", CONFIG],
            {
                "INFLUXDB_META_DIR": str(data / "meta"),
                "INFLUXDB_DATA_DIR": str(data / "data"),
                "INFLUXDB_DATA_WAL_DIR": str(data / "wal"),
                "INFLUXDB_BIND_ADDRESS": f"127.0.0.1:{free_port()}",
                "INFLUXDB_HTTP_BIND_ADDRESS": self.url.removeprefix("http://"),
                "INFLUXDB_GRAPHITE_0_BIND_ADDRESS": f"127.0.0.1:{self.graphite_port}",
                **settings,
            },
        )
        self.ready(self._answers)

    def start(self) -> None:
        """Start it, again perhaps, and wait for its answer."""
        super().start()
        self.ready(self._answers)

    def stop(self, times: int = 2) -> None:
        """End it: the second signal spares the 30 s that it waits for its Graphite listener."""
        super().stop(times)

    def ask(self, query: str, *, url: str = "", **arguments: str) -> list[dict[str, Any]]:
        """Return the series of the answer to one statement."""
        fields = urlencode({"db": DATABASE, "epoch": "ms", **arguments, "q": query})
        # Grafana is told to GET, and everything that changes something must be a POST.
        changes = not query.startswith(("SELECT", "SHOW")) or " INTO " in query
        request = (
            Request(f"{self.url}/query", fields.encode())
            if changes
            else Request(f"{url or self.url}/query?{fields}")
        )
        with urlopen(request, timeout=10) as response:
            result = json.load(response)["results"][0]
        if "error" in result:
            raise AssertionError(f"{query}: {result['error']}")
        series: list[dict[str, Any]] = result.get("series", [])
        return series

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of all series, each with its column names."""
        return [
            dict(zip(series["columns"], row, strict=True))
            for series in self.ask(query)
            for row in series.get("values", ())
        ]

    def totals(self, field: str = "count") -> dict[str, float]:
        """Return the sum of a field by series' key, for everything that the server sent."""
        return {
            ",".join([each["name"], *(f"{k}={v}" for k, v in each["tags"].items() if v)]): row[1]
            for each in self.ask(f'SELECT sum("{field}") FROM /.*/ GROUP BY *')
            for row in each["values"]
            if row[1] is not None and each["name"] != "statsd"
        }

    def flushes(self) -> int:
        """Return how many flushes of StatsD have arrived."""
        rows = self.rows('SELECT count("numStats") AS "flushes" FROM "statsd"')
        return int(rows[0]["flushes"]) if rows else 0

    def write(self, lines: Sequence[str]) -> None:
        """Send lines to the Graphite listener, as StatsD does."""
        with socket.create_connection(("127.0.0.1", self.graphite_port), 10) as connection:
            connection.sendall("".join(f"{line}\n" for line in lines).encode("ascii"))

    def initialize(self, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run the init step, and return what came of it."""
        need_program("curl", "curl")
        return subprocess.run(
            ["/bin/sh", DIRECTORY / "influxdb" / "init.sh"],
            env={"PATH": os.environ["PATH"], "INFLUXDB_URL": self.url, **settings},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/ping", timeout=5) as response:
                return bool(response.status == 204)
        except (URLError, OSError):
            return False
