"""Measures the server beside others on this machine, and prints one table.

Takes the names of what to measure, or measures all of it, which takes some
four minutes. Everything runs on the loopback and ends with this.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from unittest import SkipTest

from bench.answers import questions, reports
from bench.files import cold, slow, warm
from bench.life import starts, trouble
from bench.measure import wrk
from bench.stage import Failed
from bench.table import Row, render

_ALL: tuple[Callable[[], Iterator[Row]], ...] = (
    questions,
    reports,
    warm,
    cold,
    slow,
    starts,
    trouble,
)


_NOTES = """Answers per second and times are medians of turns;
a ratio is the median of the ratios within each round of turns. The old stack cannot
be had any more; its stand-in (NGINX, 2 x 2 uWSGI workers, Flask) does less than it
did: no Redis, no list to be made, no StatsD, and the file is in memory."""

_NO_WRK = """Without wrk the load came from Python, which takes longer to ask than a server to
answer: ratios are nearer to 1 than they should be."""


def main() -> int:
    """Measure, print, and return the exit status: what could not be measured is no failure."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Programs inherit it; a thousand readers take a thousand descriptors at both ends.
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    names = sys.argv[1:]
    unknown = set(names) - {each.__name__ for each in _ALL}
    if unknown:
        print(f"unknown: {' '.join(unknown)}; there are {' '.join(each.__name__ for each in _ALL)}")
        return 2
    began = time.monotonic()
    rows: list[Row] = []
    broken = False
    for each in _ALL:
        if names and each.__name__ not in names:
            continue
        print(f"{each.__name__} …", file=sys.stderr, flush=True)
        try:
            rows += each()
        except SkipTest as reason:
            rows.append(Row(work=each.__name__, result=f"not measured: {reason}"))
        except Exception as error:
            if not isinstance(error, Failed):
                traceback.print_exc()
            rows.append(Row(work=each.__name__, result=f"failed: {error!r}", reached=False))
            broken = True
    print(render(rows))
    print(f"\n{os.cpu_count()} CPUs, {time.monotonic() - began:.0f} s. {_NOTES}")
    if wrk() is None:
        print(_NO_WRK)
    return 1 if broken else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
