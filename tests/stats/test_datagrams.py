"""The way to StatsD: with ports and a resolver in memory, and with real ones."""

from __future__ import annotations

import errno
from typing import Any, cast

from twisted.internet import reactor as installed_reactor
from twisted.internet.task import Clock, deferLater
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from metro_backend.stats.datagrams import (
    ANSWERED_WITHIN,
    LOOKED_UP_EVERY,
    SUSPECTED_FOR,
    TwistedStatsDClient,
)
from metro_backend.stats.statsd import Metrics
from tests.doubles.statsd import StatsDListener
from tests.stats.memory import MemoryResolver, MemoryUDP

reactor = cast(Any, installed_reactor)


class ClientCase(SynchronousTestCase):
    """A client of ``statsd.example``, with everything around it in memory."""

    host = "statsd.example"

    def setUp(self) -> None:
        self.clock = Clock()
        self.udp = MemoryUDP()
        self.resolver = MemoryResolver("192.0.2.1")
        self.client = TwistedStatsDClient(self.udp, self.clock, self.resolver, self.host)
        self.addCleanup(self.stop)

    def stop(self) -> None:
        """End the client; nothing of it is left."""
        self.successResultOf(self.client.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.udp.ports, [])


class LookUpTests(ClientCase):
    """Where StatsD is."""

    def test_found(self) -> None:
        """The host is looked up at the start, and datagrams go there."""
        self.assertEqual(self.resolver.asked, [])
        self.assertFalse(self.client.write(b"early"))
        self.client.start()
        self.assertTrue(self.client.ready)
        self.assertTrue(self.client.write(b"a:1|c"))
        self.assertEqual(self.udp.sent, [(b"a:1|c", "192.0.2.1", 8125)])

    def test_moved(self) -> None:
        """A host that has moved is found again within a minute, through the same port."""
        self.client.start()
        self.resolver.hosts = ["192.0.2.2"]
        self.client.write(b"a")
        self.clock.advance(LOOKED_UP_EVERY)
        self.client.write(b"b")
        self.assertEqual([host for _, host, _ in self.udp.sent], ["192.0.2.1", "192.0.2.2"])
        self.assertEqual(len(self.udp.ports), 1)

    def test_another_family(self) -> None:
        """A host that moves to IPv6 and back gets a port of its family, one at a time."""
        self.client.start()
        for hosts, expected in (
            (["2001:db8::1"], "2001:db8::1"),
            (["2001:db8::1", "192.0.2.3"], "192.0.2.3"),
        ):
            self.resolver.hosts = hosts
            self.clock.advance(LOOKED_UP_EVERY)
            self.assertTrue(self.client.write(b"a"))
            self.assertEqual(self.udp.sent[-1][1], expected)
            self.assertEqual(len(self.udp.ports), 1)

    def test_unknown(self) -> None:
        """A host that isn't there is asked for later and later, and found when it is."""
        self.resolver.hosts = []
        self.client.start()
        self.assertFalse(self.client.ready)
        self.assertFalse(self.client.write(b"a"))
        self.clock.pump([1] * 300)
        self.assertEqual(len(self.resolver.asked), 1 + 6 + (300 - 63) // 60)
        self.assertEqual(self.client.failures, len(self.resolver.asked))
        self.assertIn("no such host", self.client.error or "")
        self.resolver.hosts = ["192.0.2.1"]
        self.clock.advance(LOOKED_UP_EVERY)
        self.assertTrue(self.client.write(b"a"))
        self.assertIsNone(self.client.error)

    def test_forgotten(self) -> None:
        """While nobody knows the host any more, its last address is good enough."""
        self.client.start()
        self.resolver.hosts = []
        self.clock.pump([1] * 200)
        self.assertTrue(self.client.write(b"a"))
        self.assertEqual(self.client.address, "192.0.2.1")

    def test_broken(self) -> None:
        """A resolver that raises is one that does not know."""
        self.resolver.broken = True
        self.client.start()
        self.assertEqual(self.client.failures, 1)
        self.resolver.broken = False
        self.clock.advance(1)
        self.assertTrue(self.client.ready)

    def test_silent(self) -> None:
        """A resolver that says nothing is asked again; an answer that comes late is taken."""
        self.resolver.silent = True
        self.client.start()
        self.clock.advance(ANSWERED_WITHIN)
        self.assertEqual(self.client.failures, 1)
        self.clock.advance(1)
        self.assertEqual(len(self.resolver.asked), 2)
        self.resolver.answer(self.resolver.asked[0])
        self.assertTrue(self.client.ready)

    def test_too_late(self) -> None:
        """An answer that comes after the stop opens no port."""
        self.resolver.silent = True
        self.client.start()
        self.stop()
        self.resolver.answer(self.resolver.asked[0])
        self.assertEqual(self.udp.ports, [])


class LiteralTests(ClientCase):
    """StatsD is given by its address."""

    host = "2001:db8::5"

    def test_literal(self) -> None:
        """An address is not looked up."""
        self.client.start()
        self.assertTrue(self.client.write(b"a"))
        self.assertEqual(self.udp.sent, [(b"a", "2001:db8::5", 8125)])
        self.assertEqual(self.resolver.asked, [])


class PortTests(ClientCase):
    """Ports that fail."""

    def test_write_raises(self) -> None:
        """Whatever a write raises, the caller only learns that nothing left."""
        self.client.start()
        for error in (
            PermissionError(errno.EACCES, "Permission denied"),
            OSError(errno.ENETUNREACH, "Network is unreachable"),
            BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
            AttributeError("socket"),
        ):
            self.udp.error = error
            self.assertFalse(self.client.write(b"a"))
            self.assertIn(type(error).__name__, self.client.error or "")
        self.udp.error = None
        self.assertTrue(self.client.write(b"b"))
        self.assertEqual((self.client.failures, self.client.error), (4, None))

    def test_suspected(self) -> None:
        """After a datagram that could not leave the host is soon looked up again, but once."""
        self.client.start()
        self.udp.error = OSError(errno.EHOSTUNREACH, "No route to host")
        for _ in range(100):
            self.client.write(b"a")
        self.resolver.hosts = ["192.0.2.2"]
        self.clock.advance(SUSPECTED_FOR)
        self.assertEqual(len(self.resolver.asked), 2)
        self.assertEqual(self.client.address, "192.0.2.2")

    def test_no_port(self) -> None:
        """A port that can't be opened is tried again."""
        self.udp.full = True
        self.client.start()
        self.assertFalse(self.client.ready)
        self.assertEqual(self.client.failures, 1)
        self.udp.full = False
        self.clock.advance(1)
        self.assertTrue(self.client.write(b"a"))

    def test_port_lost(self) -> None:
        """A port that closes by itself is opened again."""
        self.client.start()
        self.udp.ports[0].stopListening()
        self.assertFalse(self.client.write(b"a"))
        self.clock.advance(1)
        self.assertTrue(self.client.write(b"a"))

    def test_logged(self) -> None:
        """A trouble that goes on is logged once a minute."""
        logged: list[LogEvent] = []
        observer = cast(ILogObserver, logged.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.client.start()
        self.udp.error = OSError(errno.EHOSTUNREACH, "No route to host")
        for _ in range(130):
            self.client.write(b"a")
            self.clock.advance(1)
        self.assertEqual(len([event for event in logged if "error" in event]), 3)

    def test_restart(self) -> None:
        """What was stopped can be started again."""
        self.client.start()
        self.stop()
        self.assertFalse(self.client.write(b"a"))
        self.client.start()
        self.assertTrue(self.client.write(b"a"))


class RealTests(TestCase):
    """Real sockets, and the installed reactor's resolver."""

    timeout = 30

    async def metrics(self, host: str, port: int) -> Metrics:
        """Start metrics that send there, and stop them after the test."""
        client = TwistedStatsDClient(reactor, reactor, reactor.nameResolver, host, port)
        metrics = Metrics(reactor, client)
        metrics.service.startService()
        self.addCleanup(metrics.service.stopService)
        return metrics

    async def test_refused(self) -> None:
        """A port that refuses, as an ICMP message tells, is no reason to stop sending there."""
        listener = StatsDListener()
        listener.start(reactor)
        port = listener.port
        await listener.stop()
        metrics = await self.metrics("127.0.0.1", port)
        for _ in range(5):
            metrics.increment("refused")
            metrics.flush()
            await deferLater(reactor, 0)
        listener.start(reactor, port)
        self.addCleanup(listener.stop)
        metrics.increment("received", 3)
        metrics.flush()
        await listener.until(lambda: "received" in listener.counters, reactor)
        self.assertEqual(listener.totals(), {"received": 3})

    async def test_name(self) -> None:
        """A name is looked up, and the flush of every second finds its way there."""
        listener = StatsDListener()
        listener.start(reactor)
        self.addCleanup(listener.stop)
        metrics = await self.metrics("localhost", listener.port)
        metrics.increment("a", 3)
        metrics.timing("took", 5)
        await listener.until(lambda: "took" in listener.timers, reactor)
        self.assertEqual(listener.totals(), {"a": 3})
        self.assertEqual(listener.timers, {"took": [5]})

    async def test_ipv6(self) -> None:
        """StatsD may be reached by IPv6."""
        listener = StatsDListener()
        try:
            listener.start(reactor, host="::1")
        except Exception as error:
            raise SkipTest("no IPv6 here") from error
        self.addCleanup(listener.stop)
        metrics = await self.metrics("::1", listener.port)
        metrics.increment("a")
        metrics.flush()
        await listener.until(lambda: "a" in listener.counters, reactor)

    async def test_many_names(self) -> None:
        """Thousands of names reach a real listener, each of them once."""
        listener = StatsDListener()
        listener.start(reactor)
        self.addCleanup(listener.stop)
        metrics = await self.metrics("127.0.0.1", listener.port)
        for each in range(4000):
            metrics.increment(f"some.longer.name.of.a.counter.{each}", each + 1)
        metrics.flush()
        await listener.until(lambda: len(listener.counters) == 4000, reactor)
        self.assertEqual(sum(listener.totals().values()), 4000 * 4001 // 2)
