"""When the Redis store asks, what it says of failures, and what it keeps to itself."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from metro_backend.store.link import DEADLINE, DELAYS, PING, STEADY
from metro_backend.store.redis import MOST_WAITING
from tests.store.memory_redis import (
    STEP,
    MemoryRedisTestCase,
    heard_nothing,
    plain_reply,
    silence,
)


class BreakerTests(MemoryRedisTestCase):
    """When commands are sent, and when they are not."""

    def test_deadline(self) -> None:
        """A command without an answer is given up after its deadline, and no other one is sent."""
        self.start()
        self.memory.reply = silence
        reply = self.ask(self.store.get("key"))
        self.clock.advance(DEADLINE - 0.01)
        self.assertNoResult(reply)
        self.clock.advance(0.02)
        self.assertIsNone(self.successResultOf(reply))
        sent = len(self.memory.commands)
        self.assertIsNone(self.successResultOf(self.ask(self.store.get("key"))))
        self.assertEqual(len(self.memory.commands), sent)
        self.assertFalse(self.store.available)
        self.assertEqual(self.counts["server.store.timeout"], 1)
        self.assertEqual(self.counts["server.store.away"], 1)

    def test_not_asked_for_a_second(self) -> None:
        """A Redis that hung is left alone for a second, and then has to answer a PING first."""
        self.start()
        self.memory.reply = silence
        self.ask(self.store.get("key"))
        self.clock.advance(DEADLINE)
        cut_at, attempts = self.clock.seconds(), len(self.memory.attempts)
        self.pass_time(2 * DEADLINE)
        self.assertGreaterEqual(self.memory.attempts[attempts], cut_at + 1)
        self.assertEqual(self.memory.commands[-1], [b"PING"])
        self.assertIsNone(self.successResultOf(self.ask(self.store.get("key"))))
        self.memory.reply = plain_reply
        self.pass_time(DEADLINE + DELAYS[-1] * 1.2)
        self.assertTrue(self.store.available)

    def test_bounded(self) -> None:
        """However many ask, a bounded number of commands waits for its answer."""
        self.start()
        self.memory.reply = silence
        replies = [self.ask(self.store.get("key")) for _ in range(MOST_WAITING + 100)]
        self.assertEqual(self.store.waiting, MOST_WAITING)
        self.assertEqual(sum(reply.called for reply in replies), 100)
        self.clock.advance(DEADLINE)
        self.clock.advance(0)
        self.assertEqual(self.store.waiting, 0)
        for reply in replies:
            self.assertIsNone(self.successResultOf(reply))

    def test_late_answer(self) -> None:
        """A caller that goes away neither loses the order of the answers nor stays counted."""
        self.start()
        values = iter([b"$3\r\none\r\n", b"$3\r\ntwo\r\n"])
        self.memory.reply = lambda words: next(values)
        first, second = self.ask(self.store.get("one")), self.ask(self.store.get("two"))
        first.cancel()
        self.failureResultOf(first)
        self.pass_time(STEP)
        self.assertEqual(self.successResultOf(second), b"two")
        self.assertEqual(self.store.waiting, 0)

    def test_idle(self) -> None:
        """A connection that died unnoticed is found out without anybody asking for anything."""
        self.start()
        first = list(self.memory.open)
        self.memory.reply = silence
        self.pass_time(PING + DEADLINE + 2 * STEP)
        self.assertFalse(self.store.available)
        self.assertTrue(all(connection.closed for connection in first))
        self.assertEqual(self.counts["server.store.timeout"], 0)

    def test_idle_and_well(self) -> None:
        """A connection that answers is kept."""
        self.start()
        self.pass_time(10 * PING)
        self.assertEqual(len(self.memory.attempts), 2)
        self.assertTrue(self.store.available)


class PasswordTests(MemoryRedisTestCase):
    """What happens to a password."""

    location = "redis://metro:hunter2@redis.example"

    def test_each_connection(self) -> None:
        """Each connection begins with the user and the password."""
        self.start()
        self.assertEqual(self.memory.commands.count([b"AUTH", b"metro", b"hunter2"]), 2)
        self.assertTrue(self.store.available)

    def test_never_logged(self) -> None:
        """Not even a Redis that quotes the password in its error gets it into the log."""
        self.memory.reply = lambda words: (
            b"-ERR unknown command `AUTH`, with args beginning with: `%s`\r\n" % words[-1]
        )
        self.start()
        self.pass_time(60)
        self.assertIn("AUTH failed", str(self.log))
        self.assertNotIn("hunter2", str(self.log))
        self.assertFalse(self.store.available)

    def test_password_changed(self) -> None:
        """A password that becomes right lets the store in without a restart."""
        self.memory.reply = lambda words: b"-WRONGPASS invalid\r\n"
        self.start()
        self.pass_time(60)
        self.memory.reply = plain_reply
        self.pass_time(5)
        self.assertTrue(self.store.available)


class LogTests(MemoryRedisTestCase):
    """What an operator reads."""

    def test_once_a_minute(self) -> None:
        """An outage is in the log at most once a minute, with its reason, and its end once."""
        self.start()
        self.assertEqual(self.log.lines, ["Redis at redis.example:6379: connected"])
        self.memory.refuses = True
        for connection in self.memory.open:
            connection.lose()
        self.pass_time(600)
        self.assertGreater(self.counts["server.store.disconnected"], 300)
        self.assertLessEqual(len(self.log.lines), 12)
        self.assertIn("not connected", self.log.lines[2])
        self.assertIn("refused", self.log.lines[2])
        self.memory.refuses = False
        self.pass_time(20)
        self.assertEqual(str(self.log).count(": connected"), 2)

    def test_flapping(self) -> None:
        """A Redis that comes and goes does not fill the log either."""
        self.start()
        for _ in range(60):
            self.pass_time(STEADY)
            for connection in self.memory.open:
                connection.lose()
        self.assertLessEqual(len(self.log.lines), 14)


class StrangerTests(MemoryRedisTestCase):
    """Something else than Redis behind the address."""

    @settings(deadline=None, max_examples=60)
    @given(st.binary(min_size=1, max_size=200))
    @example(b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n")
    @example(b"\xff\xfe\r\n")
    @example(b"+\xff\r\n")
    @example(b"*x\r\n")
    @example(b"$-5\r\n*-1\r\n*1\r\n*1\r\n:x\r\n")
    @example(b"*2\r\n" * 40)
    @example(b"*3\r\n$7\r\nmessage\r\n:1\r\n:2\r\n")
    def test_any_bytes(self, data: bytes) -> None:
        """Whatever it says, nothing breaks: no traceback, no raising call, and an orderly stop."""
        self.setUp()
        self.memory.reply = lambda words: data
        self.store.subscribe("topic", heard_nothing)
        self.start()
        replies: list[Deferred[Any]] = [
            self.ask(self.store.get("key")),
            self.ask(self.store.set("key", b"value")),
            self.ask(self.store.lock("name", 1)),
        ]
        self.pass_time(3)
        for reply in replies:
            self.successResultOf(reply)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.stop()
