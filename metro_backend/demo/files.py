"""A file's answer: whole or one range of it, with validators (RFC 9110 §13, §14)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import formatdate

from metro_backend.demo.exchange import Answer, Query

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def file_answer(
    query: Query,
    body: bytes,
    *,
    etag: str,
    modified: float,
    headers: Mapping[str, str],
) -> Answer:
    """Answer with a file, or the one range of it that was asked for.

    `etag` is quoted; `modified` is UTC Unix time. More ranges than one are
    answered with the whole file.
    """
    last_modified = formatdate(modified, usegmt=True)
    sent = {
        **headers,
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Last-Modified": last_modified,
    }
    if not _listed(etag, query.headers.get("if-match", "*")):
        return Answer(status=412, headers=sent)
    if _listed(etag, query.headers.get("if-none-match", "")):
        return Answer(status=304, headers=sent)
    wanted = query.headers.get("range", "")
    if query.headers.get("if-range", etag) not in (etag, last_modified):
        wanted = ""
    match = _RANGE.fullmatch(wanted.replace(" ", ""))
    if match is None or not any(match.groups()):
        return Answer(headers=sent, body=body)

    first, last = match.groups()
    size = len(body)
    if first:
        start, end = int(first), min(int(last or size - 1), size - 1)
        if last and int(last) < start:
            return Answer(headers=sent, body=body)
    else:
        start, end = max(0, size - int(last)), size - 1
    if start > end:
        return Answer(status=416, headers={**sent, "Content-Range": f"bytes */{size}"})
    sent["Content-Range"] = f"bytes {start}-{end}/{size}"
    return Answer(status=206, headers=sent, body=body[start : end + 1])


def _listed(etag: str, field: str) -> bool:
    tags = [tag.strip() for tag in field.split(",")]
    return "*" in tags or etag in tags
