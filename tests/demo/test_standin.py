"""The whole stand-in: its record of requests, and clients that read slowly."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import HTTPChannel
from twisted.web.server import Site

from metro_backend.demo.faults import Slow
from metro_backend.demo.standin import CALLS_LIMIT, StandIn
from tests.demo.memory import PROJECT, RELEASES, StandInCase


class BackPressureTests(SynchronousTestCase):
    """A client that reads more slowly than the file comes."""

    def setUp(self) -> None:
        """Connect a client that has asked for a slow file."""
        self.clock = Clock()
        stand_in = StandIn(self.clock)
        stand_in.faults.set("/", Slow(1000))
        channel = Site(stand_in.resource(), reactor=Clock()).buildProtocol(None)
        assert channel is not None
        self.channel: HTTPChannel = channel
        self.transport = StringTransport()
        channel.makeConnection(self.transport)
        channel.dataReceived(
            f"GET {PROJECT}/job/master/api/json HTTP/1.1\r\nHost: h.example\r\n\r\n".encode()
        )
        self.headers = len(self.transport.value())

    def received(self) -> int:
        """Count the bytes of the body so far."""
        return len(self.transport.value()) - self.headers

    def test_pause(self) -> None:
        """Nothing is sent while the client does not read, and no time is made up for after it."""
        self.clock.advance(1)
        self.assertEqual(self.received(), 1000)
        producer = self.transport.producer
        assert producer is not None
        producer.pauseProducing()
        self.clock.advance(100)
        self.assertEqual((self.received(), self.clock.getDelayedCalls()), (1000, []))
        producer.resumeProducing()
        self.clock.advance(1)
        self.assertEqual(self.received(), 2000)

    def test_lost(self) -> None:
        """A connection that is lost leaves no timer behind, paused or not."""
        self.channel.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class RecordTests(StandInCase):
    """What the stand-in remembers of its requests."""

    def test_calls(self) -> None:
        """Each request is remembered with its query, and counted by a prefix or a pattern."""
        self.get(f"{RELEASES}?page=1")
        self.get("/job/a%252Fb/api/json", method="HEAD")
        self.assertEqual(
            self.stand_in.calls,
            [("GET", f"{RELEASES}?page=1"), ("HEAD", "/job/a%252Fb/api/json")],
        )
        self.assertEqual(self.stand_in.count(), 2)
        self.assertEqual(self.stand_in.count("/job/"), 1)
        self.assertEqual(self.stand_in.count("*page=?"), 1)
        self.assertEqual(self.stand_in.queries[0].headers["user-agent"], "tests")
        self.stand_in.forget()
        self.assertEqual(self.stand_in.count(), 0)

    def test_bounded(self) -> None:
        """The record does not grow for ever, and keeps the newest."""
        self.stand_in.calls[:] = [("GET", "/old")] * CALLS_LIMIT
        self.stand_in.queries[:] = []
        self.get("/new")
        self.assertLessEqual(len(self.stand_in.calls), CALLS_LIMIT)
        self.assertEqual(self.stand_in.calls[-1], ("GET", "/new"))
