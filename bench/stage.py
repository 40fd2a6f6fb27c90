"""Programs that are measured or measure, in a directory that is gone in the end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self, TypeVar
from unittest import SkipTest
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[1]

PATIENCE = 30.0
"""Seconds that a program may take to start."""

_TICKS = os.sysconf("SC_CLK_TCK")

T = TypeVar("T")


class Failed(Exception):
    """Something could not be measured; the message says why."""


def until(condition: Callable[[], T | None], what: str, *, seconds: float = PATIENCE) -> T:
    """Return the first true answer. Raises Failed."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds:g} s")
        time.sleep(0.005)


def free_port() -> int:
    """Return a port of the loopback interface that nobody has."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


def get(url: str) -> bytes:
    """Return the body. Raises URLError, as for anything but 2xx, or OSError."""
    with urlopen(url, timeout=PATIENCE) as response:
        body: bytes = response.read()
        return body


def answers(url: str) -> bool:
    """Tell whether the URL can be had now."""
    with suppress(URLError, OSError):
        get(url)
        return True
    return False


class Program:
    """A process, and those that it starts, in a session of their own."""

    def __init__(
        self, command: Sequence[str | Path], directory: Path, environ: Mapping[str, str]
    ) -> None:
        """Start it there; what it says goes into a file beside it."""
        self._log = directory.with_name(directory.name + ".log")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env={**os.environ, **environ},
                # An interrupt is for the bench alone, which then ends the others.
                start_new_session=True,
            )
        self.url = ""
        """Base URL, no slash at the end; once it is known."""

    @property
    def log(self) -> str:
        """What it has said."""
        return self._log.read_text("utf-8", "replace")

    def ready(self, condition: Callable[[], T | None]) -> T:
        """Wait for a sign of life. Raises Failed, with what the program said."""

        def alive() -> T | None:
            if self._process.poll() is not None:
                raise Failed(f"{self._log.stem} ended: {self.log[-300:]}")
            return condition()

        return until(alive, f"{self._log.stem} to be ready")

    def says_where(self) -> Self:
        """Wait until it tells its address, and keep it in `url`. Raises Failed."""
        self.url = self.ready(lambda: re.search(r"listening on (http://[^/\s\"]+)", self.log))[1]
        return self

    def cpu(self) -> float:
        """Return the seconds of CPU that all its processes have used; 0 where nobody tells."""
        ticks = 0
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                # After the name, which may hold anything: state, parent, group, session …
                fields = path.read_text().rpartition(") ")[2].split()
                if int(fields[3]) == self._process.pid:
                    ticks += int(fields[11]) + int(fields[12])
        return ticks / _TICKS

    def memory(self, key: str = "VmRSS") -> float:
        """Return the process's resident MB now, or at most so far (``VmHWM``). Raises SkipTest."""
        with suppress(OSError):
            status = Path(f"/proc/{self._process.pid}/status").read_text()
            found = re.search(rf"^{key}:\s+(\d+) kB", status, re.M)
            if found:
                return int(found[1]) * 1024 / 1e6
        raise SkipTest("needs /proc, to see a process's memory")

    def result(self, seconds: float) -> Any:
        """Wait for the end and return the JSON of the last line. Raises Failed."""
        return json.loads(self.output(seconds).splitlines()[-1])

    def output(self, seconds: float) -> str:
        """Wait for the end and return what was said. Raises Failed."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self._log.stem}: not done within {seconds:g} s") from None
        if code != 0:
            raise Failed(f"{self._log.stem} failed: {self.log[-300:]}")
        return self.log

    def stop(self) -> None:
        """End it and all its processes."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Stage(ExitStack):
    """Where the programs of one comparison run, and end."""

    def __init__(self) -> None:
        """Make the directory."""
        super().__init__()
        self.directory = Path(self.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        # A server that gives up its privileges must get to its files.
        self.directory.chmod(0o755)
        self._started = 0

    def start(
        self, name: str, command: Sequence[str | Path], environ: Mapping[str, str] | None = None
    ) -> Program:
        """Start a program, in a directory of its own."""
        self._started += 1
        directory = self.directory / f"{self._started}-{name}"
        directory.mkdir()
        program = Program(command, directory, environ or {})
        self.callback(program.stop)
        return program

    def start_module(self, module: str, *arguments: str | Path) -> Program:
        """Start one of the bench's own programs."""
        command = [sys.executable, "-m", f"bench.{module}", *map(str, arguments)]
        return self.start(module, command, {"PYTHONPATH": str(ROOT)})

    def file(self, name: str, content: bytes) -> Path:
        """Write a file."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path
