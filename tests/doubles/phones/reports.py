"""What every era of the app sends home, byte for byte (contract §1.1, §1.3.6, §1.3.9)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import quote, urlencode

from tests.doubles.phones.answers import Answer
from tests.doubles.phones.failures import PhoneFailure, PhoneOffline, ReportStuck
from tests.doubles.phones.markers import MARKERS
from tests.doubles.phones.transport import FORM

CHECK_KEY = b"2fv3bYW6x92V3Y7gM5FfT7Wmh"
"""What v4-v20 look for in the answer of check.php (contract §0, I4)."""

JSON = "application/json"

CAPTCHA_SIZE = 200_000
"""Characters of the sample captcha in base64."""


class Need(Enum):
    """What a phone needs of the answer; the contract's R demands 200 of every one anyway."""

    NOTHING = "the answer is ignored"
    KEY = "the body contains the key, whatever the status"
    ANY_2XX = "a status from 200 to 299, or the report is sent again"
    EXACTLY_200 = "the status 200, or the report is sent again"

    def met_by(self, answer: Answer) -> bool:
        """Tell whether the phone is content."""
        match self:
            case Need.NOTHING:
                return True
            case Need.KEY:
                return CHECK_KEY in answer.body
            case Need.ANY_2XX:
                return 200 <= answer.status < 300
            case Need.EXACTLY_200:
                return answer.status == 200


@dataclass(frozen=True, kw_only=True)
class SampleReport:
    """One request that a phone of some era makes."""

    era: str
    """The first version that sends it so, ``v63``, or the day of a build, ``2022-11-04``."""
    case: str = ""
    """What is special about this one."""
    prefix: str = ""
    """``/mosmetro`` where it is compiled into the app."""
    route: str
    """Path below the prefix."""
    method: str = "POST"
    content_type: str | None = FORM
    body: bytes = b""
    need: Need = Need.NOTHING

    @property
    def path(self) -> str:
        """The path as this era asks for it."""
        return self.prefix + self.route

    def satisfy(self, answer: Answer) -> None:
        """Read the answer as the phone does. Raises PhoneOffline or ReportStuck."""
        if not self.need.met_by(answer):
            failure = PhoneOffline if self.need is Need.KEY else ReportStuck
            raise failure(f"{self}: {answer.status} is no use, needs that {self.need.value}")

    def verify(self, answer: Answer) -> None:
        """Hold the answer against the contract: what the phone needs, and I7. Raises PhoneFailure.

        I7: 200, no redirect, no Location at all, no cookie.
        """
        self.satisfy(answer)
        if answer.status != 200:
            raise PhoneFailure(f"{self}: status {answer.status}, not 200")
        for name in ("Location", "Set-Cookie"):
            if answer.headers.hasHeader(name):
                raise PhoneFailure(f"{self}: {name} in the answer")

    def __str__(self) -> str:
        return f"{self.era} {self.method} {self.path}{self.case and f' ({self.case})'}"


def form_body(fields: Sequence[tuple[str, str]]) -> bytes:
    """Encode a form as OkHttp does."""
    return urlencode(fields, quote_via=quote, safe="*").encode("ascii")


def _raw(*fields: tuple[str, str]) -> bytes:
    """Join as v4-v23 do: nothing is encoded."""
    return "&".join(f"{name}={value}" for name, value in fields).encode()


SSID = ("ssid", MARKERS["ssid"])
BSSID = ("bssid", MARKERS["bssid"])
UUID = ("uuid", MARKERS["uuid"])
CAPTCHA = (
    ("captcha", "entered"),
    ("captcha_image", MARKERS["captcha_image"].ljust(CAPTCHA_SIZE, "A")),
    ("captcha_code", MARKERS["captcha_code"]),
)
_LOG = quote(f"<< {MARKERS['log']}\n" + "строка журнала\n" * 1500)


def _check(era: str, case: str, body: bytes, need: Need = Need.KEY) -> SampleReport:
    return SampleReport(
        era=era,
        case=case,
        prefix="/mosmetro",
        route="/check.php",
        content_type=None,
        body=body,
        need=need,
    )


def _problem(era: str, version: str) -> SampleReport:
    message = f"{MARKERS['message']}: не работает & = 100 %\nсовсем"
    return SampleReport(
        era=era,
        prefix="/mosmetro",
        route="/report.php",
        content_type=None,
        body=_raw(("log", _LOG), ("message", message), ("version", version)),
    )


