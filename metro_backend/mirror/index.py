"""What is on the shelf and what has been: one small file per build.

A file of its own for each build means that two processes on one directory
never read, change and write back the same one.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from metro_backend.branches.model import Artifact
from metro_backend.durable import replace_file

REMEMBERED = 500
"""Builds whose digest is remembered beyond their eviction."""

ABANDONED = 600.0
"""Seconds after which a half-written entry belongs to a dead process."""

_IDENTITY = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One build on the shelf."""

    artifact: Artifact
    sha256: str
    size: int
    """Bytes, counted."""
    stored_at: float
    """UTC Unix time."""
    superseded_at: float | None = None
    """UTC Unix time at which another build took its place; None while it is current."""

    @property
    def identity(self) -> str:
        """The identity of its artifact."""
        return self.artifact.identity

    def marked(self, superseded_at: float | None) -> Self:
        """Return the entry with another time at which it was superseded."""
        return replace(self, superseded_at=superseded_at)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form that `from_json` reads."""
        return {
            "format": 1,
            "artifact": self.artifact.as_json(),
            "sha256": self.sha256,
            "size": self.size,
            "stored_at": self.stored_at,
            "superseded_at": self.superseded_at,
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read what `as_json` wrote. Raises ValueError for anything else."""
        if not isinstance(value, dict) or value.get("format") != 1:
            raise ValueError("not an entry of format 1")
        sha256, size = value.get("sha256"), value.get("size")
        stored_at, superseded_at = value.get("stored_at"), value.get("superseded_at")
        if not isinstance(sha256, str) or not _IDENTITY.match(sha256):
            raise ValueError("'sha256' is not a digest")
        if not isinstance(size, int) or not isinstance(stored_at, (int, float)):
            raise ValueError("'size' or 'stored_at' is not a number")
        if superseded_at is not None and not isinstance(superseded_at, (int, float)):
            raise ValueError("'superseded_at' is not a time")
        return cls(
            artifact=Artifact.from_json(value.get("artifact")),
            sha256=sha256,
            size=size,
            stored_at=stored_at,
            superseded_at=superseded_at,
        )


class Index:
    """The entries on disk. The time of an entry's last use is its file's modification time."""

    def __init__(self, directory: Path) -> None:
        """Take the shelf's directory; nothing is touched before `create`."""
        self._entries = directory / "index"
        self._known = directory / "known"

    def create(self) -> None:
        """Make the directories. Raises OSError."""
        self._entries.mkdir(parents=True, exist_ok=True)
        self._known.mkdir(parents=True, exist_ok=True)

    def identities(self) -> set[str]:
        """List the builds that have an entry. Raises OSError."""
        names = (path.name for path in self._entries.iterdir())
        stems = (name.removesuffix(".json") for name in names if name.endswith(".json"))
        return {stem for stem in stems if _IDENTITY.match(stem)}

    def read(self, identity: str) -> Entry | None:
        """Return an entry; None if there is none or it is torn, which removes it."""
        path = self._path(identity)
        try:
            entry = Entry.from_json(json.loads(path.read_bytes()))
        except OSError:
            return None
        except ValueError:
            entry = None
        if entry is None or entry.identity != identity:
            self.remove(identity)
            return None
        return entry

    def used_at(self, identity: str) -> float | None:
        """UTC Unix time of the last recorded use; None if the entry is gone."""
        try:
            return self._path(identity).stat().st_mtime
        except OSError:
            return None

    def write(self, entry: Entry, used_at: float) -> None:
        """Put an entry in place of the one before, at once and durably. Raises OSError."""
        content = json.dumps(entry.as_json(), ensure_ascii=False).encode()
        replace_file(self._path(entry.identity), content, used_at)

    def touch(self, identity: str, used_at: float) -> None:
        """Record a use. Raises OSError."""
        os.utime(self._path(identity), (used_at, used_at))

    def remove(self, identity: str) -> None:
        """Remove an entry, if the disk lets us."""
        try:
            self._path(identity).unlink(missing_ok=True)
        except OSError:
            return

    def remember(self, identity: str, sha256: str) -> None:
        """Keep a build's digest beyond its eviction. Raises OSError."""
        replace_file(self._known / identity, sha256.encode("ascii"), None)

    def recall(self, identity: str) -> str | None:
        """Return a build's digest if it was ever on the shelf and is not forgotten."""
        try:
            sha256 = (self._known / identity).read_text("ascii", "replace")
        except OSError:
            return None
        return sha256 if _IDENTITY.match(sha256) else None

    def remembered(self) -> dict[str, str]:
        """Return the digests that are remembered, by identity. Raises OSError."""
        names = [p.name for p in self._known.iterdir() if _IDENTITY.match(p.name)]
        digests = {name: self.recall(name) for name in names}
        return {name: sha256 for name, sha256 in digests.items() if sha256 is not None}

    def tidy(self) -> None:
        """Forget the oldest digests beyond `REMEMBERED` and remove half writes. Raises OSError."""
        known = [p for p in self._known.iterdir() if _IDENTITY.match(p.name)]
        if len(known) > REMEMBERED:
            known.sort(key=lambda path: path.stat().st_mtime)
            for path in known[:-REMEMBERED]:
                path.unlink(missing_ok=True)
        for directory in (self._entries, self._known):
            for path in directory.glob("*.tmp"):
                if path.stat().st_mtime < time.time() - ABANDONED:
                    path.unlink(missing_ok=True)

    def _path(self, identity: str) -> Path:
        return self._entries / f"{identity}.json"
