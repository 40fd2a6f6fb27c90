"""What can go wrong between an answer and the client, to be switched on per path."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from fnmatch import fnmatchcase
from typing import Any, Protocol

from metro_backend.demo.exchange import Answer, html_answer, json_answer


class Ending(Enum):
    """What follows the last byte that is sent."""

    FINISH = auto()
    """The response ends as it should."""
    CLOSE = auto()
    """The connection is closed after it."""
    ABORT = auto()
    """The connection is reset at once."""
    HANG = auto()
    """Nothing, until the client leaves."""


@dataclass(frozen=True, kw_only=True)
class Sending:
    """An answer, and how it goes out."""

    answer: Answer
    silent: bool = False
    """Not even the status line is sent."""
    rate: float | None = None
    """Bytes of the body per second; None for as fast as the client reads."""
    stop: int | None = None
    """Bytes of the body after which the ending comes; None for all of it."""
    ending: Ending = Ending.FINISH
    excess: int = 0
    """Bytes by which the promised length differs from the true one."""
    chunked: bool = False
    """No length is promised."""


class Fault(Protocol):
    """Changes an answer, or how it goes out."""

    def apply(self, sending: Sending, now: float) -> Sending:
        """Return what is to be sent instead; `now` is UTC Unix time."""


@dataclass(frozen=True)
class Refuse:
    """Reset the connection as soon as the request is read."""

    def apply(self, sending: Sending, now: float) -> Sending:
        """See `Fault`."""
        return replace(sending, silent=True, ending=Ending.ABORT)


@dataclass(frozen=True)
class Hang:
    """Never answer; or fall silent after so many bytes of the body."""

    after_bytes: int | None = None

    def apply(self, sending: Sending, now: float) -> Sending:
        """See `Fault`."""
        silent = self.after_bytes is None
        return replace(sending, silent=silent, stop=self.after_bytes, ending=Ending.HANG)


@dataclass(frozen=True)
class Slow:
    """Send the body at a limited speed."""

    bytes_per_second: float

    def apply(self, sending: Sending, now: float) -> Sending:
        """See `Fault`."""
        return replace(sending, rate=self.bytes_per_second)


@dataclass(frozen=True)
class Cut:
    """Promise the whole body, send so many bytes of it, close the connection."""

    after_bytes: int

    def apply(self, sending: Sending, now: float) -> Sending:
        """See `Fault`."""
        return replace(sending, stop=self.after_bytes, ending=Ending.CLOSE)


@dataclass(frozen=True)
class WrongLength:
    """Promise so many bytes more (or fewer, if negative) than are sent; close the connection."""

    delta: int

    def apply(self, sending: Sending, now: float) -> Sending:
        """See `Fault`."""
        return replace(sending, excess=self.delta, ending=Ending.CLOSE)


@dataclass(frozen=True)
class NoLength:
    """Send the body in chunks, without Content-Length."""

    def apply(self, sending: Sending, now: float) -> Sending:
        """See `Fault`."""
        return replace(sending, chunked=True)


@dataclass(frozen=True)
class Altered:
    """Change one byte in the middle of the body."""

    def apply(self, sending: Sending, now: float) -> Sending:
        """See `Fault`."""
        body = bytearray(sending.answer.body)
        if body:
            body[len(body) // 2] ^= 0xFF
        return replace(sending, answer=replace(sending.answer, body=bytes(body)))


@dataclass(frozen=True)
class Status:
    """Answer with this status in place of anything else."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | str | None = None
    """None for a short page as HTML."""

    def apply(self, sending: Sending, now: float) -> Sending:
        """See `Fault`."""
        if self.body is None:
            answer = html_answer(self.code, f"Error {self.code}", "Switched on.", self.headers)
        else:
            body = self.body.encode() if isinstance(self.body, str) else self.body
            answer = Answer(status=self.code, headers=self.headers, body=body)
        return replace(sending, answer=answer)


