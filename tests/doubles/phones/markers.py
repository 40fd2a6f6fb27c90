"""Recognizable strings in the personal fields of the sample reports, and a search for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import unquote

MARKERS: Mapping[str, str] = MappingProxyType(
    {
        "ssid": "MT_FREE markerssid4711",
        "bssid": "5a:1d:0f:fe:ed:0b",
        "uuid": "6f1c7c1e-dead-4d1c-9b0e-0f2f6d7f4a11",
        "captcha_image": "iVBORw0KGgoMarkerCaptchaImage4711",
        "captcha_code": "markercode4711",
        "log": "markerlog4711 http://captive.example/?client_mac=5a1d0ffeed0b",
        "message": "markermessage4711",
        "crash": "markercrash4711",
    }
)
"""What must never be stored, logged or counted (contract §3.2, R), by field."""


def _bare(text: str) -> str:
    return re.sub(r"[^0-9a-z]", "", unquote(text).lower())


def personal_traces(*texts: str | bytes) -> set[str]:
    """Name the personal fields of which something is found in the texts.

    Sees through letter case, punctuation, percent encoding, escapes of separators,
    and a UUID as 16 raw bytes.
    """
    found = set()
    for text in texts:
        raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        hay = _bare(raw.decode("utf-8", "replace"))
        found |= {field for field, marker in MARKERS.items() if _bare(marker) in hay}
        if bytes.fromhex(MARKERS["uuid"].replace("-", "")) in raw:
            found.add("uuid")
    return found
