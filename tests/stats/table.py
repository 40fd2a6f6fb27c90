"""Reports of every era, with exactly what each must count.

One row for each kind of app (contract §1.1) and each odd case (§1.3, §5.2), so
that the same table can be held against the statistics alone and against HTTP.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from metro_backend.stats.reports import Era

HOST = "stats.example:8000"

UUID = "6f1c7c1e-6a3e-4d1c-9b0e-0f2f6d7f4a11"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A body, the door it comes through, and what it comes to."""

    title: str
    era: Era
    body: bytes
    counters: str
    """Names without prefix, separated by spaces; one that stands twice counts two."""
    timers: dict[str, list[int]] = field(default_factory=dict)


def event(came: dict[str, Any] | None = None, /, **other: Any) -> dict[str, Any]:
    """Return an event as apps since 2022-11-06 queue it (contract §1.3, 9)."""
    return {
        "timestamp": 1667850000,
        "version": {"branch": "master", "build": 438, "name": "2.3.2", "code": 77, "android": 30},
        "result": {
            "provider": "MosMetroV1",
            "segment": None,
            "branch": None,
            "switch": None,
            "duration": None,
            "ssid": "MT_FREE",
            "success": True,
            "error": False,
            "midsession": False,
        }
        | (came or {}),
    } | other


