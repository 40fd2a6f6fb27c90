"""Which counters and timers a report adds to: the names of 2017 to 2019 (contract §3.1, F-1).

Old dashboards go on with them. A v3 event counts under the names of v2, and a
duration is a timer instead of the gauge that only knew the last phone.
"""

from __future__ import annotations

from dataclasses import dataclass

from metro_backend.stats.gate import FOLDED_TIMER, MISSING, Field, Gate, Vocabulary
from metro_backend.stats.reports import Era, Report

__all__ = ["UPDATE_CHECK", "Counts", "Field", "Gate", "Vocabulary", "counts_of", "download_name"]

UPDATE_CHECK = "update_check"

_BY_VERSION = frozenset({"play", "beta"})
_SECOND_GENERATION = frozenset({"MosMetroV2", "MosMetroV2WV"})


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What one report adds: one to each counter, its duration to each timer."""

    counters: list[str]
    timers: list[str]
    duration: int | None


def counts_of(report: Report, host: str, gate: Gate) -> Counts:
    """Name everything that the report adds to; `host` is what its Host header said."""
    timers: list[str] = []
    if report.era is Era.CHECK or report.era is Era.V1:
        counters = _v1(report, host, gate)
    else:
        counters, timers = _v2(report, host, gate)
    return Counts(
        counters=[gate.admit(name) for name in counters],
        timers=[gate.admit(name, FOLDED_TIMER) for name in timers],
        duration=report.duration,
    )


def download_name(branch: str, number: int, gate: Gate) -> str:
    """Name the counter of one build's downloads; the number is the one that phones compare."""
    words = gate.token(Field.BRANCH, branch), gate.token(Field.VERSION, str(number))
    return gate.admit("update." + ".".join(words))


def _domain(host: str, gate: Gate) -> str:
    name, colon, port = host.rpartition(":")
    if colon and (port.isdigit() or not port):
        host = name
    return "domain." + gate.token(Field.DOMAIN, host.strip("[].").lower())


def _v1(report: Report, host: str, gate: Gate) -> list[str]:
    names = [
        "success." + gate.token(Field.SUCCESS, report.success),
        "captcha." + gate.token(Field.CAPTCHA, report.captcha),
        "segment." + gate.token(Field.SEGMENT, report.segment),
        _domain(host, gate),
    ]
    if report.version_name is not None:
        names.append("version.name." + gate.token(Field.VERSION_NAME, report.version_name))
        # A version that can't be read is counted as unknown, not left out (contract §5.2, 3).
        code = report.version_code
        names.append("version.code." + ("unknown" if code is None else _number(code, gate)))
    if report.provider is not None:
        names.append("provider." + gate.token(Field.PROVIDER, report.provider))
    return names


def _v2(report: Report, host: str, gate: Gate) -> tuple[list[str], list[str]]:
    success = gate.token(Field.SUCCESS, report.success)
    provider = gate.token(Field.PROVIDER, report.provider)
    branch = gate.token(Field.BRANCH, report.build_branch)
    code = _number(report.version_code, gate)
    version = code if branch in _BY_VERSION else _number(report.build_number, gate)
    prefixes = (f"{provider}.", f"{branch}.{version}.{provider}.")
    names = [
        _domain(host, gate),
        "version.name." + gate.token(Field.VERSION_NAME, report.version_name),
        "version.code." + code,
        "success." + success,
        *(f"{prefix}success.{success}" for prefix in prefixes),
    ]
    if provider in _SECOND_GENERATION:
        names += _second_generation(report, gate, prefixes)
    elif provider == "MosMetroV3":
        switch = gate.token(Field.PROVIDER, report.switch)
        for prefix in prefixes:
            names += (f"{prefix}switch.{switch}", f"{prefix}override.{_flag(report.override)}")
        if switch == "MosMetroV2":
            below = tuple(f"{prefix}MosMetroV2." for prefix in prefixes)
            names += _second_generation(report, gate, prefixes + below)
    timers = [] if report.duration is None else [f"{prefix}duration" for prefix in prefixes]
    return names, timers


def _second_generation(report: Report, gate: Gate, prefixes: tuple[str, ...]) -> list[str]:
    segment = gate.token(Field.SEGMENT, report.segment)
    bypass = _flag(report.v3_bypass)
    # Apps since v72 don't tell how often they were banned; that is not "never".
    banned = _flag(None if report.ban_count is None else report.ban_count > 0)
    return [
        f"{prefix}{name}"
        for prefix in prefixes
        for name in (f"segment.{segment}", f"v3_bypass.{bypass}", f"banned_before.{banned}")
    ]


def _number(value: int | None, gate: Gate) -> str:
    return gate.token(Field.VERSION, None if value is None else str(value))


def _flag(value: bool | None) -> str:
    return MISSING if value is None else "true" if value else "false"
