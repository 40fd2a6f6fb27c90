"""Starts the servers that are compared, each on the loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import SkipTest
from urllib.request import urlopen

from bench.stage import ROOT, Program, Stage, answers, free_port, get
from e2e.provision import CACHE, need_program
from tests.doubles.redis_server import redis_binary

PATH = "/api/v1/branches.php"
STATS = "/api/v2/stats"

_INSTALLATION = 90.0
"""Seconds that the old stack's packages may take to install."""


@dataclass(frozen=True)
class Server:
    """The server under test, with its list of branches."""

    program: Program
    state: Path

    @property
    def url(self) -> str:
        """Base URL."""
        return self.program.url

    def branches(self) -> bytes:
        """Return the list as phones get it."""
        return get(self.url + PATH)

    def fields(self) -> dict[str, str]:
        """Return the header fields that come with the list, without those of the connection."""
        with urlopen(self.url + PATH) as response:
            fields = dict(response.headers.items())
        return {name: value for name, value in fields.items() if name not in ("Connection", "Date")}

    def build(self, branch: str) -> tuple[str, str]:
        """Return where a branch's file is here, and where it comes from."""
        found: Mapping[str, Any] = json.loads(self.branches())[branch]
        return f"{self.url}/releases/{found['filename']}", found["direct_url"]


def upstream(stage: Stage, *options: str) -> Program:
    """Start a stand-in GitHub and Jenkins; see `bench.upstream` for the options."""
    return stage.start_module("upstream", *options).says_where()


def environment(state: Path, origin: str, **settings: str) -> dict[str, str]:
    """Make the server's environment: settings without their prefix, in lower case."""
    chosen = {
        "listen": "tcp:0:interface=127.0.0.1",
        "state_dir": str(state),
        "github_api": origin,
        "jenkins_url": origin,
        "log": "json",
        **settings,
    }
    return {"PYTHONPATH": str(ROOT)} | {
        f"MOSMETRO_{name.upper()}": value for name, value in chosen.items()
    }


def command() -> list[str]:
    """Return how the server is started."""
    twistd = str(Path(sys.executable).with_name("twistd"))
    return [sys.executable, twistd, "--nodaemon", "--pidfile=", "metro-backend"]


def metro(stage: Stage, origin: str, state: Path | None = None, **settings: str) -> Server:
    """Start the server under test and wait until it has its list."""
    state = state or stage.directory / f"state-{free_port()}"
    program = stage.start("metro-backend", command(), environment(state, origin, **settings))
    program.says_where()
    program.ready(lambda: answers(program.url + "/readyz"))
    return Server(program, state)


def bare(stage: Stage, kind: str, path: Path) -> Program:
    """Start a server of `bench.bare`."""
    return stage.start_module("bare", kind, path).says_where()


def nginx(stage: Stage, locations: str) -> Program:
    """Start NGINX with one worker. Raises SkipTest."""
    binary = need_program("nginx", "nginx-light")
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = "\n".join(
        f"{kind}_temp_path {stage.directory}/nginx-{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = f"""
        daemon off; worker_processes 1; pid {stage.directory}/nginx-{port}.pid; {user}
        error_log stderr;
        events {{ worker_connections 4096; }}
        http {{
            access_log off; sendfile on; tcp_nopush on; keepalive_requests 10000000;
            {temporary}
            server {{ listen 127.0.0.1:{port}; {locations} }}
        }}
    """
    path = stage.file(f"nginx-{port}.conf", configuration.encode())
    program = stage.start("nginx", [binary, "-e", "stderr", "-c", path])
    program.url = f"http://127.0.0.1:{port}"
    program.ready(lambda: answers(program.url + "/up"))
    return program


def nginx_files(stage: Stage, directory: Path) -> Program:
    """Start NGINX for a directory of files. Raises SkipTest."""
    return nginx(stage, f"root {directory}; location = /up {{ return 204; }}")


def varnish(stage: Stage, origin: str) -> Program:
    """Start Varnish in front of an origin. Raises SkipTest."""
    binary = need_program("varnishd", "varnish")
    port, behind = free_port(), origin.removeprefix("http://")
    program = stage.start(
        "varnish",
        [
            *(binary, "-F", "-j", "none", "-n", stage.directory / "varnish"),
            *("-a", f"127.0.0.1:{port}", "-b", behind, "-s", "malloc,100m"),
        ],
    )
    program.url = f"http://127.0.0.1:{port}"
    program.ready(
        lambda: answers(f"{program.url}/repos/mosmetro-android/mosmetro-android/releases")
    )
    return program


def redis(stage: Stage) -> str:
    """Start a Redis and return its address. Raises SkipTest."""
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    program = stage.start("redis", [redis_binary(), *options])
    program.ready(lambda: "eady to accept connections" in program.log)
    return f"127.0.0.1:{port}"


def old_stack(stage: Stage, body: Path, file: Path) -> tuple[Program, Program]:
    """Start the stand-in for NGINX, uWSGI and Flask; the first one has the URL. Raises SkipTest."""
    binary = _old_environment() / "bin" / "uwsgi"
    socket = stage.directory / "uwsgi.sock"
    workers = stage.start(
        "uwsgi",
        [
            *(binary, "--master", "--processes=2", "--threads=2", "--disable-logging"),
            "--die-on-term",
            *(f"--home={binary.parents[1]}", f"--socket={socket}", "--chmod-socket=666"),
            *("--callable=app", "--wsgi-file", ROOT / "bench" / "old_stack_app.py"),
        ],
        {"BENCH_BODY": str(body), "BENCH_FILE": str(file)},
    )
    workers.ready(socket.exists)
    names = (
        *("REQUEST_METHOD", "CONTENT_TYPE", "CONTENT_LENGTH", "REQUEST_URI", "QUERY_STRING"),
        *("SERVER_PROTOCOL", "SERVER_NAME", "SERVER_PORT"),
    )
    given = " ".join(f"uwsgi_param {name} ${name.lower()};" for name in names)
    given += " uwsgi_param PATH_INFO $document_uri;"
    front = nginx(
        stage,
        "location = /up { return 204; }"
        f"location / {{ uwsgi_pass unix:{socket}; uwsgi_buffers 16 32k; {given} }}",
    )
    front.ready(lambda: answers(front.url + PATH))
    return front, workers


def _old_environment() -> Path:
    """Install the old stack's packages, once and for all. Raises SkipTest."""
    directory = CACHE / "bench-old-stack"
    if not (directory / "complete").exists():
        try:
            venv.create(directory, clear=True, with_pip=True)
            subprocess.run(
                [directory / "bin" / "pip", "install", "--quiet", "flask", "uwsgi"],
                check=True,
                capture_output=True,
                timeout=_INSTALLATION,
            )
        except (subprocess.SubprocessError, OSError) as error:
            raise SkipTest(f"Flask and uWSGI cannot be installed: {error}") from None
        (directory / "complete").touch()
    return directory
