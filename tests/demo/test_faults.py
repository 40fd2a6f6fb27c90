"""The faults, each caused and seen from the client's side."""

from __future__ import annotations

import json

from twisted.internet.protocol import Protocol
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseFailed, ResponseNeverReceived
from twisted.web.iweb import UNKNOWN_LENGTH

from metro_backend.demo.faults import (
    Altered,
    Cut,
    EmptyList,
    Fault,
    Faults,
    Hang,
    Html,
    NoLength,
    NotModified,
    RateLimited,
    Redirect,
    Refuse,
    Slow,
    Status,
    WrongLength,
    matches,
)
from metro_backend.demo.jenkins import Artifact
from tests.demo.memory import PROJECT, RELEASES, StandInCase

FILE = f"{PROJECT}/job/master/438/artifact/file.apk"
SIZE = 100_000


class Leaving(Protocol):
    """A reader that closes the connection as soon as it has read something."""

    received = 0

    def dataReceived(self, data: bytes) -> None:
        """Count, and leave."""
        self.received += len(data)
        assert self.transport is not None
        self.transport.loseConnection()


class FaultCase(StandInCase):
    """A stand-in with a file of a known size."""

    def setUp(self) -> None:
        """Give the newest good build of master one file."""
        super().setUp()
        build = self.stand_in.jenkins.job("master").find(438)
        assert build is not None
        build.artifacts = [Artifact(path="file.apk", size=SIZE)]
        self.whole = self.get(FILE)[1]
        self.stand_in.forget()


class FaultTests(FaultCase):
    """Each kind of fault."""

    def set(self, *faults: Fault) -> None:
        """Switch the faults on for the file."""
        self.stand_in.faults.set(FILE, *faults)

    def test_refuse(self) -> None:
        """A refused request gets no answer, and its connection is gone."""
        self.set(Refuse())
        self.failureResultOf(self.send(FILE), ResponseNeverReceived)

    def test_hang(self) -> None:
        """A hanging request is never answered, and is over when the client leaves."""
        self.set(Hang())
        waiting = self.send(FILE)
        self.clock.advance(3600)
        self.treq.flush()
        self.assertNoResult(waiting)
        self.assertEqual(self.stand_in.in_flight, 1)
        waiting.cancel()
        self.treq.flush()
        self.failureResultOf(waiting)
        self.assertEqual(self.stand_in.in_flight, 0)

    def test_hang_in_body(self) -> None:
        """A body may stop in the middle for ever, with the connection left open."""
        self.set(Hang(after_bytes=1000))
        response = self.successResultOf(self.send(FILE))
        self.assertEqual(response.length, SIZE)
        body: list[bytes] = []
        finished = self.treq.collect(response, body.append)
        self.clock.advance(3600)
        self.treq.flush()
        self.assertNoResult(finished)
        self.assertEqual(b"".join(body), self.whole[:1000])

    def test_cut(self) -> None:
        """A cut body was promised in full and ends too early."""
        for after in (0, 1, SIZE - 1):
            self.set(Cut(after))
            response = self.successResultOf(self.send(FILE))
            self.assertEqual(response.length, SIZE)
            body: list[bytes] = []
            finished = self.treq.collect(response, body.append)
            self.failureResultOf(finished, ResponseFailed)
            self.assertEqual(b"".join(body), self.whole[:after])

    def test_cut_range(self) -> None:
        """What was cut can be asked for as a range."""
        self.stand_in.faults.set(FILE, Cut(1000), times=1)
        self.failureResultOf(self.treq.content(self.successResultOf(self.send(FILE))))
        response, rest = self.get(FILE, {"Range": "bytes=1000-"})
        self.assertEqual((response.code, rest), (206, self.whole[1000:]))

    def test_slow(self) -> None:
        """A slow body comes at its speed by the clock, its headers at once."""
        self.set(Slow(10_000))
        response = self.successResultOf(self.send(FILE))
        body: list[bytes] = []
        finished = self.treq.collect(response, body.append)
        for seconds in range(1, 10):
            self.clock.advance(1)
            self.treq.flush()
            self.assertEqual(len(b"".join(body)), seconds * 10_000)
            self.assertNoResult(finished)
        self.clock.advance(1)
        self.treq.flush()
        self.successResultOf(finished)
        self.assertEqual(b"".join(body), self.whole)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_slow_and_cut(self) -> None:
        """Faults can be had together."""
        self.set(Slow(1000), Cut(1500))
        finished = self.treq.content(self.successResultOf(self.send(FILE)))
        self.clock.advance(1)
        self.treq.flush()
        self.assertNoResult(finished)
        self.clock.advance(1)
        self.treq.flush()
        self.failureResultOf(finished, ResponseFailed)

    def test_slow_and_left(self) -> None:
        """A client that leaves a slow body leaves no timer behind."""
        self.set(Slow(1000))
        leaving = Leaving()
        self.successResultOf(self.send(FILE)).deliverBody(leaving)
        for _ in range(2):
            self.clock.advance(1)
            self.treq.flush()
        self.assertEqual(leaving.received, 1000)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.stand_in.in_flight, 0)

    def test_promised_too_much(self) -> None:
        """A length above the true one leaves the client waiting for bytes that never come."""
        self.set(WrongLength(7))
        response = self.successResultOf(self.send(FILE))
        self.assertEqual(response.length, SIZE + 7)
        self.failureResultOf(self.treq.content(response), ResponseFailed)

    def test_promised_too_little(self) -> None:
        """A length below the true one gives the client less than the file."""
        self.set(WrongLength(-7))
        response, body = self.get(FILE)
        self.assertEqual((response.length, body), (SIZE - 7, self.whole[:-7]))

    def test_no_length(self) -> None:
        """Without a length the body comes in chunks, and is whole."""
        self.set(NoLength())
        response, body = self.get(FILE)
        self.assertIs(response.length, UNKNOWN_LENGTH)
        self.assertEqual(body, self.whole)

    def test_altered(self) -> None:
        """An altered body differs in one byte."""
        self.set(Altered())
        _, body = self.get(FILE)
        differences = [i for i in range(SIZE) if body[i] != self.whole[i]]
        self.assertEqual((len(body), len(differences)), (SIZE, 1))
        self.assertTrue(body.startswith(b"PK\x03\x04"))

    def test_status(self) -> None:
        """Any status comes with the headers and the body that it was given."""
        self.set(Status(503, {"Retry-After": "120"}, "later"))
        response, body = self.get(FILE)
        self.assertEqual((response.code, body), (503, b"later"))
        self.assertEqual(self.header(response, "Retry-After"), "120")
        self.set(Status(404))
        self.assertIn(b"<html>", self.get(FILE)[1])

    def test_html(self) -> None:
        """A captive portal answers 200 with a page in place of a file."""
        self.set(Html())
        response, body = self.get(FILE)
        self.assertEqual(response.code, 200)
        self.assertIn("text/html", self.header(response, "Content-Type") or "")
        self.assertNotIn(b"PK", body)

    def test_empty_list(self) -> None:
        """The lists are empty and everything else is as it was; the validator is gone."""
        self.stand_in.faults.set("/", EmptyList())
        response, body = self.get(RELEASES)
        self.assertEqual((response.code, body), (200, b"[]"))
        self.assertIsNone(self.header(response, "ETag"))
        project = self.json(f"{PROJECT}/api/json")
        self.assertEqual((project["jobs"], project["name"]), ([], "mosmetro-android-pipeline"))
        self.assertEqual(self.json(FILE), [])

    def test_not_modified(self) -> None:
        """304 comes to a client that has asked for no such thing."""
        self.stand_in.faults.set("/repos/", NotModified())
        response, body = self.get(RELEASES)
        self.assertEqual((response.code, body), (304, b""))
        self.assertIsNotNone(self.header(response, "ETag"))

    def test_redirect(self) -> None:
        """A redirect leads where it is told to."""
        self.set(Redirect("http://10.0.0.1/x", 307))
        response, _ = self.get(FILE)
        self.assertEqual(response.code, 307)
        self.assertEqual(self.header(response, "Location"), "http://10.0.0.1/x")

    def test_rate_limited(self) -> None:
        """GitHub's rate limit is an object with 403, and tells when it ends in a header alone."""
        self.clock.advance(1000)
        self.stand_in.faults.set("/repos/", RateLimited(60))
        response, body = self.get(RELEASES)
        self.assertEqual(response.code, 403)
        self.assertIn("rate limit exceeded", json.loads(body)["message"])
        self.assertEqual(self.header(response, "X-RateLimit-Remaining"), "0")
        self.assertEqual(self.header(response, "X-RateLimit-Reset"), "1060")
        self.assertIsNone(self.header(response, "Retry-After"))

    def test_head(self) -> None:
        """HEAD has no body that a fault could touch, and tells the length of the whole."""
        for fault in (Slow(1), NoLength(), Altered()):
            self.set(fault)
            response, body = self.get(FILE, method="HEAD")
            self.clock.advance(1)
            self.assertEqual((response.code, body), (200, b""))


