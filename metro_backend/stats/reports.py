"""What a phone said: any body of any era, read into `Report` values. Reading never raises.

Nothing personal survives it: SSID, BSSID, captcha and people's text are not
even decoded, and a UUID only goes into the digest that tells one queued event
from another.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from metro_backend.stats.fields import Form, Reason, Record

__all__ = ["LONGEST_DURATION", "MOST_EVENTS", "Era", "Reading", "Reason", "Report", "read_report"]

LONGEST_DURATION = 86_400_000
"""Milliseconds; a phone that says more has a broken clock."""

MOST_EVENTS = 100
"""Events in one v3 queue (contract §1.3, 9)."""

_V1_FIELDS = (b"version", b"success", b"captcha", b"segment", b"p", b"provider")
_CHECK_FIELDS = (b"version", b"connected", b"automatic", b"isAutomatic")
_V2_FIELDS = (b"version_code", b"version_name", b"success", b"provider", b"build_branch")


class Era(Enum):
    """The door that a report came through, or the language that it turned out to be in."""

    CHECK = "check"
    """``/check.php`` of 2015 and 2016."""
    V1 = "v1"
    """``/api/v1/statistics.php``."""
    V2 = "v2"
    """``/api/v2/stats``: a form."""
    V3 = "v3"
    """``/api/v3/stats``: a queue of events in JSON."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """One connection, as a phone described it. None is what it left out or garbled."""

    era: Era
    """Whose language it is in; decides the names of its counters."""
    version_name: str | None = None
    version_code: int | None = None
    build_branch: str | None = None
    build_number: int | None = None
    success: str | None = None
    """``true``: newly connected, ``false``: was connected already, ``midsession``, ``error``."""
    provider: str | None = None
    segment: str | None = None
    captcha: str | None = None
    """How a captcha was dealt with; never its text."""
    duration: int | None = None
    """Milliseconds."""
    switch: str | None = None
    """The provider switched to."""
    override: bool | None = None
    v3_bypass: bool | None = None
    ban_count: int | None = None
    identity: bytes | None = field(default=None, repr=False)
    """A digest that is the same when the phone sends this event again; v3 only."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a body came to."""

    reports: Sequence[Report] = ()
    rejected: Mapping[Reason, int] = field(default_factory=dict)
    """Bodies or events of which nothing counts."""
    unusable: Mapping[Reason, int] = field(default_factory=dict)
    """Fields dropped from reports that count nevertheless."""


def read_report(era: Era, body: bytes) -> Reading:
    """Read a body that came through an era's door. Never raises.

    Form or JSON is told by the first byte: builds of 2022-11 posted each to the
    other's door (contract §0, I6). One leading ``?`` of a form is dropped, which
    v76, v77 and the builds of one summer sent (I5).
    """
    body = body.strip()
    if body.startswith(b"?"):
        body = body[1:].lstrip()
    if body[:1] in (b"{", b"["):
        return _read_queue(body)
    if not body and era is not Era.CHECK:
        return Reading(rejected={Reason.EMPTY: 1})
    form = Form(body)
    if era is Era.CHECK:
        # v4 sent nothing: that it asked was its report (contract §1.1).
        known, report = not body or form.has(_CHECK_FIELDS), _read_check(form)
    elif era is Era.V1:
        known, report = form.has(_V1_FIELDS), _read_v1(form)
    else:
        known, report = form.has(_V2_FIELDS), _read_v2(form)
    if not known:
        return Reading(rejected={Reason.FIELDS: 1})
    return Reading(reports=(report,), unusable=form.unusable)


def _read_check(form: Form) -> Report:
    name, code = form.version()
    connected = form.first(b"connected")
    return Report(
        era=Era.CHECK,
        version_name=name,
        version_code=code,
        # PHP takes "0" and "" for false, and everything else for true.
        success=None if connected is None else "false" if connected in ("", "0") else "true",
    )


def _read_v1(form: Form) -> Report:
    name, code = form.version()
    return Report(
        era=Era.V1,
        version_name=name,
        version_code=code,
        success=form.text(b"success"),
        captcha=form.text(b"captcha"),
        segment=form.text(b"segment"),
        # v56 to v58 sent `p` instead.
        provider=form.text(b"p") or form.text(b"provider"),
    )


def _read_v2(form: Form) -> Report:
    success = form.text(b"success")
    return Report(
        era=Era.V2,
        version_name=form.text(b"version_name"),
        version_code=form.number(b"version_code", Reason.VERSION_CODE),
        build_branch=form.text(b"build_branch"),
        build_number=form.number(b"build_number", Reason.BUILD_NUMBER),
        success="error" if form.flag(b"error") else success,
        provider=form.text(b"provider"),
        segment=form.text(b"segment"),
        duration=form.number(b"duration", Reason.DURATION, LONGEST_DURATION),
        switch=form.text(b"switch"),
        override=form.flag(b"override"),
        v3_bypass=form.flag(b"v3_bypass"),
        ban_count=form.number(b"ban_count", Reason.BAN_COUNT),
    )


def _read_queue(body: bytes) -> Reading:
    try:
        queue = json.loads(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return Reading(rejected={Reason.JSON: 1})
    events = queue.get("events") if isinstance(queue, dict) else None
    if not isinstance(events, list):
        return Reading(rejected={Reason.SHAPE: 1})
    uuid = queue.get("uuid")
    reports: list[Report] = []
    rejected: Counter[Reason] = Counter()
    unusable: Counter[Reason] = Counter()
    for event in events[:MOST_EVENTS]:
        report = _read_event(uuid, event, unusable)
        if report is None:
            rejected[Reason.EVENT] += 1
        else:
            reports.append(report)
    if len(events) > MOST_EVENTS:
        rejected[Reason.SURPLUS] += len(events) - MOST_EVENTS
    return Reading(reports=tuple(reports), rejected=rejected, unusable=unusable)


def _read_event(uuid: Any, event: Any, unusable: Counter[Reason]) -> Report | None:
    if not isinstance(event, dict):
        return None
    version, result = event.get("version"), event.get("result")
    if not isinstance(version, dict) or not isinstance(result, dict):
        return None
    built, came = Record(version, unusable), Record(result, unusable)
    report = Report(
        era=Era.V3,
        version_name=built.text("name"),
        version_code=built.number("code", Reason.VERSION_CODE),
        build_branch=built.text("branch"),
        build_number=built.number("build", Reason.BUILD_NUMBER),
        success=_success(came),
        provider=came.text("provider"),
        segment=came.text("segment"),
        duration=came.number("duration", Reason.DURATION, LONGEST_DURATION),
        switch=came.text("switch"),
    )
    return _identified(report, uuid, event.get("timestamp"))


def _success(result: Record) -> str | None:
    """Put v3's three flags into the words of v2 (contract §1.3, 9).

    In both, neither success nor error means that the phone was connected already.
    """
    connected, failed, midsession = (
        result.flag(name) for name in ("success", "error", "midsession")
    )
    if failed:
        return "error"
    if midsession:
        return "midsession"
    return None if connected is None else "true" if connected else "false"


def _identified(report: Report, uuid: Any, timestamp: Any) -> Report:
    """Add the event's identity, if the phone says who it is and when it was."""
    if not isinstance(uuid, str) or not uuid or not isinstance(timestamp, (int, float)):
        return report
    said = (
        uuid[:64],
        timestamp,
        report.version_name,
        report.version_code,
        report.build_branch,
        report.build_number,
        report.success,
        report.provider,
        report.segment,
        report.duration,
        report.switch,
    )
    return replace(report, identity=hashlib.sha256(json.dumps(said).encode()).digest())
