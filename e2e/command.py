"""Runs programs, bounded in time, and tells what they said when they fail."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

OUTPUT = 6000
"""Characters of a failed program's output that are shown, from its end."""


class CommandFailed(AssertionError):
    """A program that a test runs failed, or took too long."""


def run(
    *command: str | Path,
    timeout: float = 60,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    given: str | bytes = b"",
    expect: int | None = 0,
) -> str:
    """Run a program to its end and return its standard output.

    Args:
        timeout: seconds.
        env: variables beside the process's own.
        given: standard input.
        expect: the exit status without which it failed; None takes any.

    Raises:
        CommandFailed: with the end of both outputs.
    """
    line = " ".join(str(each) for each in command)
    try:
        done = subprocess.run(
            command,
            input=given.encode() if isinstance(given, str) else given,
            capture_output=True,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"") + (error.stderr or b"")
        raise CommandFailed(f"{line}: still running after {timeout} s\n{_end(said)}") from None
    if expect is not None and done.returncode != expect:
        raise CommandFailed(
            f"{line}: exit status {done.returncode}\n{_end(done.stdout + done.stderr)}"
        )
    return done.stdout.decode(errors="replace")


def _end(output: bytes) -> str:
    return output.decode(errors="replace")[-OUTPUT:]


def wait_for(what: str, condition: Callable[[], object], *, seconds: float = 60) -> None:
    """Wait until the condition holds; an exception counts as not yet.

    Raises:
        CommandFailed: if it does not in time, with the last exception.
    """
    end = time.monotonic() + seconds
    last: Exception | None = None
    while time.monotonic() < end:
        try:
            if condition():
                return
            last = None
        except Exception as error:
            last = error
        time.sleep(0.1)
    raise CommandFailed(f"{what}: not after {seconds} s ({last!r})")
