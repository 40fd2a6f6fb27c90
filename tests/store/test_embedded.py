"""The embedded store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from metro_backend.store import Store
from metro_backend.store.embedded import ENTRY, EmbeddedStore
from metro_backend.store.topics import Topics
from tests.store import contract

if TYPE_CHECKING:
    from collections.abc import Coroutine

    _conforms: type[Store] = EmbeddedStore

T = TypeVar("T")


class EmbeddedContractTests(contract.StoreContract):
    """The embedded store keeps the contract of all stores."""

    def setUp(self) -> None:
        """Make a store whose time is a Clock's."""
        self.clock = Clock()
        self.store = EmbeddedStore(self.clock)

    async def rest(self) -> None:
        """Let 10 ms pass."""
        self.clock.advance(0.01)


class EmbeddedStoreTests(SynchronousTestCase):
    """What is peculiar to the embedded store."""

    def setUp(self) -> None:
        """Make a store with room for three entries of one byte."""
        self.clock = Clock()
        self.store = EmbeddedStore(self.clock, limit=3 * (ENTRY + 2))

    def result(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        """Return what the coroutine came to at once."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def keys(self) -> str:
        """List the keys that have a value, of ``abcd``."""
        return "".join(key for key in "abcd" if self.result(self.store.get(key)) is not None)

    def fill(self, keys: str) -> None:
        """Give each of the keys a value of one byte."""
        for key in keys:
            self.result(self.store.set(key, b"x"))

    def test_available(self) -> None:
        """It is always there, whether its service runs or not."""
        self.assertTrue(self.store.available)
        self.store.service.startService()
        self.assertTrue(self.store.available)
        self.store.service.stopService()

    def test_eviction(self) -> None:
        """When it is full, the entry that was used least recently goes."""
        self.fill("abc")
        self.result(self.store.get("a"))
        self.fill("d")
        self.assertEqual(self.keys(), "acd")

    def test_too_large(self) -> None:
        """A value over the limit is not kept, costs the others nothing, and hides no older one."""
        self.fill("abc")
        self.result(self.store.set("b", b"x" * 4 * ENTRY))
        self.assertEqual(self.keys(), "ac")

    def test_expired_exactly(self) -> None:
        """A value is gone at its very second, and so is its size."""
        self.result(self.store.set("a", b"x", 10))
        self.clock.advance(9.5)
        self.assertEqual(self.keys(), "a")
        self.clock.advance(0.5)
        self.assertEqual(self.keys(), "")
        self.assertEqual(self.store.size, 0)

    def test_expired_lock_is_forgotten(self) -> None:
        """Names of locks that were never released do not add up."""
        for number in range(100):
            self.result(self.store.lock(f"lock{number}", 1))
            self.clock.advance(1)
        self.assertLessEqual(len(self.store._locks), 1)

    def test_published_at_once(self) -> None:
        """Subscribers have been told when `publish` returns, also if they publish themselves."""
        heard: list[bytes] = []

        def answer(message: bytes) -> None:
            Deferred.fromCoroutine(self.store.publish("answer", message + b"!"))
            heard.append(message)

        self.store.subscribe("question", answer)
        self.store.subscribe("answer", heard.append)
        self.result(self.store.publish("question", b"one"))
        self.assertEqual(heard, [b"one", b"one!"])

    def test_failing_subscriber_is_logged(self) -> None:
        """A subscriber that keeps raising is in the log once a minute."""

        def broken(message: bytes) -> None:
            raise ValueError("broken")

        log = contract.LogLines()
        self.patch(Topics, "_log", Logger(observer=log))
        store = EmbeddedStore(self.clock)
        store.subscribe("topic", broken)
        for _ in range(4):
            self.result(store.publish("topic", b""))
            self.clock.advance(25)
        self.assertEqual(len(log.lines), 2)
        self.assertIn("topic", log.lines[0])
        self.assertIn("broken", log.lines[0])

    @settings(deadline=None, max_examples=60)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from("abcdef"),
                st.binary(max_size=3 * ENTRY),
                st.none() | st.floats(-1, 20),
                st.floats(0, 5),
            )
        )
    )
    def test_bounded(self, steps: list[tuple[str, bytes, float | None, float]]) -> None:
        """Whatever is stored, the size is within the limit and comes down to 0 again."""
        clock = Clock()
        store = EmbeddedStore(clock, limit=4 * ENTRY)
        for key, value, seconds, passed in steps:
            self.result(store.set(key, value, seconds))
            self.assertLessEqual(store.size, 4 * ENTRY)
            clock.advance(passed)
        for key in "abcdef":
            self.result(store.delete(key))
        self.assertEqual(store.size, 0)
