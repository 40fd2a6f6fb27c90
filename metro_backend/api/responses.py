"""Small answers: each sets its type, its length and, where the body is stable, its ETag."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from metro_backend.mirror.ranges import listed
from metro_backend.server import Request

JSON = b"application/json"
HTML = b"text/html; charset=utf-8"
PLAIN = b"text/plain; charset=utf-8"


def body(request: Request, content: bytes, content_type: bytes, code: int = 200) -> bytes:
    """Answer with these bytes; HEAD gets the same headers and none of them."""
    request.setResponseCode(code)
    request.setHeader(b"Content-Type", content_type)
    request.setHeader(b"Content-Length", b"%d" % len(content))
    return content


def empty(request: Request, code: int = 200, content_type: bytes | None = None) -> bytes:
    """Answer without a body."""
    request.setResponseCode(code)
    if content_type is not None:
        request.setHeader(b"Content-Type", content_type)
    if code not in (204, 304):
        request.setHeader(b"Content-Length", b"0")
    return b""


def text(request: Request, message: str, code: int = 200) -> bytes:
    """Answer with plain text that is not to be cached."""
    request.setHeader(b"Cache-Control", b"no-store")
    return body(request, message.encode(), PLAIN, code)


def as_json(request: Request, value: Any, code: int = 200) -> bytes:
    """Answer with readable JSON that is not to be cached."""
    request.setHeader(b"Cache-Control", b"no-store")
    content = json.dumps(value, ensure_ascii=False, indent=1).encode() + b"\n"
    return body(request, content, JSON, code)


def stable(request: Request, content: bytes, etag: bytes, content_type: bytes) -> bytes:
    """Answer with bytes that have an ETag, or with 304 (RFC 9110 §13.1.2)."""
    request.setHeader(b"Cache-Control", b"no-cache")
    request.setHeader(b"ETag", etag)
    known = request.requestHeaders.getRawHeaders(b"If-None-Match")
    if known is not None and request.method in (b"GET", b"HEAD") and listed(known, etag, weak=True):
        return empty(request, 304)
    return body(request, content, content_type)


def unavailable(request: Request, seconds: int, *, silent: bool = False, code: int = 503) -> bytes:
    """Answer that there is nothing yet; `silent` for those who would take a body for the answer."""
    request.setHeader(b"Retry-After", b"%d" % max(1, seconds))
    request.setHeader(b"Cache-Control", b"no-store")
    if silent:
        return empty(request, code)
    return text(request, f"{code} try again in {max(1, seconds)} s\n", code)


def etag_of(content: bytes) -> bytes:
    """Return a strong, quoted ETag of the bytes."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'.encode("ascii")
