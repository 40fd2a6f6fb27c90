"""The systemd units: systemd's own opinion, and a port that outlives the server."""

from __future__ import annotations

import configparser
import http.client
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from functools import partial
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from e2e.command import run, wait_for
from e2e.images import ROOT
from e2e.provision import need_program

UNITS = ROOT / "deploy" / "systemd"
TWISTD = "/opt/metro-backend/bin/twistd"
"""Where the unit expects it."""

PASS_ON = """\
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Does what systemd does last before the program runs."""


def command() -> list[str]:
    """Return the unit's command line, for the twistd of this environment."""
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.read(UNITS / "metro-backend.service")
    words = shlex.split(unit["Service"]["ExecStart"])
    assert words[0] == TWISTD
    return [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", *words[1:]]


class VerifyTests(SynchronousTestCase):
    """What systemd-analyze says."""

    def setUp(self) -> None:
        """Copy the units, with a program that is there."""
        self.analyze = need_program("systemd-analyze", "systemd")
        self.work = Path(tempfile.mkdtemp(prefix="metro-e2e-"))
        self.addCleanup(shutil.rmtree, self.work)
        for path in UNITS.iterdir():
            text = path.read_text().replace(TWISTD, sys.executable)
            (self.work / path.name).write_text(text)

    def test_units_are_valid(self) -> None:
        """Both units are understood to the last word."""
        units = sorted(str(path) for path in self.work.iterdir())
        done = subprocess.run(
            [self.analyze, "verify", "--man=no", *units],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        # Whatever it says about other units of the machine is not ours.
        about = [line for line in done.stderr.splitlines() if "metro-backend" in line]
        self.assertEqual((about, done.returncode), ([], 0))

    def test_exposure_is_low(self) -> None:
        """Little of the machine is within the service's reach."""
        run(
            self.analyze, "security", "--offline=true", "--threshold=15", "--no-pager",
            self.work / "metro-backend.service",
        )  # fmt: skip


class SocketActivationTests(SynchronousTestCase):
    """A port that is passed on to one server after another."""

    def setUp(self) -> None:
        """Open the port, as the socket unit does."""
        self.work = Path(tempfile.mkdtemp(prefix="metro-e2e-"))
        self.addCleanup(shutil.rmtree, self.work)
        self.socket = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        self.addCleanup(self.socket.close)
        self.socket.bind(("::1", 0))
        self.socket.listen(1024)
        self.port = int(self.socket.getsockname()[1])

    def start(self) -> subprocess.Popen[bytes]:
        """Start a server with the port as descriptor 3."""
        handle = self.socket.fileno()
        process = subprocess.Popen(
            [sys.executable, "-c", PASS_ON, str(handle), *command(), "--demo"],
            pass_fds=[handle],
            cwd=self.work,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "LISTEN_FDS": "1",
                "LISTEN_FDNAMES": "web",
                "STATE_DIRECTORY": str(self.work / "state"),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process: subprocess.Popen[bytes]) -> None:
        """Stop a server, whatever it does."""
        if process.poll() is None:
            process.kill()
        process.wait()

    def ask(self, path: str) -> int:
        """Return the status that a path is answered with."""
        connection = http.client.HTTPConnection("::1", self.port, timeout=20)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()

    def test_a_restart_refuses_nobody(self) -> None:
        """Three servers follow each other; who comes in between waits, and everyone is answered."""
        results: Counter[str] = Counter()
        stop = threading.Event()

        def phone() -> None:
            while not stop.wait(0.01) and results.total() < 20_000:
                try:
                    results[str(self.ask("/healthz"))] += 1
                except OSError as error:
                    results[repr(error)] += 1

        process = self.start()
        wait_for("a list of branches", lambda: self.ask("/readyz") == 200)
        threads = [threading.Thread(target=phone) for _ in range(4)]
        for each in threads:
            each.start()
        try:
            for _ in range(2):
                target = results.total() + 100
                wait_for("phones to be served", partial(self.served, results, target))
                process.terminate()
                self.assertEqual(process.wait(20), -15)
                process = self.start()
                wait_for("the next server", lambda: self.ask("/readyz") == 200)
        finally:
            stop.set()
            for each in threads:
                each.join()
        self.assertEqual(set(results), {"200"}, dict(results))
        self.assertTrue((self.work / "state" / "demo").is_dir())

    @staticmethod
    def served(results: Counter[str], target: int) -> bool:
        """Tell whether so many answers have come."""
        return results.total() > target
