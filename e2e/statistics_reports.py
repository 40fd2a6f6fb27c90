"""What phones of every era send, and the series that it adds to in InfluxDB."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

HOST = "mosmetro.example:8000"
"""What phones have in their Host header here."""

_DOMAIN = "domain,value=mosmetro-example"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A request, and one key for each time that it adds one to a series."""

    title: str
    path: str
    body: str | None = None
    """Of a POST; None is a GET."""
    series: Sequence[str]
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    """What it adds to each timer, by the series' key."""
    times: int = 1
    """How often it is sent; it counts once."""


def _first(
    success: str, name: str, code: str, segment: str = "null", captcha: str = "null"
) -> list[str]:
    """List what a report without build and duration adds to."""
    return [
        _DOMAIN,
        f"success,level=report,value={success}",
        f"segment,level=report,value={segment}",
        f"captcha,value={captcha}",
        *([f"version_name,value={name}", f"version_code,value={code}"] if name else []),
    ]


def _second(
    success: str, name: str, code: str, build: str, provider: str, **facts: str
) -> list[str]:
    """List what a report with a build adds to; the build is `branch/version`."""
    return [
        _DOMAIN,
        f"success,level=report,value={success}",
        f"version_name,value={name}",
        f"version_code,value={code}",
        *_both(build, provider, success=success, **facts),
    ]


def _both(build: str, provider: str, **facts: str) -> list[str]:
    branch, version = build.split("/")
    return [
        key
        for what, value in facts.items()
        for key in (
            f"{what},level=provider,provider={provider},value={value}",
            f"{what},branch={branch},level=build,provider={provider},value={value},version={version}",
        )
    ]


def _below(build: str, **facts: str) -> list[str]:
    """List what MosMetroV3 adds to for the MosMetroV2 that it switched to."""
    branch, version = build.split("/")
    place = "provider=MosMetroV3,switch=MosMetroV2"
    return [
        key
        for what, value in facts.items()
        for key in (
            f"{what},level=provider_switch,{place},value={value}",
            f"{what},branch={branch},level=build_switch,{place},value={value},version={version}",
        )
    ]


def _timed(build: str, provider: str, milliseconds: float) -> dict[str, float]:
    branch, version = build.split("/")
    return {
        f"duration,level=provider,provider={provider}": milliseconds,
        f"duration,branch={branch},level=build,provider={provider},version={version}": milliseconds,
    }


def _event(timestamp: int, **result: object) -> dict[str, object]:
    version = {"name": "2.4", "code": 80, "branch": "master", "build": 438}
    return {"timestamp": timestamp, "version": version, "result": result}


def _queue(*events: dict[str, object]) -> str:
    return json.dumps({"uuid": "5f0f0c9e-0000-4000-8000-000000000001", "events": events})


_UNKNOWN = {"v3_bypass": "null", "banned_before": "null"}
"""What the apps since 2022 do not tell."""

