"""How the connections to Redis come back, and how they stop, on a Clock's time."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from metro_backend.store.link import DEADLINE, DELAYS, PING, STEADY, CommandProtocol, Link
from tests.store.memory_redis import (
    STEP,
    MemoryRedisTestCase,
    heard_nothing,
    plain_reply,
    silence,
)


class ReturnTests(MemoryRedisTestCase):
    """How the connections come back."""

    def test_delays(self) -> None:
        """The longer Redis is away the less often it is tried, but it is back within 5 s."""
        self.memory.refuses = True
        self.start()
        self.pass_time(120)
        times = self.memory.attempts[::2]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        self.assertLess(gaps[0], 0.2)
        self.assertGreaterEqual(gaps[1], 1)
        self.assertGreaterEqual(min(gaps[3:]), DELAYS[-1])
        self.assertLess(max(gaps) + DEADLINE, 5)
        self.memory.refuses = False
        self.pass_time(5)
        self.assertTrue(self.store.available)
        self.assertEqual(len(self.memory.open), 2)

    def test_steady_connection_lost(self) -> None:
        """A connection that held is replaced at once."""
        self.start()
        self.pass_time(STEADY)
        for connection in self.memory.open:
            connection.lose()
        self.assertFalse(self.store.available)
        self.pass_time(0.2)
        self.assertTrue(self.store.available)

    def test_connections_that_do_not_hold(self) -> None:
        """Connections that are lost again and again are made less and less often."""
        self.start()
        for _ in range(1200):
            for connection in self.memory.open:
                connection.lose()
            self.pass_time(STEP)
        self.assertLess(len(self.memory.attempts), 2 * 60 / DELAYS[-1] + 10)

    def test_hung_after_a_long_time(self) -> None:
        """A steady connection that hangs is not followed by another one at once."""
        self.start()
        self.pass_time(3 * STEADY)
        self.memory.reply = silence
        self.ask(self.store.get("key"))
        self.clock.advance(DEADLINE)
        attempts = len(self.memory.attempts)
        self.pass_time(0.9)
        self.assertEqual(len(self.memory.attempts), attempts)

    def test_no_greeting(self) -> None:
        """A Redis that takes connections and says nothing is away, and is tried again."""
        self.memory.reply = silence
        self.start()
        self.pass_time(60)
        self.assertLessEqual(len(self.memory.open), 2)
        self.assertGreater(len(self.memory.attempts), 20)
        self.assertFalse(self.store.available)
        self.assertNotIn([b"GET", b"metro:key"], self.memory.commands)
        self.memory.reply = plain_reply
        self.pass_time(5)
        self.assertTrue(self.store.available)

    def test_subscriptions_return(self) -> None:
        """Each new connection subscribes to all topics, those that came meanwhile included."""
        self.store.subscribe("one", heard_nothing)
        self.start()
        self.store.subscribe("two", heard_nothing)
        self.memory.commands.clear()
        self.pass_time(STEADY)
        subscriptions = [[b"SUBSCRIBE", b"metro:one"], [b"SUBSCRIBE", b"metro:three"]]
        subscriptions.insert(1, [b"SUBSCRIBE", b"metro:two"])
        for connection in self.memory.open:
            connection.lose()
        self.memory.commands.clear()
        while [b"SUBSCRIBE", b"metro:one"] not in self.memory.commands:
            self.clock.advance(0.01)
        self.store.subscribe("three", heard_nothing)
        self.pass_time(1)
        told = [words for words in self.memory.commands if words[0] == b"SUBSCRIBE"]
        self.assertEqual(sorted(told), sorted(subscriptions))

    def test_subscription_refused(self) -> None:
        """A subscription that Redis refuses is tried again on a new connection."""
        self.start()
        self.memory.reply = lambda words: (
            b"-NOPERM no\r\n" if words[0] == b"SUBSCRIBE" else plain_reply(words)
        )
        heard: list[bytes] = []
        self.store.subscribe("topic", heard.append)
        self.pass_time(1)
        self.assertEqual(len(self.memory.open), 1)
        self.memory.reply = plain_reply
        self.pass_time(5)
        message = b"*3\r\n$7\r\nmessage\r\n$11\r\nmetro:topic\r\n$2\r\n\xff1\r\n"
        for connection in self.memory.open:
            connection.say(message)
        self.pass_time(1)
        self.assertEqual(heard, [b"\xff1"])

    def test_published_without_subscriber_connection(self) -> None:
        """A message reaches this process even while it cannot hear Redis' own copy of it."""
        heard: list[bytes] = []
        self.memory.reply = lambda words: (
            b"-NOPERM no\r\n" if words[0] == b"SUBSCRIBE" else plain_reply(words)
        )
        self.store.subscribe("topic", heard.append)
        self.start()
        published = self.ask(self.store.publish("topic", b"message"))
        self.pass_time(STEP)
        self.successResultOf(published)
        self.assertEqual(heard, [b"message"])


class LinkStopTests(MemoryRedisTestCase):
    """The service stops in each of its states, and can be started again."""

    def test_connected(self) -> None:
        """While it is connected, with commands on their way."""
        self.start()
        self.memory.reply = silence
        reply = self.ask(self.store.get("key"))
        self.stop()
        self.assertIsNone(self.successResultOf(reply))
        self.memory.reply = plain_reply
        self.start()
        self.assertTrue(self.store.available)

    def test_connecting(self) -> None:
        """While an attempt is under way, though cancelling it looks like any failure."""
        self.memory.stalls = True
        self.start()
        self.stop()
        self.memory.stalls = False
        self.start()
        self.assertTrue(self.store.available)

    def test_greeting(self) -> None:
        """While it waits for the first answer."""
        self.memory.reply = silence
        self.start()
        self.assertEqual(len(self.memory.open), 2)
        self.stop()

    def test_waiting(self) -> None:
        """While it waits before the next attempt."""
        self.memory.refuses = True
        self.start()
        self.pass_time(20)
        self.stop()

    def test_pinging(self) -> None:
        """While it waits for the answer to a PING."""
        self.start()
        self.memory.reply = silence
        self.pass_time(PING)
        self.stop()

    def test_never_started(self) -> None:
        """Before it was ever started."""
        self.stop()
        self.assertEqual(self.memory.attempts, [])

    def test_observer_that_raises(self) -> None:
        """A link goes on even if nobody can be told of its changes."""

        def broken(reason: str | None) -> None:
            raise ValueError("broken")

        async def greet(protocol: Any) -> None:
            await protocol.ping()

        link = Link(
            self.clock,
            self.memory,
            lambda: CommandProtocol(charset=None, convertNumbers=False),
            greet,
            broken,
        )
        link.startService()
        self.pass_time(STEP)
        self.assertIsNotNone(link.protocol)
        for connection in self.memory.open:
            connection.lose()
        self.pass_time(1)
        self.assertIsNotNone(link.protocol)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 3)
        stopped = link.stopService()
        self.clock.advance(0)
        self.successResultOf(stopped)