class SwitchboardTests(SynchronousTestCase):
    """Faults and patterns."""

    def test_matches(self) -> None:
        """A pattern is a prefix, or one of fnmatch if it has a star or a set."""
        for pattern, target, expected in (
            ("/job/", "/job/x/api/json", True),
            ("/repos/a/b/releases?page=2", "/repos/a/b/releases?page=2&per_page=30", True),
            ("/job/x", "/repos/job/x", False),
            ("*/api/json", "/job/x/api/json?tree=a[b]", True),
            ("*[0-9]/api/json", "/job/x/438/api/json", True),
            ("*[!0-9]/api/json", "/job/x/438/api/json", False),
            ("*page=2", "/releases?page=2", True),
            ("*page=2", "/releases?page=3", False),
        ):
            self.assertEqual(matches(pattern, target), expected, (pattern, target))

    def test_order(self) -> None:
        """The pattern that was set last counts, and an equal one is replaced."""
        faults = Faults()
        faults.set("/", Refuse())
        faults.set("/job/", Hang())
        self.assertEqual(faults.take("/job/x"), (Hang(),))
        self.assertEqual(faults.take("/repos/x"), (Refuse(),))
        faults.set("/", Html())
        self.assertEqual(faults.take("/job/x"), (Html(),))
        faults.clear("/")
        self.assertEqual(faults.take("/job/x"), (Hang(),))
        faults.clear()
        self.assertEqual(faults.take("/job/x"), ())

    def test_times(self) -> None:
        """A fault for so many times is over after them."""
        faults = Faults()
        faults.set("/", Refuse())
        faults.set("/", Hang(), times=2)
        self.assertEqual([faults.take("/") for _ in range(3)], [(Hang(),), (Hang(),), ()])
