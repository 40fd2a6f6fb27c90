"""Where the last complete list is kept: on this instance's disk, and in the store for all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from metro_backend.branches.model import Snapshot
from metro_backend.counting import Counting
from metro_backend.durable import replace_file
from metro_backend.log import Brake
from metro_backend.store import Lock, Store

TOPIC = "snapshot"


class Archive:
    """Keeps the snapshot; a failure to keep it is counted and logged, and never stops anybody."""

    _log = Logger()

    def __init__(self, directory: Path, store: Store, count: Counting, clock: IReactorTime) -> None:
        """Take this instance's state directory and the store of all instances."""
        self._brake = Brake(self._log, clock)
        self._file = directory / "snapshot.json"
        self._store = store
        self._count = count

    def load(self) -> Snapshot | None:
        """Read the list that this instance had last, if there is one that can be read."""
        try:
            return _decode(self._file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self._count("server.archive.unreadable")
            self._log.error("{file} cannot be read: {error}", file=self._file, error=error)
            return None

    async def newer(self, than: Snapshot | None) -> Snapshot | None:
        """Return the store's list if it is newer, and give ours to the store if that is.

        It is when the store has lost everything, or was away when ours was saved.
        """
        try:
            taken = await self._store.get("snapshot:taken")
            known = float("-inf") if taken is None else float(taken)
            if than is not None and known <= than.taken_at:
                if known < than.taken_at and self._store.available:
                    await self._share(than)
                return None
            body = None if taken is None else await self._store.get("snapshot")
            snapshot = None if body is None else _decode(body)
        except ValueError as error:
            self._count("server.archive.unreadable")
            reason = str(error)
            self._brake.warn("store", lambda: f"the store's list cannot be read: {reason}")
            return None
        if snapshot is None or (than is not None and snapshot.taken_at <= than.taken_at):
            return None
        self._write(snapshot)
        return snapshot

    async def save(self, snapshot: Snapshot) -> None:
        """Keep the list, and tell the other instances."""
        self._write(snapshot)
        await self._share(snapshot)

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` when another instance may have saved a list."""
        self._store.subscribe(TOPIC, lambda _: changed())

    async def lock(self, seconds: float) -> Lock | None:
        """Take the lock that lets one instance at a time ask the sources."""
        return await self._store.lock("refresh", seconds)

    async def _share(self, snapshot: Snapshot) -> None:
        await self._store.set("snapshot", _encode(snapshot))
        await self._store.set("snapshot:taken", _taken(snapshot))
        await self._store.publish(TOPIC, _taken(snapshot))

    def _write(self, snapshot: Snapshot) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._file, _encode(snapshot))
        except OSError as error:
            self._count("server.archive.unwritable")
            self._log.error("{file} cannot be written: {error}", file=self._file, error=error)


def _encode(snapshot: Snapshot) -> bytes:
    return json.dumps(snapshot.as_json(), ensure_ascii=False).encode()


def _decode(body: bytes) -> Snapshot:
    try:
        return Snapshot.from_json(json.loads(body))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _taken(snapshot: Snapshot) -> bytes:
    return repr(snapshot.taken_at).encode("ascii")
