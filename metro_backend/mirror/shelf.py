"""Builds on disk: files by content, an index by build, a quota.

    files/SHA256.apk      the bytes (`metro_backend.mirror.contents`)
    index/IDENTITY.json   which build they are (`metro_backend.mirror.index`)
    known/IDENTITY        the digest of a build, kept beyond its eviction
    parts/*.part          files on their way (`metro_backend.mirror.part`)

A file reaches its place by a rename after it has been checked and flushed, and
its entry is written after that, so a crash leaves at worst a file that nothing
names, which the next start removes. Several processes may share the directory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from metro_backend.branches.model import Artifact
from metro_backend.counting import Counting
from metro_backend.log import Brake
from metro_backend.mirror import retention
from metro_backend.mirror.contents import Contents
from metro_backend.mirror.errors import NoRoom, Unfit
from metro_backend.mirror.holding import Stored
from metro_backend.mirror.index import Entry
from metro_backend.mirror.ledger import Ledger
from metro_backend.mirror.part import Part
from metro_backend.mirror.scrub import Report, Scrub, hash_file

T = TypeVar("T")

FREE_FLOOR = 128 * 1024 * 1024
"""Bytes of the disk that are left to others; a twentieth of a small disk."""


class InThread(Protocol):
    """Runs work that may block for long, such as flushing a file to disk, out of the way."""

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]:
        """Return a Deferred of the result."""


class Shelf:
    """The files, and what is known about them. Reads go on when the disk refuses writes."""

    _log = Logger()

    def __init__(
        self,
        directory: Path,
        *,
        quota: int,
        ttl: float,
        keep: int,
        clock: IReactorTime,
        count: Counting,
        now: Callable[[], float] = time.time,
        free_floor: int | None = None,
        in_thread: InThread = execute,
    ) -> None:
        """Set up; the disk is not touched before `open`.

        Args:
            quota: bytes that builds may take; current ones and `keep` may exceed it.
            ttl: seconds unused after which a superseded build goes.
            keep: superseded builds that the quota spares, per branch.
            now: UTC Unix time.
            free_floor: bytes of the disk that are left to others; by default `FREE_FLOOR`.
        """
        self._quota = quota
        self._ttl = ttl
        self._keep = keep
        self._count = count
        self._brake = Brake(self._log, clock)
        self._now = now
        self._free_floor = free_floor
        self._in_thread = in_thread
        self._contents = Contents(directory)
        self._ledger = Ledger(directory)
        self._arriving: set[Part] = set()
        self._scrub = Scrub()
        self._problem: str | None = None
        # What there is to know without the disk.
        self.entry = self._ledger.entry
        self.entries = self._ledger.entries
        self.named = self._ledger.named
        self.sha256 = self._ledger.sha256

    def open(self) -> None:
        """Read the index, and remove what a crash left. Logs, but survives, a disk that refuses."""
        with self._tolerant("opened"):
            self._ledger.create()
            self._contents.create()
        with self._tolerant("read"):
            self._ledger.load()
            self._drop_missing()
        self._remove_abandoned()

    def close(self) -> None:
        """Record what is only in memory."""
        with self._tolerant("written"):
            self._ledger.record()
        self._scrub.close()

    def take(self, identity: str) -> Stored | None:
        """Open a build for one reader and note the use; None if it is not on the shelf."""
        entry = self._ledger.adopt(identity)
        if entry is None:
            return None
        try:
            file = self._contents.open(entry.sha256)
        except FileNotFoundError:
            self._lose(entry.sha256)
            return None
        except OSError as error:
            self._trouble("read", error)
            return None
        stored = Stored(entry.artifact, entry.sha256, file)
        if stored.size != entry.size:
            stored.close()
            self._lose_all([entry.sha256])
            return None
        self._ledger.use(identity, self._now())
        return stored

    def begin(self, artifact: Artifact) -> Part:
        """Make room for a build, and a file to write it to.

        Raises:
            NoRoom: if the disk is full or refuses to be written.
        """
        try:
            self._make_room(artifact.size or 0)
            part = Part(self._contents.parts, artifact)
        except OSError as error:
            self._trouble("written", error)
            raise NoRoom(f"the shelf cannot be written: {error.strerror}") from error
        self._arriving.add(part)
        self._problem = None
        return part

    def reserve(self, part: Part, size: int) -> None:
        """Make room for a build whose size became known only when it began to come.

        Raises:
            NoRoom: if the disk is full or refuses to be written.
        """
        if part.artifact.size is not None or part.expected:
            return
        try:
            self._make_room(size)
        except OSError as error:
            self._trouble("read", error)
            raise NoRoom(f"the shelf cannot be read: {error.strerror}") from error
        part.expected = size

    def _make_room(self, size: int) -> None:
        """Give up builds for so many bytes more. Raises NoRoom, OSError."""
        self._evict(size)
        short = self._short(size)
        if short > 0:
            self._evict(size, short)
            short = self._short(size)
        if short > 0:
            raise NoRoom("the disk is nearly full")

    def check(self, part: Part) -> None:
        """Raise Unfit unless the file is the whole build, and the one that it was before."""
        part.check()
        before = self._ledger.recall(part.artifact.identity)
        if before is not None and before != part.sha256:
            # Its ETag says that it is the same: a download could go on with other bytes.
            raise Unfit("it is not the file that the source had under this name before")

    async def publish(self, part: Part, *, current: bool = True) -> Entry:
        """Put a checked file into its place, durably. Not to be cancelled.

        Raises:
            OSError: if the disk refuses; the file is still readable by its descriptor.
        """
        now = self._now()
        entry = Entry(
            artifact=part.artifact,
            sha256=part.sha256,
            size=part.size,
            stored_at=now,
            superseded_at=None if current else now,
        )
        try:
            await self._in_thread(lambda: self._store(part, entry))
        except OSError as error:
            self._trouble("written", error)
            raise
        finally:
            self._arriving.discard(part)
        self._ledger.add(entry)
        self._evict()
        return entry

    def drop(self, part: Part) -> None:
        """Remove a file that will not be published."""
        self._arriving.discard(part)
        with self._tolerant("written"):
            part.discard()

    def current(self, identities: Collection[str]) -> None:
        """Say which builds are current; those that were and are not are superseded now."""
        with self._tolerant("written"):
            self._ledger.mark_current(identities, self._now())
        self._evict()

    def upkeep(self) -> None:
        """Record uses, take over what other processes did, expire, evict, tidy up."""
        with self._tolerant("read"):
            self._ledger.refresh()
            self._drop_missing()
        with self._tolerant("written"):
            self._ledger.record()
        before = self._now() - self._ttl
        for entry in retention.expired(self.entries(), self._ledger.used, before):
            self._remove(entry)
            self._count("server.mirror.expired")
        short = 0
        with self._tolerant("read"):
            short = self._short(0)
        self._evict(0, short)
        self._remove_abandoned()

    async def scrub(self, budget: int) -> list[Entry]:
        """Re-read so many bytes of the shelf, going round; return the builds that were corrupt."""
        contents = {sha256: self._contents.path(sha256) for sha256 in self._ledger.contents()}
        return self._lose_all(await self._in_thread(lambda: self._scrub.step(contents, budget)))

    def verify(self) -> Report:
        """Re-read everything, and remove what is corrupt. Blocks; for a process of its own."""
        contents = self._ledger.contents()
        found = {sha256: hash_file(self._contents.path(sha256)) for sha256 in contents}
        lost = self._lose_all([sha256 for sha256 in contents if found[sha256] != sha256])
        return Report(
            files=len(contents),
            size=sum(contents.values()),
            corrupt=tuple(sorted(entry.artifact.filename for entry in lost)),
        )

    def size(self) -> int:
        """Bytes on disk, what is arriving included."""
        arriving = sum(
            max(part.size, part.expected, part.artifact.size or 0) for part in self._arriving
        )
        return sum(self._ledger.contents().values()) + arriving

    def status(self) -> dict[str, Any]:
        """Return numbers for the status page, JSON-ready."""
        free = None
        with self._tolerant("read"):
            free, _ = self._contents.room()
        return {
            "files": len(self._ledger.contents()),
            "builds": len(self.entries()),
            "size": self.size(),
            "quota": self._quota,
            "free": free,
            "problem": self._problem,
        }

    def _short(self, size: int) -> int:
        """Bytes that are missing for so many more to fit the disk. Raises OSError."""
        free, whole = self._contents.room()
        floor = min(FREE_FLOOR, whole // 20) if self._free_floor is None else self._free_floor
        return size + floor - free

    def _store(self, part: Part, entry: Entry) -> None:
        self._contents.store(part, entry.sha256)
        self._ledger.write(entry)

    def _evict(self, more: int = 0, short: int = 0) -> None:
        """Give up builds until so many bytes more fit the quota, and so many are freed."""
        entries = self.entries()
        excess = max(self.size() + more - self._quota, short)
        spared = retention.protected(entries, self._keep)
        for entry in retention.evicted(entries, self._ledger.used, spared, excess):
            self._remove(entry)
            self._count("server.mirror.evicted")

    def _remove(self, entry: Entry) -> None:
        # The entry goes first: a file without one is removed at the next start.
        self._ledger.remove(entry)
        if not self._ledger.sharing(entry.sha256):
            with self._tolerant("written"):
                self._contents.remove(entry.sha256)

    def _drop_missing(self) -> None:
        for sha256 in self._ledger.contents():
            if self._contents.missing(sha256):
                self._lose(sha256)

    def _lose(self, sha256: str) -> list[Entry]:
        """Remove a file that is missing or corrupt, and the entries of its builds."""
        lost = self._ledger.sharing(sha256)
        for entry in lost:
            self._remove(entry)
        return lost

    def _lose_all(self, corrupt: Collection[str]) -> list[Entry]:
        lost = [entry for sha256 in corrupt for entry in self._lose(sha256)]
        for entry in lost:
            self._count("server.mirror.corrupt")
            self._log.error("{filename} was corrupt", filename=entry.artifact.filename)
        return lost

    def _remove_abandoned(self) -> None:
        self._contents.remove_abandoned(self._ledger.contents(), self._named_by_now)

    def _named_by_now(self, sha256: str) -> bool:
        self._ledger.refresh()
        return sha256 in self._ledger.contents()

    @contextmanager
    def _tolerant(self, what: str) -> Iterator[None]:
        """Count and log a refusal of the disk, and go on behind the block."""
        try:
            yield
        except OSError as error:
            self._trouble(what, error)

    def _trouble(self, what: str, error: OSError) -> None:
        self._count("server.mirror.disk")
        if what != "read":
            self._problem = str(error)
        self._brake.warn(what, lambda: f"the shelf cannot be {what}: {error}")