def _checks() -> Sequence[SampleReport]:
    v7, v10 = ("version", "1.1-7"), ("version", "1.2-10")
    v11, v17, v21 = ("version", "1.3-11"), ("version", "1.4-17"), ("version", "1.5-21")
    v26, v29, v40 = ("version", "1.5.5-26"), ("version", "1.6-29"), ("version", "1.8-40")
    auto, first, after = ("automatic", "1"), ("connected", "0"), ("connected", "1")
    return (
        SampleReport(
            era="v4",
            prefix="/mosmetro",
            route="/check.php",
            method="GET",
            content_type=None,
            need=Need.KEY,
        ),
        _check("v5", "bare key TRUE", b"version=1.0-5&TRUE"),
        _check("v5", "bare key FALSE", b"version=1.0-5&FALSE"),
        _check("v7", "automatic", _raw(v7, ("isAutomatic", "TRUE"))),
        _check("v7", "by hand", _raw(v7, ("isAutomatic", "FALSE"))),
        _problem("v7", "1.1-7"),
        _check("v10", "automatic", _raw(v10, ("automatic", "TRUE"))),
        _check("v10", "by hand", _raw(v10, ("automatic", "FALSE"))),
        _problem("v10", "1.2-10"),
        _check("v11", "before", _raw(v11, auto, first)),
        _check("v11", "after", _raw(v11, auto, after)),
        _check("v11", "by hand", _raw(v11, ("automatic", "0"), after)),
        _problem("v11", "1.3-11"),
        _check("v17", "before", _raw(v17, auto, first)),
        _check("v17", "after", _raw(v17, auto, after)),
        _check("v21", "connected", _raw(v21, auto, after), Need.NOTHING),
        _check("v21", "not connected", _raw(v21, auto, first), Need.NOTHING),
        SampleReport(era="v26", route="/check.php", body=form_body((v26, auto, after))),
        SampleReport(era="v29", route="/check.php", body=form_body((v29, auto, after, SSID))),
        SampleReport(era="v40", route="/check.php", body=form_body((v40, after, SSID))),
    )


def _v1(era: str, case: str, *fields: tuple[str, str]) -> SampleReport:
    return SampleReport(era=era, case=case, route="/api/v1/statistics.php", body=form_body(fields))


def _statistics() -> Sequence[SampleReport]:
    good, bad = ("success", "true"), ("success", "false")
    provider, segment = ("provider", "MosMetroV2"), ("segment", "metro")
    v50, v52, v56 = ("version", "1.8.3-50"), ("version", "1.9-52"), ("version", "1.9.4-56")
    v59, v63, v64 = ("version", "1.10-59"), ("version", "1.11-63"), ("version", "1.12-64")
    return (
        _v1("v50", "connected", v50, good, SSID),
        _v1("v50", "failed", v50, bad, SSID),
        _v1("v50", "built from a branch", ("version", "master-#258-62"), good, SSID),
        _v1("v50", "version unknown", ("version", "unknown"), good, SSID),
        _v1("v52", "captcha", v52, good, SSID, ("provider", "MosMetroV1"), *CAPTCHA),
        _v1("v56", "p for provider", v56, good, SSID, ("p", "MosMetroV2"), *CAPTCHA),
        _v1("v59", "", v59, good, SSID, provider, *CAPTCHA),
        _v1("v63", "", v63, good, SSID, provider, BSSID, segment, *CAPTCHA),
        _v1("v64", "nulls omitted", v64, good, provider),
    )


_Fields = Sequence[tuple[str, str]]


def _build(code: int, name: str, branch: str = "play", number: int = 0) -> _Fields:
    return (
        ("version_name", name),
        ("version_code", str(code)),
        ("build_branch", branch),
        ("build_number", str(number)),
    )


_V2 = (("provider", "MosMetroV2"), ("duration", "5321"), ("segment", "metro"))
_V77 = (*_build(77, "2.3.2"), ("success", "true"), SSID, *_V2, ("branch", "metro-ruckus"))
_API = ("api_level", "30")


def _v2(
    era: str,
    case: str,
    *fields: tuple[str, str],
    mark: bytes = b"",
    need: Need = Need.NOTHING,
    route: str = "/api/v2/stats",
) -> SampleReport:
    return SampleReport(era=era, case=case, route=route, body=mark + form_body(fields), need=need)