@dataclass(frozen=True)
class Html:
    """Answer 200 with the log-in page of a captive portal."""

    def apply(self, sending: Sending, now: float) -> Sending:
        """See `Fault`."""
        text = 'Для доступа в Интернет <a href="http://auth.example/">войдите в сеть</a>.'
        return replace(sending, answer=html_answer(200, "Wi-Fi в метро", text))


@dataclass(frozen=True)
class EmptyList:
    """Answer with an empty list: ``[]``, or the same object with all its lists empty."""

    def apply(self, sending: Sending, now: float) -> Sending:
        """See `Fault`."""
        value: Any = None
        with suppress(ValueError):
            value = json.loads(sending.answer.body)
        if isinstance(value, dict):
            value = {name: [] if isinstance(item, list) else item for name, item in value.items()}
        else:
            value = []
        # The validators of the full list must not stand for the empty one.
        return replace(sending, answer=json_answer(value))


@dataclass(frozen=True)
class NotModified:
    """Answer 304, whatever was asked."""

    def apply(self, sending: Sending, now: float) -> Sending:
        """See `Fault`."""
        headers = {k: v for k, v in sending.answer.headers.items() if k != "Content-Type"}
        return replace(sending, answer=Answer(status=304, headers=headers))


@dataclass(frozen=True)
class Redirect:
    """Send the client elsewhere."""

    to: str
    status: int = 302

    def apply(self, sending: Sending, now: float) -> Sending:
        """See `Fault`."""
        return replace(sending, answer=Answer(status=self.status, headers={"Location": self.to}))


@dataclass(frozen=True)
class RateLimited:
    """Answer as GitHub does when an address has used up its requests (contract §2.5)."""

    reset_after: float = 3600
    """Seconds until requests are allowed again."""

    def apply(self, sending: Sending, now: float) -> Sending:
        """See `Fault`."""
        return replace(
            sending,
            answer=json_answer(
                {
                    "message": "API rate limit exceeded for 203.0.113.7. (But here's the good "
                    "news: Authenticated requests get a higher rate limit.)",
                    "documentation_url": "https://docs.github.example/rest/rate-limits",
                },
                status=403,
                headers={
                    "X-RateLimit-Limit": "60",
                    "X-RateLimit-Remaining": "0",
                    "X-RateLimit-Reset": str(int(now + self.reset_after)),
                    "X-RateLimit-Used": "60",
                    "X-RateLimit-Resource": "core",
                },
            ),
        )


@dataclass(kw_only=True)
class _Rule:
    pattern: str
    faults: tuple[Fault, ...]
    times: int | None


def matches(pattern: str, target: str) -> bool:
    """Tell whether a path, its query with it, fits a pattern.

    A pattern that holds ``*`` or ``[`` is one of `fnmatch` (for which ``*`` also
    stands for slashes) and has to fit the path, with or without the query; any
    other is a prefix. Paths are compared as they are sent, percent-encoded.
    """
    if "*" not in pattern and "[" not in pattern:
        return target.startswith(pattern)
    return fnmatchcase(target, pattern) or fnmatchcase(target.partition("?")[0], pattern)


class Faults:
    """The switchboard: which faults befall which paths."""

    def __init__(self) -> None:
        """Start with everything well."""
        self._rules: list[_Rule] = []

    def set(self, pattern: str, *faults: Fault, times: int | None = None) -> None:
        """Let these faults, in turn, change every answer (or the next `times` ones) on these paths.

        A pattern set later comes before one set earlier, and replaces an equal one.
        """
        self.clear(pattern)
        self._rules.insert(0, _Rule(pattern=pattern, faults=faults, times=times))

    def clear(self, pattern: str | None = None) -> None:
        """Switch off what was set for this very pattern, or everything."""
        self._rules = [rule for rule in self._rules if pattern not in (None, rule.pattern)]

    def take(self, target: str) -> tuple[Fault, ...]:
        """Return the faults of the first pattern that fits, and count them as used once."""
        for rule in self._rules:
            if matches(rule.pattern, target):
                if rule.times is not None:
                    rule.times -= 1
                    if rule.times <= 0:
                        self._rules.remove(rule)
                return rule.faults
        return ()
