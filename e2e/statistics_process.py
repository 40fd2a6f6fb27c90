"""Programs that a test starts, and that end with it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from twisted.trial.unittest import SynchronousTestCase

T = TypeVar("T")

_PATIENCE = 60.0


def until(condition: Callable[[], T], what: str, seconds: float = _PATIENCE) -> T:
    """Ask again and again; return the first answer that is true."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.05)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port of the loopback interface that nobody has."""
    with socket.socket(socket.AF_INET, kind) as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


class Program:
    """A process that ends with the test at the latest."""

    def __init__(
        self,
        test: SynchronousTestCase,
        name: str,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
    ) -> None:
        """Start it, in a directory of its own and with an environment of its own."""
        self.directory = Path(test.mktemp()).resolve()
        self.directory.mkdir(parents=True)
        self._name = name
        self._command = command
        self._environment = {
            **{key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ},
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None
        test.addCleanup(self.stop)
        self.start()

    @property
    def log(self) -> str:
        """What it has printed."""
        return (self.directory / "log").read_text("utf-8", "replace")

    def start(self) -> None:
        """Start it, again perhaps."""
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=self._environment,
            )

    def stop(self, times: int = 1) -> None:
        """End it with so many SIGTERM, or at last with SIGKILL."""
        process, self._process = self._process, None
        if process is None:
            return
        for _ in range(times):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.1)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def ready(self, condition: Callable[[], T]) -> T:
        """Wait for a sign of life; fail with the log if it dies before."""

        def alive() -> T:
            if self._process is None or self._process.poll() is not None:
                raise AssertionError(f"{self._name} ended: {self.log[-2000:]}")
            return condition()

        return until(alive, f"{self._name} to be ready")
