"""How areas' methods become routes of one Klein app, and exceptions become answers.

All areas share one URL map: a 405 knows every method of a path, errors look the
same everywhere, and tests can walk the whole table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from klein import Klein
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from metro_backend.api.questions import Unready
from metro_backend.api.responses import empty, text, unavailable
from metro_backend.branches.catalogue import RETRY_AFTER
from metro_backend.counting import Counting

F = TypeVar("F", bound=Callable[..., Any])

_log = Logger()


@dataclass(frozen=True)
class Route:
    """One path and what it takes."""

    rule: str
    methods: tuple[str, ...]


def route(rule: str, *methods: str) -> Callable[[F], F]:
    """Mark a method of an area as the answer to a path; GET brings HEAD with it."""

    def mark(function: F) -> F:
        routes: list[Route] = function.__dict__.setdefault("routes", [])
        routes.append(Route(rule, methods))
        return function

    return mark


def routes_of(area: object) -> Iterator[tuple[Route, Callable[..., Any]]]:
    """Find the marked methods of an area."""
    for name in dir(type(area)):
        for each in getattr(getattr(type(area), name), "routes", ()):
            yield each, getattr(area, name)


def application(areas: Iterable[object], count: Counting) -> Klein:
    """Build the app from its areas."""
    app = Klein()
    for area in areas:
        for each, method in routes_of(area):
            endpoint = f"{type(area).__name__}.{method.__name__} {each.rule}"
            # Both would redirect instead, a POST as well, and to a host of the client's choice.
            options = {"strict_slashes": False, "merge_slashes": False}
            app.route(each.rule, methods=each.methods, endpoint=endpoint, **options)(method)
    _handle_errors(app, count)
    return app


def _handle_errors(app: Klein, count: Counting) -> None:
    @app.handle_errors(HTTPException)
    def http_error(request: Any, failure: Failure) -> bytes:
        error = failure.value
        assert isinstance(error, HTTPException)
        if isinstance(error, MethodNotAllowed):
            allowed = sorted({*(error.valid_methods or ()), "OPTIONS"})
            request.setHeader(b"Allow", ", ".join(allowed).encode("ascii"))
            if request.method == b"OPTIONS":
                request.setHeader(b"Access-Control-Allow-Methods", ", ".join(allowed).encode())
                request.setHeader(b"Access-Control-Allow-Headers", b"Content-Type, Range")
                request.setHeader(b"Access-Control-Max-Age", b"86400")
                return empty(request, 204)
        code = error.code or 500
        return text(request, f"{code} {error.name}\n", code)

    @app.handle_errors(Unready)
    def unready(request: Any, failure: Failure) -> bytes:
        return unavailable(request, RETRY_AFTER)

    @app.handle_errors(CancelledError)
    def gone(request: Any, failure: Failure) -> bytes:
        # The client has left; nobody reads this.
        return b""

    @app.handle_errors(Exception)
    def unexpected(request: Any, failure: Failure) -> bytes:
        count("server.http.error")
        _log.failure("an answer failed: {path}", failure, path=request.path[:200])
        if request.startedWriting:
            # An error page after half an answer would pass for its other half.
            request.channel.abort()
            return b""
        return text(request, "500 Internal Server Error\n", 500)
