"""A stand-in that is asked in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IResponse

from metro_backend.demo.standin import StandIn

BASE = "http://127.0.0.1:8080"
RELEASES = "/repos/mosmetro-android/mosmetro-android/releases"
PROJECT = "/job/mosmetro-android-pipeline"


class StandInCase(SynchronousTestCase):
    """A test with a stand-in, a clock and a client."""

    def setUp(self) -> None:
        """Make a fresh stand-in."""
        self.clock = Clock()
        self.stand_in = StandIn(self.clock)
        self.treq: Any = StubTreq(self.stand_in.resource())

    def send(
        self, target: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> Deferred[IResponse]:
        """Send a request; a path is one of the stand-in at `BASE`."""
        url = target if urlsplit(target).scheme else BASE + target
        sent = {"User-Agent": "tests", **(headers or {})}
        answer: Deferred[IResponse] = self.treq.request(
            method, url, headers=sent, allow_redirects=False
        )
        return answer

    def get(
        self, target: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> tuple[IResponse, bytes]:
        """Send a request and return the response and its body."""
        response = self.successResultOf(self.send(target, headers, method))
        return response, self.successResultOf(self.treq.content(response))

    def json(self, target: str, headers: Mapping[str, str] | None = None) -> Any:
        """Return the JSON of a good answer."""
        response, body = self.get(target, headers)
        self.assertEqual(response.code, 200, body)
        return json.loads(body)

    def header(self, response: IResponse, name: str) -> str | None:
        """Return a header of the response."""
        values = response.headers.getRawHeaders(name)
        return values[0] if values else None
