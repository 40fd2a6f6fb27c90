"""Rows 6 and 7: what an idle server takes, how soon it answers, and what trouble costs."""

from __future__ import annotations

import shutil
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import SkipTest
from urllib.request import Request, urlopen

from bench import servers
from bench.measure import REPORT
from bench.servers import PATH, STATS
from bench.stage import Failed, Stage, answers, free_port
from bench.table import Row

_STARTS = 5
_SETTLING = 3.0
_TURNS = 9
_TURN_SECONDS = 1.5
_RATE = 400
_TOKEN = "bench"


def starts() -> Iterator[Row]:
    """Start the server and a bare Klein app in turn, up to the first answer."""
    with Stage() as stage:
        origin = servers.upstream(stage)
        state = stage.directory / "state"
        with Stage() as first:
            body = stage.file("body.json", servers.metro(first, origin.url, state).branches())
        ours, plain = [], []
        for _ in range(_STARTS):
            ours.append(_start(state, origin.url)[0])
            plain.append(_start(body)[0])
        took = statistics.median(ours)
        ratio = statistics.median(a / b for a, b in zip(ours, plain, strict=True))
        cold = statistics.median(
            _start(stage.directory / f"cold-{number}", origin.url)[0] for number in range(3)
        )
        memory = _start(state, origin.url, _SETTLING)[1]
        least = _start(body, settling=_SETTLING)[1]
        yield Row(
            work="idle",
            result=f"{memory:.0f} MB resident; a bare Klein app {least:.0f} MB",
            aim="60 MB",
            reached=memory < 60,
        )
        yield Row(
            work="start to the first list",
            result=f"{took:.2f} s = {ratio:.1f} × a bare Klein app; {cold:.2f} s without a state",
            aim="1.5 s",
            reached=max(took, cold) < 1.5,
        )


def _start(path: Path, origin: str | None = None, settling: float = 0) -> tuple[float, float]:
    """Start a server; return the seconds to its first list, and the MB that it takes then.

    Args:
        path: its state; the list, if there is no `origin`, for a bare Klein app.
        settling: seconds before the memory is looked at.
    """
    with Stage() as stage:
        began = time.monotonic()
        if origin is None:
            program = servers.bare(stage, "klein", path)
        else:
            environ = servers.environment(path, origin)
            program = stage.start("metro-backend", servers.command(), environ).says_where()
        program.ready(lambda: answers(program.url + PATH))
        took = time.monotonic() - began
        time.sleep(settling)
        return took, program.memory()


def trouble() -> Iterator[Row]:
    """Ask a healthy server and one whose upstream hangs, without Redis and StatsD, in turn."""
    with Stage() as stage:
        statsd = stage.enter_context(closing(socket.socket(type=socket.SOCK_DGRAM)))
        statsd.bind(("127.0.0.1", 0))
        settings: dict[str, Any] = {"statsd": f"127.0.0.1:{statsd.getsockname()[1]}"}
        try:
            settings["redis"] = servers.redis(stage)
            without = ""
        except SkipTest:
            without = "; the healthy one without Redis, too, which cannot be had here"
        healthy = servers.metro(stage, servers.upstream(stage).url, **settings)
        state = stage.directory / "sick"
        state.mkdir()
        shutil.copy(healthy.state / "snapshot.json", state)
        sick = servers.metro(
            stage,
            servers.upstream(stage, "--hang").url,
            state,
            redis=f"127.0.0.1:{free_port()}",
            statsd=f"127.0.0.1:{free_port()}",
            notify_token=_TOKEN,
        )
        well: list[dict[str, float]] = []
        ill: list[dict[str, float]] = []
        for turn in range(_TURNS):
            for server, told in ((healthy, well), (sick, ill))[:: 1 if turn % 2 else -1]:
                if server is sick:
                    # So that there is something that hangs.
                    urlopen(Request(f"{sick.url}/api/notify/jenkins?token={_TOKEN}", b"")).close()
                told.append(_ask(stage, server.url))
        # Within a round, and only then the median: a busy moment falls on few of the pairs.
        ratio, middle = (
            statistics.median(a[key] / b[key] for a, b in zip(ill, well, strict=True))
            for key in ("p99", "median")
        )
        p99 = statistics.median(each["p99"] for each in well)
        yield Row(
            work="upstream hangs, no Redis, no StatsD",
            result=f"99 % of the lists within {ratio:.2f} × the time of a healthy server, "
            f"{1000 * p99:.1f} ms; the median {middle:.2f} ×{without}",
            aim="1.2",
            reached=ratio <= 1.2,
        )


def _ask(stage: Stage, url: str) -> dict[str, float]:
    """Ask for lists, and send a report after each."""
    told: dict[str, float] = stage.start_module(
        "generator",
        url + PATH,
        *(f"--report={url}{STATS}", f"--body={REPORT}", "--connections=8"),
        *(f"--rate={_RATE}", f"--seconds={_TURN_SECONDS}"),
    ).result(60)
    if told["errors"]:
        raise Failed(f"{told['errors']:.0f} answers were not good")
    return told
