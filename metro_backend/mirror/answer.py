"""Reads the headers of a source's answer: does it give the build, and from which byte on?"""

from __future__ import annotations

import re
from dataclasses import dataclass

from twisted.web.http_headers import Headers

from metro_backend.branches.model import Artifact
from metro_backend.mirror.errors import FillFailed, WrongFile

_CONTENT_RANGE = re.compile(r"bytes +([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)\s*\Z", re.I)


@dataclass(frozen=True, kw_only=True)
class Validators:
    """What tells the source's file from a later one."""

    etag: str | None
    """A strong ETag."""
    modified: str | None
    """Last-Modified, as it came."""

    @classmethod
    def of(cls, headers: Headers) -> Validators:
        """Read them; a weak ETag is worth nothing here (RFC 9110 §13.1.5)."""
        etag = _first(headers, "ETag")
        strong = etag if etag and etag.startswith('"') else None
        return cls(etag=strong, modified=_first(headers, "Last-Modified"))

    @property
    def if_range(self) -> str | None:
        """The value for If-Range."""
        return self.etag or self.modified

    def contradict(self, other: Validators) -> bool:
        """Tell whether the two are certainly of different files."""
        if self.etag and other.etag:
            return self.etag != other.etag
        return bool(self.modified and other.modified and self.modified != other.modified)

    def agree(self, other: Validators) -> bool:
        """Tell whether the two are certainly of one file."""
        if self.etag and other.etag:
            return self.etag == other.etag
        return bool(self.modified and self.modified == other.modified)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer that gives the build."""

    start: int
    """The byte of the file that the body begins with."""
    total: int | None
    """Bytes of the whole file; None if the source does not tell."""
    validators: Validators


def read_answer(
    code: int,
    headers: Headers,
    length: int | None,
    artifact: Artifact,
    *,
    offset: int,
    before: Answer | None,
    limit: int,
) -> Answer:
    """Read an answer to a request for the file from `offset` on.

    Args:
        length: the body's length, if the headers tell.
        before: the answer that the first bytes came with.
        limit: bytes that a build may have.

    Raises:
        FillFailed: if it gives something else, or it is not certain that it gives the same file.
    """
    coding = _first(headers, "Content-Encoding")
    if coding and coding.strip().lower() != "identity":
        raise WrongFile(f"the file comes as {coding[:40]}, which nobody asked for")
    validators = Validators.of(headers)
    if code == 200:
        answer = Answer(start=0, total=length, validators=validators)
    elif code == 206 and offset:
        answer = _part(headers, validators, offset)
    else:
        raise WrongFile(f"HTTP {code} to a request for the file")
    total = artifact.size if answer.total is None else answer.total
    if artifact.size is not None and total != artifact.size:
        raise WrongFile(f"the file has {total} bytes, not the {artifact.size} promised")
    if total is not None and total > limit:
        raise WrongFile(f"the file has {total} bytes, more than {limit}")
    if before is not None and offset:
        _same(before, answer, artifact)
    return Answer(start=answer.start, total=total, validators=validators)


def _part(headers: Headers, validators: Validators, offset: int) -> Answer:
    match = _CONTENT_RANGE.match(_first(headers, "Content-Range") or "")
    if match is None or int(match[1]) != offset:
        raise FillFailed("the answer is not the part of the file that was asked for")
    total = None if match[3] == "*" else int(match[3])
    return Answer(start=offset, total=total, validators=validators)


def _same(before: Answer, now: Answer, artifact: Artifact) -> None:
    """Raise FillFailed unless both answers are certain to be of one file."""
    if before.validators.contradict(now.validators):
        raise FillFailed("the file has changed while it was fetched")
    if before.total is not None and now.total is not None and before.total != now.total:
        raise FillFailed("the file has changed its length while it was fetched")
    asked_for_the_same = now.start > 0 and before.validators.if_range is not None
    if not (
        asked_for_the_same or before.validators.agree(now.validators) or artifact.digest is not None
    ):
        raise FillFailed("nothing tells whether the rest is of the same file")


def _first(headers: Headers, name: str) -> str | None:
    values = headers.getRawHeaders(name)
    return values[0] if values else None