def _stats() -> Sequence[SampleReport]:
    good, old = ("success", "true"), ("success", "false")
    bans = (("ban_bypass", "true"), ("ban_count", "2"))
    v3 = (("provider", "MosMetroV3"), ("switch", "MosMetroV2"), ("override", "false"))
    v68 = (*_build(68, "1.13"), good, SSID, BSSID, ("provider", "MosMetroV2"))
    from_master = _build(70, "master-#300", "master", 300)
    v71 = (*_build(71, "2.0", "play", 12), good, SSID, BSSID)
    v72 = (*_build(72, "2.1"), good, SSID, *_V2, ("branch", "default"))
    return (
        _v2("v68", "", *v68, ("segment", "metro"), *bans, *CAPTCHA),
        _v2("v68", "built from a branch", *from_master, old, SSID, ("provider", "Enforta")),
        _v2("v71", "", *v71, *_V2, ("ban_count", "0"), ("v3_bypass", "true")),
        _v2("v71", "switch", *v71, *v3, ("duration", "900"), ("segment", "mcc")),
        _v2("v72", "no ban_count", *v72),
        _v2("v72", "no provider", *_build(72, "2.1"), old, SSID, ("provider", "")),
        _v2("v73", "midsession", *_build(73, "2.2"), ("success", "midsession"), SSID, *_V2),
        _v2("v76", "? before duration", ("duration", "5321"), *_V77[:6], _API, mark=b"?"),
        _v2("v76", "? before version_code", ("version_code", "76"), good, _API, mark=b"?"),
        _v2("v77", "? before success", good, UUID, _API, *_V77[:4], *_V2, mark=b"?"),
        _v2("v77", "? before uuid", UUID, _API, *_V77, mark=b"?"),
        _v2("2021-07-05", "? before version_name", *_V77, UUID, _API, mark=b"?"),
        _v2("2021-09-13", "no ? any more", *_V77, UUID, _API),
        *(
            sample
            for route in ("/api/v2/stats", "/api/v3/stats")
            for sample in (
                _v2("2022-11-02", "form", *_V77, UUID, _API, route=route),
                _v2("2022-11-04", "form", *timed_form(), route=route, need=Need.ANY_2XX),
            )
        ),
        *(
            SampleReport(
                era="2022-11-06",
                case=case,
                route=route,
                content_type=JSON,
                body=events_body(events),
                need=Need.EXACTLY_200,
            )
            for route in ("/api/v3/stats", "/api/v2/stats")
            for case, events in _QUEUES.items()
        ),
    )


def timed_form(timestamp: int = 1667595000) -> _Fields:
    """Return the fields of a report of the 2022-11-04 builds."""
    return (*_V77, UUID, _API, ("error", "false"), ("timestamp", str(timestamp)))


def event(timestamp: int = 1667850000, **result: Any) -> Mapping[str, Any]:
    """Return one event of a v3 report; keywords replace parts of its result."""
    return {
        "timestamp": timestamp,
        "version": {"branch": "master", "build": 438, "name": "2.3.2", "code": 77, "android": 30},
        "result": {
            "provider": "MosMetroV2",
            "segment": "metro",
            "branch": "metro-ruckus",
            "switch": None,
            "duration": 5321,
            "ssid": MARKERS["ssid"],
            "success": True,
            "error": False,
            "midsession": False,
            **result,
        },
    }


def events_body(events: Sequence[Mapping[str, Any]]) -> bytes:
    """Encode a queue of events, oldest first, as the v3 report."""
    value = {"uuid": MARKERS["uuid"], "events": list(events)}
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


_QUEUES: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "empty": (),
    "one": (event(),),
    "nulls": (
        event(segment=None, branch=None, duration=None, ssid=None),
        event(success=False, error=True),
        event(success=False, midsession=True),
    ),
    "a hundred": tuple(event(1667850000 + i) for i in range(100)),
}


def _crashes() -> Sequence[SampleReport]:
    body = json.dumps({"REPORT_ID": "1", "STACK_TRACE": MARKERS["crash"]}).encode()
    return tuple(
        SampleReport(era=era, case="crash report", route=route, content_type=JSON, body=body)
        for era, route in (("2018-08-14", "/send"), ("2018-08-15", "/acra/send"))
    )


REPORTS: tuple[SampleReport, ...] = (*_checks(), *_statistics(), *_stats(), *_crashes())
"""Every kind of report that was ever sent."""


def reports_of(era: str) -> tuple[SampleReport, ...]:
    """Return the samples of one era."""
    return tuple(report for report in REPORTS if report.era == era)
