"""Which queued events have been counted before: a phone that missed the answer sends them again.

What is remembered of an event, in the store that all instances share, is a
keyed hash, which says nothing to who hasn't got the key.
"""

from __future__ import annotations

import hmac
import secrets

from twisted.internet.interfaces import IReactorTime

from metro_backend.store import Store

REMEMBERED = 86400.0
"""Seconds for which an event is remembered."""

MOST_REMEMBERED = 3000
"""New events that one hour may add to the store; of more, each repetition counts."""

_HOUR = 3600.0
_KEY = "event-key"
_KEY_BYTES = 32
_KEY_AGE = 10 * 365 * 86400.0
_CONFIRMED_EVERY = _HOUR
_RETRIED_EVERY = 10.0


class Events:
    """Remembers events by their keyed hashes."""

    def __init__(self, clock: IReactorTime, store: Store) -> None:
        """Take the store that remembers."""
        self._clock = clock
        self._store = store
        # Until the store tells the common key, this process has one of its own.
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._agree_at = clock.seconds()
        self._hour = -1
        self._room = 0

    async def is_new(self, identity: bytes) -> bool:
        """Tell whether this event has not been counted yet, and remember it.

        While the store is away every event is new.
        """
        if self._clock.seconds() >= self._agree_at:
            await self._agree()
        name = "event:" + hmac.digest(self._key, identity, "sha256").hex()[:32]
        hour = int(self._clock.seconds() // _HOUR)
        if hour != self._hour:
            self._hour, self._room = hour, MOST_REMEMBERED
        if self._room <= 0:
            return await self._store.get(name) is None
        # Taken before the wait, as others come meanwhile; given back if it wasn't needed.
        self._room -= 1
        new = await self._store.add(name, b"1", REMEMBERED)
        self._room += not new
        return new

    async def _agree(self) -> None:
        """Take over the key in the store, or put ours there; again every hour, lest it was lost."""
        # Set first, so that those who come meanwhile go on with the key there is.
        self._agree_at = self._clock.seconds() + _RETRIED_EVERY
        await self._store.add(_KEY, self._key, _KEY_AGE)
        key = await self._store.get(_KEY)
        if key is not None and len(key) == _KEY_BYTES:
            self._key = key
            self._agree_at = self._clock.seconds() + _CONFIRMED_EVERY