CASES = [
    Case(title="v4", path="/check.php", series=_first("null", "", "")),
    Case(
        title="v5", path="/check.php", body="version=1.0-5&TRUE", series=_first("null", "1-0", "5")
    ),
    Case(
        title="v17",
        path="/mosmetro/check.php",
        body="version=1.6-17&automatic=1&connected=1",
        series=_first("true", "1-6", "17"),
    ),
    Case(
        title="v29",
        path="/check.php",
        body="version=1.7-29&automatic=0&connected=0&ssid=MosMetro_Free",
        series=_first("false", "1-7", "29"),
    ),
    Case(
        title="v50",
        path="/api/v1/statistics.php",
        body="version=1.9.1-50&success=true&ssid=MosMetro_Free",
        series=_first("true", "1-9-1", "50"),
    ),
    Case(
        title="v56, which misnames the provider",
        path="/api/v1/statistics.php",
        body="version=2.0-56&success=true&p=MosMetroV1&captcha=entered&captcha_code=12345",
        series=[*_first("true", "2-0", "56", captcha="entered"), "provider,value=MosMetroV1"],
    ),
    Case(
        title="v63",
        path="/api/v1/statistics.php",
        body="version=2.1-63&success=false&provider=MosMetroV2&segment=metro&bssid=00%3A11%3A22",
        series=[*_first("false", "2-1", "63", segment="metro"), "provider,value=MosMetroV2"],
    ),
    Case(
        title="a version that nobody knows",
        path="/api/v1/statistics.php",
        body="version=unknown&success=true",
        series=_first("true", "unknown", "unknown"),
    ),
    Case(
        title="v68",
        path="/api/v2/stats",
        body="version_code=68&version_name=2.2&build_branch=play&build_number=0&success=true"
        "&provider=MosMetroV2&segment=metro&v3_bypass=true&ban_count=2&duration=4200",
        series=_second(
            "true",
            "2-2",
            "68",
            "play/68",
            "MosMetroV2",
            segment="metro",
            v3_bypass="true",
            banned_before="true",
        ),
        milliseconds=_timed("play/68", "MosMetroV2", 4200),
    ),
    Case(
        title="v71, switched",
        path="/api/v2/stats",
        body="version_code=71&version_name=2.3&build_branch=master&build_number=438&success=true"
        "&provider=MosMetroV3&switch=MosMetroV2&override=false&segment=mcc&v3_bypass=false"
        "&ban_count=0&duration=1500",
        series=[
            *_second(
                "true",
                "2-3",
                "71",
                "master/438",
                "MosMetroV3",
                switch="MosMetroV2",
                override="false",
                segment="mcc",
                v3_bypass="false",
                banned_before="false",
            ),
            *_below("master/438", segment="mcc", v3_bypass="false", banned_before="false"),
        ],
        milliseconds=_timed("master/438", "MosMetroV3", 1500),
    ),
    Case(
        title="v75",
        path="/api/v2/stats",
        body="version_code=75&version_name=2.3.1&build_branch=play&build_number=0"
        "&success=midsession&provider=MosMetroV1&duration=800",
        series=_second("midsession", "2-3-1", "75", "play/75", "MosMetroV1"),
        milliseconds=_timed("play/75", "MosMetroV1", 800),
    ),
    Case(
        title="v77, with a question mark",
        path="/api/v2/stats",
        body="?duration=900&version_code=77&version_name=2.3.2&build_branch=play&build_number=0"
        "&success=true&provider=MosMetroV2&segment=metro&uuid=x&api_level=19",
        series=_second("true", "2-3-2", "77", "play/77", "MosMetroV2", segment="metro", **_UNKNOWN),
        milliseconds=_timed("play/77", "MosMetroV2", 900),
    ),
    Case(
        title="a queue that is sent again",
        path="/api/v3/stats",
        body=_queue(
            _event(1, success=True, provider="MosMetroV2", segment="metro", duration=2000),
            _event(2, error=True, provider="Unknown"),
        ),
        series=[
            *_second("true", "2-4", "80", "master/438", "MosMetroV2", segment="metro", **_UNKNOWN),
            *_second("error", "2-4", "80", "master/438", "Unknown"),
        ],
        milliseconds=_timed("master/438", "MosMetroV2", 2000),
        times=2,
    ),
    Case(
        title="a queue at the form's door",
        path="/api/v2/stats",
        body=_queue(_event(3, midsession=True, provider="MosMetroV1")),
        series=_second("midsession", "2-4", "80", "master/438", "MosMetroV1"),
    ),
    Case(
        title="a form at the queue's door, with a duration that is none",
        path="/api/v3/stats",
        body="version_code=80&version_name=2.4&build_branch=feature/dns&build_number=12"
        "&success=true&provider=MAInet&duration=abc",
        series=[
            *_second("true", "2-4", "80", "feature-dns/12", "MAInet"),
            "report_unusable,value=duration",
        ],
    ),
    Case(title="nothing", path="/api/v2/stats", body="", series=["report_rejected,value=empty"]),
    Case(
        title="half", path="/api/v3/stats", body='{"events', series=["report_rejected,value=json"]
    ),
    Case(title="a log", path="/report.php", body="log=x", series=["report_discarded"]),
    Case(title="a check of v50", path="/api/v1/branches.php", series=["update_check"]),
    Case(title="a check of v26", path="/update.php", series=["update_check"]),
    Case(
        title="a download of v71",
        path="/releases/MosMetro-play-v77.apk",
        series=["update,branch=play,version=77"],
    ),
    Case(
        title="a download of 2022",
        path="/api/v2/download/master",
        series=["update,branch=master,version=438"],
    ),
]
