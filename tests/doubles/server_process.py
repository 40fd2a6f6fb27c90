"""A real ``twistd metro-backend`` in a process of its own."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from treq.client import HTTPClient
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool

from metro_backend.demo.service import DemoService

reactor: Any = installed_reactor

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT = 30.0
"""Seconds after which a process that does not say that it listens is given up."""


class _Output(ProcessProtocol):
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.ended: Deferred[int] = Deferred()
        self._rest = b""

    def outReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.lines += [line.decode("utf-8", "replace") for line in lines]

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        if self._rest:
            self.lines.append(self._rest.decode("utf-8", "replace"))
        value: Any = reason.value
        code = 0 if reason.check(ProcessDone) else value.exitCode
        assert reason.check(ProcessDone, ProcessTerminated)
        self.ended.callback(-value.signal if value.signal else code)


class ServerProcess:
    """Starts the server as its operator would, and talks to it over HTTP."""

    def __init__(self, test: TestCase, *arguments: str, **environ: str) -> None:
        """Take the options, and the settings without their prefix in lower case."""
        self._test = test
        self.directory = Path(test.mktemp())
        """Where it works and keeps its state; a restart finds what the last process left."""
        self._arguments = arguments
        self._environ = environ
        self._pool = HTTPConnectionPool(reactor, persistent=False)
        self.http = HTTPClient(Agent(reactor, pool=self._pool))
        self.url = ""
        """Base URL, once started."""
        self.output: _Output

    @property
    def lines(self) -> list[str]:
        """Everything that the process has said."""
        return self.output.lines

    def spawn(self) -> None:
        """Begin the process; it is killed when the test ends."""
        environ: dict[str, str] = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MOSMETRO_", "CONFIG_"))
        }
        paths = (str(ROOT), environ.get("PYTHONPATH"))
        environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        settings: Mapping[str, str] = {
            "listen": "tcp:0:interface=127.0.0.1",
            "state_dir": "var",
            **self._environ,
        }
        environ |= {f"MOSMETRO_{name.upper()}": value for name, value in settings.items()}
        twistd = Path(sys.executable).with_name("twistd")
        command = [str(twistd), "--nodaemon", "--pidfile=", "metro-backend", *self._arguments]
        self.directory.mkdir(parents=True, exist_ok=True)
        self.output = _Output()
        self._process = reactor.spawnProcess(
            self.output,
            sys.executable,
            [sys.executable, *command],
            env=environ,
            path=str(self.directory),
        )
        self._test.addCleanup(self.kill)

    async def start(self) -> None:
        """Begin the process and wait until it says where it listens."""
        self.spawn()
        deadline = reactor.seconds() + START_LIMIT
        while True:
            for line in self.lines:
                found = re.search(r"listening on (http://[^/\"]+)/", line)
                if found:
                    self.url = found[1]
                    return
            if self.output.ended.called or reactor.seconds() > deadline:
                raise AssertionError("the server did not start:\n" + "\n".join(self.lines))
            await deferLater(reactor, 0.02, lambda: None)

    async def ready(self) -> None:
        """Wait until it has a list of branches."""
        deadline = reactor.seconds() + START_LIMIT
        while (await self.get("/readyz"))[0] != 200:
            if reactor.seconds() > deadline:
                raise AssertionError("the server did not get ready:\n" + "\n".join(self.lines))
            await deferLater(reactor, 0.05, lambda: None)

    async def get(self, path: str, method: str = "GET", **options: Any) -> tuple[int, bytes]:
        """Ask for a path; return status and body."""
        response = await self.http.request(
            method, self.url + path, allow_redirects=False, **options
        )
        return response.code, await response.content()

    async def branches(self) -> dict[str, Any]:
        """Return the list that phones get."""
        code, body = await self.get("/api/v1/branches.php")
        if code != 200:
            raise AssertionError(f"{code} {body!r}")
        value: dict[str, Any] = json.loads(body)
        return value

    def signal(self, name: str) -> None:
        """Send the process a signal, such as ``TERM``."""
        self._process.signalProcess(name)

    async def end(self) -> int:
        """Wait for the process's end; return its exit status, or minus the signal's number."""
        ended: Deferred[int] = Deferred()

        def pass_on(result: int) -> int:
            ended.callback(result)
            return result

        self.output.ended.addCallback(pass_on)
        return await ended.addTimeout(START_LIMIT, reactor)

    async def terminate(self) -> int:
        """Ask the process to end, as systemd and Docker do."""
        self.signal("TERM")
        return await self.end()

    async def kill(self) -> None:
        """Make sure that the process is gone."""
        if not self.output.ended.called:
            self.signal("KILL")
            await self.end()


class ProcessTestCase(TestCase):
    """Servers with an upstream that the test can break."""

    def setUp(self) -> None:
        """Start the upstream."""
        self.demo = DemoService.bind(reactor)
        self.demo.startService()
        self.addCleanup(self.demo.stopService)

    def server(self, **environ: str) -> ServerProcess:
        """Make a server on the upstream."""
        settings = {"github_api": self.demo.url, "jenkins_url": self.demo.url, **environ}
        return ServerProcess(self, **settings)

    async def until(self, condition: Any, seconds: float = 20.0) -> None:
        """Wait until an asynchronous condition holds."""
        deadline = reactor.seconds() + seconds
        while not await condition():
            if reactor.seconds() > deadline:
                raise AssertionError("it did not come to pass")
            await deferLater(reactor, 0.05, lambda: None)
