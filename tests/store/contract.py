"""What every make of the store does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.logger import ILogObserver, LogEvent, formatEvent
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from metro_backend.store import Store

BRIEF = 0.05
"""Seconds of an expiry that a test waits for."""


@implementer(ILogObserver)
class LogLines:
    """Keeps what is logged, one line per event."""

    def __init__(self) -> None:
        """Start with no lines."""
        self.lines: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        """Keep the event as a line."""
        self.lines.append(formatEvent(event))

    def __str__(self) -> str:
        """Show it as a log."""
        return "\n".join(self.lines)


class StoreTestCase(TestCase):
    """A test that waits for what a store does."""

    async def rest(self) -> None:
        """Let a little of the store's time pass."""
        raise NotImplementedError

    async def eventually(self, condition: Callable[[], Awaitable[object]]) -> None:
        """Wait until the condition is true."""
        for _ in range(1000):
            if await condition():
                return
            await self.rest()
        self.fail("it never came true")

    async def arrival(self, heard: list[bytes], expected: list[bytes]) -> None:
        """Wait until as much has been heard as is expected, and compare."""

        async def enough() -> bool:
            return len(heard) >= len(expected)

        await self.eventually(enough)
        self.assertEqual(heard, expected)


class StoreContract(StoreTestCase):
    """The tests that each make inherits; it provides `store` and `rest`."""

    store: Store

    async def gone(self, key: str) -> bool:
        """Tell whether there is no value."""
        return await self.store.get(key) is None

    async def test_absent(self) -> None:
        """A key that was never set has no value."""
        self.assertIsNone(await self.store.get("absent"))

    async def test_values_come_back_as_they_were(self) -> None:
        """Bytes are bytes: nothing is read as a number or as text."""
        for value in (
            b"0123",
            b"1.50",
            b"\xff",
            b"",
            b"a\r\n\0$-1\r\n",
            b"OK",
            b"QUEUED",
            b"\0" * 70000,
        ):
            await self.store.set("key", value)
            self.assertEqual(await self.store.get("key"), value)

    async def test_set_again(self) -> None:
        """The last value wins, and takes the place of the earlier one's expiry."""
        await self.store.set("key", b"one", BRIEF)
        await self.store.set("key", b"two")
        await self.store.set("watch", b"", BRIEF)
        await self.eventually(lambda: self.gone("watch"))
        self.assertEqual(await self.store.get("key"), b"two")

    async def test_expiry(self) -> None:
        """A value with an expiry goes by itself, and not before."""
        await self.store.set("long", b"value", 3600)
        await self.store.set("short", b"value", BRIEF)
        await self.eventually(lambda: self.gone("short"))
        self.assertEqual(await self.store.get("long"), b"value")

    async def test_add(self) -> None:
        """Of two that add the same key the first one wins, until it is gone."""
        self.assertTrue(await self.store.add("key", b"one", 3600))
        self.assertFalse(await self.store.add("key", b"two", 3600))
        self.assertEqual(await self.store.get("key"), b"one")
        await self.store.add("short", b"one", BRIEF)
        await self.eventually(lambda: self.store.add("short", b"two", 3600))
        self.assertEqual(await self.store.get("short"), b"two")

    async def test_delete(self) -> None:
        """A deleted key has no value; deleting it again does no harm."""
        await self.store.set("key", b"value")
        await self.store.delete("key")
        await self.store.delete("key")
        self.assertIsNone(await self.store.get("key"))

    async def test_lock_is_exclusive(self) -> None:
        """One holds the lock until it is released; other names are other locks."""
        first = await self.store.lock("name", 3600)
        assert first is not None
        self.assertIsNone(await self.store.lock("name", 3600))
        self.assertIsNotNone(await self.store.lock("other", 3600))
        await first.release()
        self.assertIsNotNone(await self.store.lock("name", 3600))

    async def test_lock_expires(self) -> None:
        """A lock whose holder never released it is free after its time."""
        await self.store.lock("name", BRIEF)
        await self.eventually(lambda: self.store.lock("name", 3600))

    async def test_late_release(self) -> None:
        """Who releases a lock after it expired does not take it from its new holder."""
        late = await self.store.lock("name", BRIEF)
        assert late is not None
        await self.eventually(lambda: self.store.lock("name", 3600))
        await late.release()
        self.assertIsNone(await self.store.lock("name", 3600))

    async def test_locks_are_no_keys(self) -> None:
        """A lock and a value of the same name do not disturb each other."""
        await self.store.lock("name", 3600)
        self.assertIsNone(await self.store.get("name"))
        await self.store.set("name", b"value")
        self.assertIsNone(await self.store.lock("name", 3600))

    async def test_publish(self) -> None:
        """Each subscriber of the topic gets each message, in order, byte for byte."""
        one: list[bytes] = []
        two: list[bytes] = []
        other: list[bytes] = []
        self.store.subscribe("topic", one.append)
        self.store.subscribe("topic", two.append)
        self.store.subscribe("other", other.append)
        await self.store.publish("topic", b"0123")
        await self.store.publish("topic", b"\xff\r\n")
        await self.store.publish("other", b"last")
        await self.arrival(other, [b"last"])
        self.assertEqual(one, [b"0123", b"\xff\r\n"])
        self.assertEqual(two, one)

    async def test_subscriber_that_raises(self) -> None:
        """A subscriber that raises takes nothing from the others, nor from itself."""
        calls: list[bytes] = []
        heard: list[bytes] = []

        def broken(message: bytes) -> None:
            calls.append(message)
            raise ValueError("broken")

        self.store.subscribe("topic", broken)
        self.store.subscribe("topic", heard.append)
        await self.store.publish("topic", b"one")
        await self.store.publish("topic", b"two")
        await self.arrival(heard, [b"one", b"two"])
        self.assertEqual(calls, heard)

    async def test_subscribe_while_delivering(self) -> None:
        """A subscriber may subscribe to something else on the spot."""
        heard: list[bytes] = []
        self.store.subscribe("topic", lambda message: self.store.subscribe("later", heard.append))
        await self.store.publish("topic", b"")

        async def heard_something() -> bool:
            await self.store.publish("later", b"message")
            return bool(heard)

        await self.eventually(heard_something)
        self.assertIn(b"message", heard)
