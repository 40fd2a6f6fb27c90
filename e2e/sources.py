"""The sources that several servers ask, on an address that containers reach (upstream.py)."""

from __future__ import annotations

import subprocess
import sys

from e2e.command import CommandFailed, run
from e2e.images import ROOT
from e2e.namespace import Namespace

ADDRESS = "10.254.0.1"
"""An address of the namespace, which containers reach as they reach the machine."""

URL = f"http://{ADDRESS}:9000"


class Sources:
    """A running stand-in for GitHub and Jenkins."""

    def __init__(self, namespace: Namespace) -> None:
        """Start it in the namespace."""
        run("ip", "-n", namespace.name, "address", "add", f"{ADDRESS}/32", "dev", "lo")
        self._process = subprocess.Popen(
            namespace.inside(sys.executable, "-m", "e2e.upstream", "9000"),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        if self._told() != "ready":
            self.close()
            raise CommandFailed("the sources did not start")

    def _told(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode().strip()

    def new_build(self, branch: str, size: int) -> int:
        """Make a build of so many bytes, and return its number."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{branch} {size}\n".encode())
        self._process.stdin.flush()
        return int(self._told())

    def close(self) -> None:
        """Stop it."""
        self._process.kill()
        self._process.communicate()
