"""Every kind of name that the server sends to StatsD, found in its own code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import metro_backend
from metro_backend.stats.counters import UPDATE_CHECK, Vocabulary, counts_of, download_name
from metro_backend.stats.gate import FOLDED, FOLDED_TIMER, Field, Gate
from metro_backend.stats.reports import Era, Reason, Report

PREFIX = "mosmetro."
"""The default of MOSMETRO_STATSD_PREFIX."""

COUNTED = ("count", "rate")
"""What StatsD makes of a counter."""

TIMED = ("count", "count_ps", "lower", "mean", "median", "std", "upper", "upper_90")
"""What the StatsD configuration makes of a timer."""

STATSD = frozenset(
    {
        *(
            f"stats.counters.statsd.{name}.{each}"
            for name in ("bad_lines_seen", "metrics_received", "packets_received")
            for each in COUNTED
        ),
        "stats.gauges.statsd.timestamp_lag",
        "stats.statsd.numStats",
        "stats.statsd.processing_time",
        *(
            f"stats.statsd.graphiteStats.{name}"
            for name in (
                "calculationtime",
                "flush_length",
                "flush_time",
                "last_exception",
                "last_flush",
            )
        ),
    }
)
"""What StatsD sends of itself."""

_NAME = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)+")


def counters() -> set[str]:
    """Return at least one counter of each kind, with the prefix."""
    names = {UPDATE_CHECK, FOLDED, download_name("play", 77, _gate())}
    names |= {f"report.{kind}.{each.value}" for kind in ("rejected", "unusable") for each in Reason}
    names |= {f"server.stats.folded.{each.title}" for each in Field}
    names |= set(_constants()) - {FOLDED_TIMER}
    for report in reports():
        names |= set(counts_of(report, "mosmetro.example:8000", _gate()).counters)
    return {PREFIX + name for name in names}


def timers() -> set[str]:
    """Return at least one timer of each kind, with the prefix."""
    names = {FOLDED_TIMER}
    for report in reports():
        names |= set(counts_of(report, "mosmetro.example", _gate()).timers)
    return {PREFIX + name for name in names}


def flushed() -> set[str]:
    """Return what StatsD sends to InfluxDB for all of them, and of itself."""
    return {
        *STATSD,
        *(f"stats.counters.{name}.{each}" for name, each in product(counters(), COUNTED)),
        *(f"stats.timers.{name}.{each}" for name, each in product(timers(), TIMED)),
    }


def reports() -> Iterator[Report]:
    """Return reports of every kind that has names of its own, some with values that tempt."""
    for success in ("true", "false", "midsession", "error"):
        yield Report(
            era=Era.V1,
            version_name="2.3.2",
            version_code=62,
            success=success,
            provider="MosMetroV1",
            captcha="mcc",
        )
    for provider, branch, value in product(
        ("MosMetroV1", "MosMetroV2", "MosMetroV3", "count", "duration"),
        ("play", "feature/x", "count", "success"),
        ("metro", "count", "rate", "duration"),
    ):
        yield Report(
            era=Era.V2,
            version_name=value,
            version_code=77,
            build_branch=branch,
            build_number=438,
            success=value,
            provider=provider,
            segment=value,
            duration=1,
            switch="MosMetroV2",
            override=True,
            ban_count=1,
        )


def _gate() -> Gate:
    gate = Gate(100_000, lambda title: None)
    gate.renew(0, Vocabulary(branches=frozenset({"play", "master"}), versions=frozenset({"438"})))
    return gate


def _constants() -> Iterator[str]:
    """Find the texts in the server's code that are names of its own; `x` is what varies."""
    beginnings: tuple[str, ...]
    for path in sorted(Path(metro_backend.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    str(part.value) if isinstance(part, ast.Constant) else "x"
                    for part in node.values
                ]
                name, beginnings = "".join(parts), ("server.",)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                name, beginnings = node.value, ("server.", "report.")
            else:
                continue
            if name.startswith(beginnings) and _NAME.fullmatch(name):
                yield name
