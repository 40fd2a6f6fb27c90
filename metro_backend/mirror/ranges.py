"""Which part of a file a request is to get: conditional requests and ranges of RFC 9110.

Pure functions; the wire is the responder's affair.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from twisted.web.http import stringToDatetime
from twisted.web.http_headers import Headers

_TAG = re.compile(rb'[ \t]*(W/)?("[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?:,|$)')
_BLANK = re.compile(rb"[ \t]*(?:,|$)")
_SPEC = re.compile(rb"(?:([0-9]+)-([0-9]*)|-([0-9]+))\Z")

_DIGITS = 18
"""Digits of a position that are read; a longer one is beyond the end of any file."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to answer: 200, 206, 304, 412 or 416, and with 200 and 206 which bytes."""

    status: int
    start: int = 0
    """First byte."""
    stop: int = 0
    """The byte after the last one."""


def evaluate(method: bytes, headers: Headers, etag: bytes, modified: int, size: int) -> Plan:
    """Decide on a GET or HEAD of a file.

    Args:
        etag: the file's strong ETag, in its quotes.
        modified: its Last-Modified, UTC Unix time.
        size: its length in bytes.
    """
    status = precondition(headers, etag, modified)
    if status is not None:
        return Plan(status=status)
    whole = Plan(status=200, start=0, stop=size)
    # Range is defined for GET alone (RFC 9110 §14.2).
    if method != b"GET" or not _in_force(headers, etag, modified):
        return whole
    return _part(headers, size) or whole


def precondition(headers: Headers, etag: bytes, modified: int) -> int | None:
    """Return 304 or 412 if the request's conditions ask for it (order of RFC 9110 §13.2.2)."""
    match = headers.getRawHeaders(b"If-Match")
    if match is not None:
        if not listed(match, etag, weak=False):
            return 412
    else:
        unmodified = _date(headers, b"If-Unmodified-Since")
        if unmodified is not None and modified > unmodified:
            return 412
    none_match = headers.getRawHeaders(b"If-None-Match")
    if none_match is not None:
        return 304 if listed(none_match, etag, weak=True) else None
    since = _date(headers, b"If-Modified-Since")
    return 304 if since is not None and modified <= since else None


def listed(lines: Sequence[bytes], etag: bytes, *, weak: bool) -> bool:
    """Tell whether the field lists the ETag or is ``*``; reads up to the first malformed member."""
    field = b",".join(lines)
    if field.strip(b" \t") == b"*":
        return True
    at = 0
    while at < len(field):
        tag = _TAG.match(field, at)
        if tag is None:
            # RFC 9110 §5.6.1: a recipient reads past empty members of a list.
            tag = _BLANK.match(field, at)
            if tag is None:
                return False
        elif tag[2] == etag and (weak or tag[1] is None):
            return True
        at = tag.end()
    return False


def _in_force(headers: Headers, etag: bytes, modified: int) -> bool:
    """Tell whether If-Range, if there is one, lets the Range count (RFC 9110 §13.1.5)."""
    lines = headers.getRawHeaders(b"If-Range")
    if lines is None:
        return True
    if len(lines) != 1:
        return False
    value = lines[0].strip(b" \t")
    # The comparison is strong: a weak tag never matches, a date only exactly.
    return value == etag or _date(headers, b"If-Range") == modified


def _part(headers: Headers, size: int) -> Plan | None:
    """Read Range; None stands for the whole file: no range, several, or a malformed one."""
    lines = headers.getRawHeaders(b"Range")
    if not lines:
        return None
    unit, _, field = b",".join(lines).partition(b"=")
    if unit.strip(b" \t").lower() != b"bytes":
        return None
    specs = [spec for spec in (s.strip(b" \t") for s in field.split(b",")) if spec]
    if len(specs) != 1:
        # Several ranges may make an answer far bigger than the file.
        return None
    spec = _SPEC.match(specs[0])
    if spec is None:
        return None
    first, last, suffix = spec[1], spec[2], spec[3]
    if suffix is not None:
        length = min(_position(suffix), size)
        if length == 0:
            # A suffix of an empty file is the whole of it, which no Content-Range can say.
            return None if _position(suffix) else Plan(status=416)
        return Plan(status=206, start=size - length, stop=size)
    start = _position(first)
    stop = _position(last) + 1 if last else size
    if last and stop <= start:
        return None
    if start >= size:
        return Plan(status=416)
    return Plan(status=206, start=start, stop=min(stop, size))


def _position(digits: bytes) -> int:
    significant = digits.lstrip(b"0")
    return int(significant or b"0") if len(significant) <= _DIGITS else 10**_DIGITS


def _date(headers: Headers, name: bytes) -> int | None:
    """Read an HTTP date in any of its three forms; None for a malformed or repeated one."""
    lines = headers.getRawHeaders(name)
    if lines is None or len(lines) != 1:
        return None
    try:
        return int(stringToDatetime(lines[0]))
    except (ValueError, IndexError, AssertionError, OverflowError):
        return None
