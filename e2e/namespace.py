"""A network of the test's own: nothing in it is reached from outside, and it reaches nothing."""

from __future__ import annotations

import ctypes
import itertools
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from e2e.command import CommandFailed, run
from e2e.provision import need_program, need_root

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_numbers = itertools.count(1)


class Namespace:
    """A network namespace with a loopback interface that is up."""

    def __init__(self) -> None:
        """Make it, or skip the test where that cannot be done."""
        need_root()
        self._ip = need_program("ip", "iproute2")
        self._nsenter = need_program("nsenter", "util-linux")
        self.name = f"metro-e2e-{os.getpid()}-{next(_numbers)}"
        run(self._ip, "netns", "add", self.name)
        run(self._ip, "-n", self.name, "link", "set", "lo", "up")

    def close(self) -> None:
        """Remove it, with every interface in it."""
        with suppress(CommandFailed):
            run(self._ip, "netns", "delete", self.name)

    def inside(self, *command: str) -> list[str]:
        """Return the command line that runs a program in it."""
        # `ip netns exec` would hide /sys/fs/cgroup.
        return [self._nsenter, f"--net=/run/netns/{self.name}", *command]

    def enter(self) -> None:
        """Move the calling thread into it, for good."""
        handle = os.open(Path("/run/netns") / self.name, os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(handle, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(handle)

    def call(self, function: Callable[[], T]) -> T:
        """Call the function in a thread that is in the namespace.

        A socket stays in the namespace in which it was made, whoever uses it.
        """
        results: list[T] = []
        errors: list[BaseException] = []

        def target() -> None:
            try:
                self.enter()
                results.append(function())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def connect(
        self, host: str, port: int, *, timeout: float = 10, buffer: int = 0
    ) -> socket.socket:
        """Connect from within.

        Args:
            timeout: seconds, for each operation of the socket.
            buffer: bytes that the kernel may take for us before we read; 0 is its default.
        """

        def make() -> socket.socket:
            made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                if buffer:
                    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
                made.settimeout(timeout)
                made.connect((host, port))
            except BaseException:
                made.close()
                raise
            return made

        return self.call(make)
