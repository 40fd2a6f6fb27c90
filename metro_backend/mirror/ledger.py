"""Which builds are on the shelf and when each was used: in memory, and on disk behind it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from metro_backend.mirror.index import Entry, Index


class Ledger:
    """The index, read once and kept in step with the disk and with other processes."""

    def __init__(self, directory: Path) -> None:
        """Take the shelf's directory; nothing is touched before `open`."""
        self._index = Index(directory)
        self._entries: dict[str, Entry] = {}
        self.used: dict[str, float] = {}
        """UTC Unix time of each build's last use, by identity."""
        self._unrecorded: set[str] = set()
        self._known: dict[str, str] = {}

    def create(self) -> None:
        """Make the directories. Raises OSError."""
        self._index.create()

    def load(self) -> None:
        """Read everything. Raises OSError."""
        self._known = self._index.remembered()
        self.refresh()

    def entry(self, identity: str) -> Entry | None:
        """Find a build."""
        return self._entries.get(identity)

    def entries(self) -> list[Entry]:
        """List the builds."""
        return list(self._entries.values())

    def contents(self) -> dict[str, int]:
        """Return the sizes of the files that the builds are, by digest."""
        return {entry.sha256: entry.size for entry in self._entries.values()}

    def sharing(self, sha256: str) -> list[Entry]:
        """List the builds that are one file."""
        return [entry for entry in self._entries.values() if entry.sha256 == sha256]

    def named(self, filename: str) -> Entry | None:
        """Find the latest build of that file name."""
        found = [e for e in self._entries.values() if e.artifact.filename == filename]
        return max(found, key=lambda e: (e.superseded_at is None, e.stored_at), default=None)

    def sha256(self, identity: str) -> str | None:
        """Return a build's digest, even if it is gone since; does not touch the disk."""
        entry = self._entries.get(identity)
        return entry.sha256 if entry else self._known.get(identity)

    def recall(self, identity: str) -> str | None:
        """Return a build's digest, even if another process has put it here."""
        return self._index.recall(identity) or self.sha256(identity)

    def adopt(self, identity: str) -> Entry | None:
        """Find a build that another process may have put here."""
        entry = self._entries.get(identity) or self._index.read(identity)
        if entry is not None and identity not in self._entries:
            self._entries[identity] = entry
            self.used[identity] = self._index.used_at(identity) or entry.stored_at
        return entry

    def write(self, entry: Entry) -> None:
        """Put a new build on disk; `add` follows. May run in a thread. Raises OSError."""
        self._index.remember(entry.identity, entry.sha256)
        self._index.write(entry, entry.stored_at)

    def add(self, entry: Entry) -> None:
        """Take a new build into memory."""
        self._entries[entry.identity] = entry
        self._known[entry.identity] = entry.sha256
        self.used[entry.identity] = entry.stored_at

    def remove(self, entry: Entry) -> None:
        """Forget a build but for its digest."""
        self._index.remove(entry.identity)
        self._entries.pop(entry.identity, None)

    def use(self, identity: str, now: float) -> None:
        """Note a use; `record` puts it on disk."""
        self.used[identity] = now
        self._unrecorded.add(identity)

    def mark_current(self, identities: Collection[str], now: float) -> None:
        """Mark these builds as current, and others that were as superseded. Raises OSError."""
        changed = []
        for entry in self.entries():
            current = entry.identity in identities
            if current != (entry.superseded_at is None):
                marked = entry.marked(None if current else now)
                self._entries[entry.identity] = marked
                changed.append(marked)
        for entry in changed:
            self._index.write(entry, self.used.get(entry.identity, entry.stored_at))

    def record(self) -> None:
        """Put uses on disk, and tidy it up. Raises OSError."""
        unrecorded, self._unrecorded = self._unrecorded, set()
        for identity in unrecorded & self._entries.keys():
            self._index.touch(identity, self.used[identity])
        self._index.tidy()

    def refresh(self) -> None:
        """Take over what other processes added, removed and used. Raises OSError."""
        there = self._index.identities()
        for identity in self._entries.keys() - there:
            del self._entries[identity]
        for identity in there:
            if self.adopt(identity) is not None:
                used = self._index.used_at(identity) or 0.0
                self.used[identity] = max(used, self.used[identity])
        self.used = {each: used for each, used in self.used.items() if each in self._entries}