def queue(*events: Any, uuid: Any = UUID) -> bytes:
    """Return the body in which a phone sends its queue."""
    text = json.dumps({"uuid": uuid, "events": events}, ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


V1 = "captcha.null segment.null domain.stats-example"
V2 = "domain.stats-example version.name.2-3-2 version.code.77"

CHECK_ROWS = [
    Row(
        title="v4 asks without a word",
        era=Era.CHECK,
        body=b"",
        counters=f"success.null {V1}",
    ),
    Row(
        title="v5 sends a nameless flag",
        era=Era.CHECK,
        body=b"version=1.0-5&TRUE",
        counters=f"success.null {V1} version.name.1-0 version.code.5",
    ),
    Row(
        title="v7 says isAutomatic",
        era=Era.CHECK,
        body=b"version=1.0-7&isAutomatic=TRUE",
        counters=f"success.null {V1} version.name.1-0 version.code.7",
    ),
    Row(
        title="v11 asks before it connects",
        era=Era.CHECK,
        body=b"version=1.1-11&automatic=1&connected=0",
        counters=f"success.false {V1} version.name.1-1 version.code.11",
    ),
    Row(
        title="v21 reports after it has connected",
        era=Era.CHECK,
        body=b"version=1.4-21&automatic=0&connected=1",
        counters=f"success.true {V1} version.name.1-4 version.code.21",
    ),
    Row(
        title="v29 adds a network's name, not URL-encoded",
        era=Era.CHECK,
        body=b"version=1.6-29&automatic=1&connected=1&ssid=MosMetro_Free 100%",
        counters=f"success.true {V1} version.name.1-6 version.code.29",
    ),
    Row(
        title="v40 drops automatic",
        era=Era.CHECK,
        body=b"version=2.0-40&connected=&ssid=MosMetro_Free",
        counters=f"success.false {V1} version.name.2-0 version.code.40",
    ),
    Row(
        title="a stranger",
        era=Era.CHECK,
        body=b"wp-login",
        counters="report.rejected.fields",
    ),
]

V1_ROWS = [
    Row(
        title="v50",
        era=Era.V1,
        body=b"version=1.0-50&success=true&ssid=MosMetro_Free",
        counters=f"success.true {V1} version.name.1-0 version.code.50",
    ),
    Row(
        title="v52 sends captchas",
        era=Era.V1,
        body=b"version=1.1-52&success=false&ssid=x&provider=MosMetroV1&captcha=entered"
        b"&captcha_image=iVBORw0KGgo%3D&captcha_code=12345",
        counters="success.false captcha.entered segment.null domain.stats-example "
        "version.name.1-1 version.code.52 provider.MosMetroV1",
    ),
    Row(
        title="v56 to v58 say p for provider",
        era=Era.V1,
        body=b"version=1.2-56&success=true&p=MosMetroV2&captcha=",
        counters=f"success.true {V1} version.name.1-2 version.code.56 provider.MosMetroV2",
    ),
    Row(
        title="p goes before provider",
        era=Era.V1,
        body=b"version=1.2-57&success=true&provider=Enforta&p=MosMetroV2",
        counters=f"success.true {V1} version.name.1-2 version.code.57 provider.MosMetroV2",
    ),
    Row(
        title="v63 adds access point and segment",
        era=Era.V1,
        body=b"version=1.7-63&success=true&ssid=MT_FREE&bssid=00%3A11%3A22%3A33%3A44%3A55"
        b"&segment=metro&provider=MosMetroV2&captcha=MosMetroV2",
        counters="success.true captcha.MosMetroV2 segment.metro domain.stats-example "
        "version.name.1-7 version.code.63 provider.MosMetroV2",
    ),
    Row(
        title="a build whose name holds hyphens",
        era=Era.V1,
        body=b"version=master-%23258-62&success=true",
        counters=f"success.true {V1} version.name.master-258 version.code.62",
    ),
    Row(
        title="a version that its app does not know",
        era=Era.V1,
        body=b"version=unknown&success=true",
        counters=f"success.true {V1} version.name.unknown version.code.unknown",
    ),
    Row(
        title="a version that is none",
        era=Era.V1,
        body="version=1.0-²&success=true".encode(),
        counters=f"success.true {V1} version.name.unknown version.code.unknown "
        "report.unusable.version",
    ),
    Row(
        title="no version",
        era=Era.V1,
        body=b"version=&success=true",
        counters=f"success.true {V1}",
    ),
    Row(
        title="a captcha of its own kind",
        era=Era.V1,
        body=b"success=true&captcha=x7k9p",
        counters="success.true captcha.other segment.null domain.stats-example "
        "server.stats.folded.captcha",
    ),
    Row(
        title="nothing",
        era=Era.V1,
        body=b"",
        counters="report.rejected.empty",
    ),
    Row(
        title="noise",
        era=Era.V1,
        body=bytes(range(256)),
        counters="report.rejected.fields",
    ),
]

V2_ROWS = [
    Row(
        title="v68 knows its bans",
        era=Era.V2,
        body=b"version_name=1.8.3&version_code=68&build_branch=play&build_number=0&success=true"
        b"&ssid=MT_FREE&bssid=00:11:22:33:44:55&provider=MosMetroV2&segment=metro"
        b"&ban_bypass=none&ban_count=2",
        counters="domain.stats-example version.name.1-8-3 version.code.68 success.true "
        "MosMetroV2.success.true play.68.MosMetroV2.success.true "
        "MosMetroV2.segment.metro play.68.MosMetroV2.segment.metro "
        "MosMetroV2.v3_bypass.null play.68.MosMetroV2.v3_bypass.null "
        "MosMetroV2.banned_before.true play.68.MosMetroV2.banned_before.true",
    ),
    Row(
        title="v71 measures, and knows the third portal's bypass",
        era=Era.V2,
        body=b"version_name=2.0&version_code=71&build_branch=master&build_number=300&success=true"
        b"&provider=MosMetroV2WV&segment=mcc&v3_bypass=true&ban_count=0&duration=5321",
        counters="domain.stats-example version.name.2-0 version.code.71 success.true "
        "MosMetroV2WV.success.true master.300.MosMetroV2WV.success.true "
        "MosMetroV2WV.segment.mcc master.300.MosMetroV2WV.segment.mcc "
        "MosMetroV2WV.v3_bypass.true master.300.MosMetroV2WV.v3_bypass.true "
        "MosMetroV2WV.banned_before.false master.300.MosMetroV2WV.banned_before.false",
        timers={"MosMetroV2WV.duration": [5321], "master.300.MosMetroV2WV.duration": [5321]},
    ),
    Row(
        title="v71 switched from the third portal to the second",
        era=Era.V2,
        body=b"version_name=2.3.2&version_code=77&build_branch=play&build_number=9&success=true"
        b"&provider=MosMetroV3&switch=MosMetroV2&override=false&segment=metro&v3_bypass=false"
        b"&ban_count=1&duration=0",
        counters=f"{V2} success.true "
        "MosMetroV3.success.true play.77.MosMetroV3.success.true "
        "MosMetroV3.switch.MosMetroV2 play.77.MosMetroV3.switch.MosMetroV2 "
        "MosMetroV3.override.false play.77.MosMetroV3.override.false "
        "MosMetroV3.segment.metro play.77.MosMetroV3.segment.metro "
        "MosMetroV3.v3_bypass.false play.77.MosMetroV3.v3_bypass.false "
        "MosMetroV3.banned_before.true play.77.MosMetroV3.banned_before.true "
        "MosMetroV3.MosMetroV2.segment.metro play.77.MosMetroV3.MosMetroV2.segment.metro "
        "MosMetroV3.MosMetroV2.v3_bypass.false play.77.MosMetroV3.MosMetroV2.v3_bypass.false "
        "MosMetroV3.MosMetroV2.banned_before.true play.77.MosMetroV3.MosMetroV2.banned_before.true",
        timers={"MosMetroV3.duration": [0], "play.77.MosMetroV3.duration": [0]},
    ),
    Row(
        title="the third portal without a switch",
        era=Era.V2,
        body=b"version_name=2.3.2&version_code=77&build_branch=beta&build_number=9&success=false"
        b"&provider=MosMetroV3&override=true",
        counters=f"{V2} success.false "
        "MosMetroV3.success.false beta.77.MosMetroV3.success.false "
        "MosMetroV3.switch.null beta.77.MosMetroV3.switch.null "
        "MosMetroV3.override.true beta.77.MosMetroV3.override.true",
    ),
    Row(
        title="v72 no longer knows its bans",
        era=Era.V2,
        body=b"version_name=2.1&version_code=72&build_branch=play&build_number=0&success=true"
        b"&ssid=%3Cunknown+ssid%3E&provider=MosMetroV2&duration=900&segment=metro&branch=default",
        counters="domain.stats-example version.name.2-1 version.code.72 success.true "
        "MosMetroV2.success.true play.72.MosMetroV2.success.true "
        "MosMetroV2.segment.metro play.72.MosMetroV2.segment.metro "
        "MosMetroV2.v3_bypass.null play.72.MosMetroV2.v3_bypass.null "
        "MosMetroV2.banned_before.null play.72.MosMetroV2.banned_before.null",
        timers={"MosMetroV2.duration": [900], "play.72.MosMetroV2.duration": [900]},
    ),
    Row(
        title="v73 in the middle of a session",
        era=Era.V2,
        body=b"version_name=2.3.2&version_code=77&build_branch=play&build_number=0"
        b"&success=midsession&provider=Unknown",
        counters=f"{V2} success.midsession "
        "Unknown.success.midsession play.77.Unknown.success.midsession",
    ),
    Row(
        title="v76 puts a question mark before the code",
        era=Era.V2,
        body=b"?version_code=76&version_name=2.3.1&build_branch=play&build_number=0&success=true"
        b"&provider=Enforta&api_level=30",
        counters="domain.stats-example version.name.2-3-1 version.code.76 success.true "
        "Enforta.success.true play.76.Enforta.success.true",
    ),
    Row(
        title="v77 puts a question mark before the duration",
        era=Era.V2,
        body=b"?duration=1200&api_level=30&version_code=77&version_name=2.3.2&build_branch=play"
        b"&build_number=0&success=true&provider=Enforta&uuid=" + UUID.encode(),
        counters=f"{V2} success.true Enforta.success.true play.77.Enforta.success.true",
        timers={"Enforta.duration": [1200], "play.77.Enforta.duration": [1200]},
    ),
    Row(
        title="a build of 2022-11-04 reports a failure",
        era=Era.V2,
        body=b"version_name=2.3.2&version_code=77&build_branch=master&build_number=430"
        b"&success=false&error=true&provider=Bmstu&timestamp=1667570000&uuid=" + UUID.encode(),
        counters=f"{V2} success.error Bmstu.success.error master.430.Bmstu.success.error",
    ),
    Row(
        title="an empty provider, and a branch in Russian",
        era=Era.V2,
        body="version_name=2.3.2&version_code=77&build_branch=Щука/ёж&build_number=5"
        "&success=true&provider=".encode(),
        counters=f"{V2} success.true null.success.true Shchuka-ezh.5.null.success.true",
    ),
    Row(
        title="numbers that are none",
        era=Era.V2,
        body="version_name=2.3.2&version_code=²&build_branch=master&build_number=abc"
        "&success=true&provider=Bmstu&duration=-5&ban_count=1e3&override=maybe&uuid=no".encode(),
        counters="domain.stats-example version.name.2-3-2 version.code.null success.true "
        "Bmstu.success.true master.null.Bmstu.success.true report.unusable.version_code "
        "report.unusable.build_number report.unusable.duration report.unusable.ban_count "
        "report.unusable.flag",
    ),
    Row(
        title="fields that are repeated: the first usable one",
        era=Era.V2,
        body=b"version_code=&version_code=x&version_code=77&version_code=78&version_name=2.3.2"
        b"&build_branch=play&success=true&success=false&provider=Bmstu",
        counters=f"{V2} success.true Bmstu.success.true play.77.Bmstu.success.true",
    ),
    Row(
        title="almost nothing",
        era=Era.V2,
        body=b"success=true",
        counters="domain.stats-example version.name.null version.code.null success.true "
        "null.success.true null.null.null.success.true",
    ),
    Row(
        title="values that would be other metrics",
        era=Era.V2,
        body=b"version_name=1%7Cc%0Aevil&version_code=77&build_branch=update&build_number=1"
        b"&success=true%3A5%7Cc&provider=success",
        counters="domain.stats-example version.name.1-c-evil version.code.77 success.true-5-c "
        "other.success.true-5-c other.1.other.success.true-5-c "
        "server.stats.folded.branch server.stats.folded.provider",
    ),
]

V3_ROWS = [
    Row(
        title="a queue of three",
        era=Era.V3,
        body=queue(
            event({"provider": "MosMetroV2", "segment": "metro", "duration": 5321}, timestamp=1),
            event({"success": False}, timestamp=2),
            event({"success": False, "error": True, "duration": 7}, timestamp=3),
        ),
        counters=f"{V2} {V2} {V2} success.true success.false success.error "
        "MosMetroV2.success.true master.438.MosMetroV2.success.true "
        "MosMetroV2.segment.metro master.438.MosMetroV2.segment.metro "
        "MosMetroV2.v3_bypass.null master.438.MosMetroV2.v3_bypass.null "
        "MosMetroV2.banned_before.null master.438.MosMetroV2.banned_before.null "
        "MosMetroV1.success.false master.438.MosMetroV1.success.false "
        "MosMetroV1.success.error master.438.MosMetroV1.success.error",
        timers={
            "MosMetroV2.duration": [5321],
            "master.438.MosMetroV2.duration": [5321],
            "MosMetroV1.duration": [7],
            "master.438.MosMetroV1.duration": [7],
        },
    ),
    Row(
        title="an event in the middle of a session, of a play build",
        era=Era.V3,
        body=queue(
            event(
                {"midsession": True},
                timestamp=4,
                version={"branch": "play", "build": 0, "name": "2.3.2", "code": 77},
            )
        ),
        counters=f"{V2} success.midsession "
        "MosMetroV1.success.midsession play.77.MosMetroV1.success.midsession",
    ),
    Row(
        title="an event that says nothing",
        era=Era.V3,
        body=queue(event({}, version={}, result={})),
        counters="domain.stats-example version.name.null version.code.null success.null "
        "null.success.null null.null.null.success.null",
    ),
    Row(
        title="values of other types",
        era=Era.V3,
        body=queue(
            event(
                {"provider": 1, "duration": -1, "success": "true", "error": 0},
                version={"branch": "master", "build": True, "name": ["2.3.2"], "code": "77"},
            ),
            uuid=7,
        ),
        counters="domain.stats-example version.name.null version.code.77 success.true "
        "null.success.true master.null.null.success.true report.unusable.duration "
        "report.unusable.flag report.unusable.build_number "
        "report.unusable.text report.unusable.text",
    ),
    Row(
        title="a queue to v2",
        era=Era.V2,
        body=b" \r\n" + queue(event(timestamp=5)),
        counters=f"{V2} success.true MosMetroV1.success.true master.438.MosMetroV1.success.true",
    ),
    Row(
        title="a form to v3",
        era=Era.V3,
        body=b"version_name=2.3.2&version_code=77&build_branch=master&build_number=431"
        b"&success=true&provider=MosMetroV1",
        counters=f"{V2} success.true MosMetroV1.success.true master.431.MosMetroV1.success.true",
    ),
    Row(
        title="an empty queue",
        era=Era.V3,
        body=queue(),
        counters="",
    ),
    Row(
        title="malformed events beside a good one",
        era=Era.V3,
        body=queue(7, {"version": {}}, event({}, result=[]), event(timestamp=6)),
        counters=f"{V2} success.true MosMetroV1.success.true master.438.MosMetroV1.success.true "
        "report.rejected.event report.rejected.event report.rejected.event",
    ),
    Row(
        title="more than a queue can hold",
        era=Era.V3,
        body=queue(*[7] * 103),
        counters=" ".join(["report.rejected.event"] * 100 + ["report.rejected.surplus"] * 3),
    ),
    Row(
        title="broken JSON",
        era=Era.V3,
        body=b'{"uuid":"x","events":[',
        counters="report.rejected.json",
    ),
    Row(
        title="JSON without events",
        era=Era.V3,
        body=b'[{"version_code":77}]',
        counters="report.rejected.shape",
    ),
    Row(
        title="nothing to v3",
        era=Era.V3,
        body=b"?",
        counters="report.rejected.empty",
    ),
]

ROWS = CHECK_ROWS + V1_ROWS + V2_ROWS + V3_ROWS
