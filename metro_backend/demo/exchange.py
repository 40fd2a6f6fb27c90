"""Questions and answers as plain values, so that a fault can change an answer before it leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, unquote

from twisted.web.server import Request


@dataclass(frozen=True, kw_only=True)
class Query:
    """A request, as far as the stand-in cares."""

    method: str
    path: str
    """As it was sent: still percent-encoded, doubled slashes and all."""
    query: str
    """What follows the question mark."""
    headers: Mapping[str, str]
    """By name in lower case; the last one if there are several."""
    base: str
    """Scheme, host and port by which the client reached us; no slash at the end."""

    @classmethod
    def of(cls, request: Request) -> Self:
        """Take what is needed from Twisted's request."""
        headers = {
            name.decode("latin-1").lower(): values[-1].decode("latin-1")
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        scheme = "https" if request.isSecure() else "http"
        path, _, query = request.uri.decode("latin-1").partition("?")
        return cls(
            method=request.method.decode("latin-1"),
            path=path,
            query=query,
            headers=headers,
            base=f"{scheme}://{headers.get('host', 'localhost')}",
        )

    @property
    def target(self) -> str:
        """Path and query, as they were sent."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def segments(self) -> list[str]:
        """The path's segments, each decoded once; empty ones (``//``) are left out."""
        return [unquote(segment) for segment in self.path.split("/") if segment]

    def argument(self, name: str) -> str | None:
        """Return the query's first value of that name."""
        for key, value in parse_qsl(self.query, keep_blank_values=True):
            if key == name:
                return value
        return None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A response. Content-Length is added when it is sent."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def json_answer(
    value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Answer:
    """Answer with JSON; the characters outside ASCII go out as UTF-8."""
    body = json.dumps(value, ensure_ascii=False).encode()
    return Answer(
        status=status,
        headers={"Content-Type": "application/json; charset=utf-8", **(headers or {})},
        body=body,
    )


def html_answer(
    status: int, title: str, text: str, headers: Mapping[str, str] | None = None
) -> Answer:
    """Answer with a page for people, as servers do where a client hoped for JSON."""
    page = (
        f"<!DOCTYPE html>\n<html><head><title>{title}</title></head>\n"
        f"<body><h1>{title}</h1><p>{text}</p></body></html>\n"
    )
    return Answer(
        status=status,
        headers={"Content-Type": "text/html;charset=utf-8", **(headers or {})},
        body=page.encode(),
    )
