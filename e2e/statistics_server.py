"""The server itself, as a process, and requests to it."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from twisted.trial.unittest import SynchronousTestCase

from e2e.statistics_process import Program, free_port

_ROOT = Path(__file__).resolve().parent.parent


class Server(Program):
    """metro_backend itself."""

    def __init__(self, test: SynchronousTestCase, statsd_port: int, **settings: str) -> None:
        """Start it with its demo upstream, unless the settings name another one."""
        self.url = f"http://127.0.0.1:{free_port()}"
        twistd = Path(sys.executable).with_name("twistd")
        command: list[str | Path] = [twistd, "--nodaemon", "--pidfile=", "metro-backend"]
        if "MOSMETRO_GITHUB_API" not in settings:
            command.append("--demo")
        super().__init__(
            test,
            "metro_backend",
            command,
            {
                "PYTHONPATH": str(_ROOT),
                "MOSMETRO_LISTEN": f"tcp:{self.url.rpartition(':')[2]}:interface=127.0.0.1",
                "MOSMETRO_STATSD": f"127.0.0.1:{statsd_port}",
                "MOSMETRO_STATE_DIR": str(Path(test.mktemp()).resolve()),
                **settings,
            },
        )
        path = "/readyz" if "--demo" in command else "/healthz"
        self.ready(lambda: self.request(path)[0] == 200)

    def request(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """Return status and body of an answer; 0 where there is none."""
        try:
            with urlopen(Request(self.url + path, body, headers), timeout=20) as response:
                return response.status, response.read()
        except HTTPError as error:
            with error:
                return error.code, error.read()
        except (URLError, OSError):
            return 0, b""
