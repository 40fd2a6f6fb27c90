"""GitHub and Jenkins in one resource, with faults to switch on and a record of what was asked."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from metro_backend.demo.apk import ApkCache
from metro_backend.demo.content import Content, demo_content
from metro_backend.demo.exchange import Answer, Query, html_answer
from metro_backend.demo.faults import Faults, Sending, matches
from metro_backend.demo.github import GitHub
from metro_backend.demo.jenkins import Jenkins
from metro_backend.demo.sending import Transmission

CALLS_LIMIT = 10_000
"""Requests that are remembered."""


class StandIn:
    """A whole upstream: state to change, faults to switch on, requests to look at."""

    def __init__(self, clock: IReactorTime, content: Content | None = None) -> None:
        """Start with the demonstration's content, unless another is given."""
        content = content or demo_content()
        self._clock = clock
        self.apks = ApkCache()
        self.github = GitHub(content.repositories, self.apks, clock.seconds)
        self.jenkins = Jenkins(content.projects, self.apks)
        self.faults = Faults()
        self.calls: list[tuple[str, str]] = []
        """Method and path with query of the last requests, the newest last."""
        self.queries: list[Query] = []
        """The same requests with their headers."""
        self.in_flight = 0
        """Requests that are being answered now, the hanging ones among them."""

    def resource(self) -> IResource:
        """Return the root to serve, on a port or in memory."""
        return _Root(self)

    def count(self, pattern: str = "/") -> int:
        """Count the remembered requests whose path fits (see `faults.matches`)."""
        return sum(matches(pattern, target) for _, target in self.calls)

    def forget(self) -> None:
        """Start the record of requests anew."""
        self.calls.clear()
        self.queries.clear()

    def respond(self, request: Request) -> None:
        """Answer a request, as far as the faults let it."""
        query = Query.of(request)
        self._remember(query)
        sending = Sending(answer=self._answer(query))
        for fault in self.faults.take(query.target):
            sending = fault.apply(sending, self._clock.seconds())
        self.in_flight += 1
        request.notifyFinish().addBoth(self._finished)
        Transmission(request, sending, self._clock).start()

    def _answer(self, query: Query) -> Answer:
        if query.method not in ("GET", "HEAD"):
            return html_answer(405, "Method Not Allowed", query.method, {"Allow": "GET, HEAD"})
        answer = self.github.answer(query) or self.jenkins.answer(query)
        return answer or html_answer(404, "Not Found", "There is nothing here.")

    def _remember(self, query: Query) -> None:
        self.calls.append((query.method, query.target))
        self.queries.append(query)
        if len(self.calls) > CALLS_LIMIT:
            del self.calls[: CALLS_LIMIT // 2]
            del self.queries[: CALLS_LIMIT // 2]

    def _finished(self, _: object) -> None:
        self.in_flight -= 1


class _Root(Resource):
    """Takes every path as it was sent: Twisted's own traversal decodes the segments."""

    isLeaf = True

    def __init__(self, stand_in: StandIn) -> None:
        super().__init__()
        self._stand_in = stand_in

    def render(self, request: Request) -> int:
        self._stand_in.respond(request)
        return NOT_DONE_YET
