"""Puts load on several servers in turn, again and again, and compares what they did."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest import SkipTest

from bench.stage import Failed, Program, Stage
from e2e.provision import need_program

REPORT = (
    "version_name=2.3.2&version_code=77&build_branch=play&build_number=0&success=true"
    "&ssid=MT_FREE&provider=MosMetroV2&duration=5321&segment=metro&branch=default&switch="
    "&api_level=30"
)
"""What a phone of 2021 says; the SSID is there to be ignored."""

ROUNDS = 5
"""Turns of each server. What else the machine does falls on all of them alike."""

SECONDS = 1
"""Of one turn."""


@dataclass(kw_only=True)
class Subject:
    """A server under load, and what it did in each of its turns."""

    name: str
    url: str
    programs: Sequence[Program]
    """All that take part in an answer."""
    connections: int
    posts: bool = False
    """Whether it is sent reports, instead of being asked."""
    rates: list[float] = field(default_factory=list)
    """Answers per second."""
    costs: list[float] = field(default_factory=list)
    """Seconds of CPU per answer."""

    def over(self, other: Subject) -> str:
        """Say how many times the other's speed this one has."""
        by_cpu = ""
        if all(self.costs) and all(other.costs):
            by_cpu = f" ({_ratio(other.costs, self.costs):.2f} by CPU time)"
        return f"{self.ratio(other):.2f} × {other.name}{by_cpu}"

    def ratio(self, other: Subject) -> float:
        """Return how many times the other's answers per second this one gives."""
        return _ratio(self.rates, other.rates)

    @property
    def rate(self) -> float:
        """Answers per second."""
        return statistics.median(self.rates)


def _ratio(mine: Sequence[float], others: Sequence[float]) -> float:
    # Within a round, and only then the median: a busy moment falls on few of the pairs.
    return statistics.median(a / b for a, b in zip(mine, others, strict=True))


def alternate(stage: Stage, *subjects: Subject) -> None:
    """Put all under load in turn, once to warm up and then `ROUNDS` times. Raises Failed."""
    generator = _generator(stage)
    for turn in range(ROUNDS + 1):
        # Another one begins each round.
        for subject in (*subjects[turn % len(subjects) :], *subjects[: turn % len(subjects)]):
            before = sum(each.cpu() for each in subject.programs)
            rate = generator(subject)
            used = sum(each.cpu() for each in subject.programs) - before
            if turn:
                subject.rates.append(rate)
                subject.costs.append(used / (rate * SECONDS))


class _Wrk:
    """Load from wrk."""

    def __init__(self, stage: Stage, program: str) -> None:
        self._stage = stage
        self._program = program
        self._script = stage.file(
            "report.lua",
            b'wrk.method = "POST"\n'
            b'wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"\n'
            b'wrk.body = "%b"\n' % REPORT.encode("ascii"),
        )

    def __call__(self, subject: Subject) -> float:
        script: list[str | Path] = ["-s", self._script] if subject.posts else []
        options = ["-t1", f"-c{subject.connections}", f"-d{SECONDS}s", *script]
        program = self._stage.start("wrk", [self._program, *options, subject.url])
        said = program.output(30 + SECONDS)
        found = re.search(r"Requests/sec:\s+([0-9.]+)", said)
        if found is None or float(found[1]) == 0 or "Non-2xx" in said or "Socket errors" in said:
            raise Failed(f"{subject.name} did not answer well: {said[-300:]}")
        return float(found[1])


class _Own:
    """Load from the bench's own generator."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __call__(self, subject: Subject) -> float:
        body = ("--body", REPORT) if subject.posts else ()
        options = (f"--connections={subject.connections}", f"--seconds={SECONDS}", *body)
        told = self._stage.start_module("generator", subject.url, *options).result(30 + SECONDS)
        if told["errors"]:
            raise Failed(f"{subject.name}: {told['errors']} answers were not good")
        return float(told["per_second"])


def _generator(stage: Stage) -> _Wrk | _Own:
    found = wrk()
    return _Own(stage) if found is None else _Wrk(stage, found)


def wrk() -> str | None:
    """Return wrk's path, if it can be had."""
    try:
        return need_program("wrk", "wrk")
    except SkipTest:
        return None
