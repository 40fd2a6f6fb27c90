"""The seam between the server and the state that its instances share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.application.service import IService


class Lock(Protocol):
    """A lock that is held; it expires by itself if its holder dies."""

    async def release(self) -> None:
        """Give the lock back, if it is still ours. Never raises."""


class Store(Protocol):
    """Bytes under names, shared by all instances.

    The store is optional comfort: it is never the only place where something
    is kept, so no method raises or waits longer than its deadline (1 s). A
    store that is away answers as an empty one, and says so in `available`.

    Keys are plain ASCII without the ``metro:`` prefix, which is the store's
    own affair.
    """

    service: IService
    """Connects at start and disconnects at stop."""

    @property
    def available(self) -> bool:
        """Whether the last command worked."""

    async def get(self, key: str) -> bytes | None:
        """Return the value, or None if there is none or the store is away."""

    async def set(self, key: str, value: bytes, seconds: float | None = None) -> None:
        """Keep the value, for so many seconds if given."""

    async def add(self, key: str, value: bytes, seconds: float) -> bool:
        """Keep the value if the key is new; tell whether it was (True when the store is away)."""

    async def delete(self, key: str) -> None:
        """Forget the key."""

    async def lock(self, name: str, seconds: float) -> Lock | None:
        """Take the lock for at most so many seconds; None if somebody else holds it.

        A store that is away grants the lock: one upstream call too many is
        better than none at all.
        """

    async def publish(self, topic: str, message: bytes) -> None:
        """Tell all instances, this one included."""

    def subscribe(self, topic: str, receive: Callable[[bytes], None]) -> None:
        """Call `receive` with each message on the topic, from the start of the service on."""
