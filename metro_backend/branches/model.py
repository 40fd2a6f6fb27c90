"""The values that the catalogue is made of: Artifact, Branch, SourceState, Snapshot."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Self
from urllib.parse import unquote

JAVA_INT_MAX = 2**31 - 1
"""Phones read `version` and `build` with Integer.parseInt (contract §0, I2)."""


def _frozen(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(mapping))


def published_filename(branch: str, *, by_build: bool, number: int) -> str:
    """Name a branch's file as every back end since 2017 did (contract §2.1), safe in any URL.

    A branch whose name holds other characters gets a short hash of the name,
    so that ``feature%2Fx`` and ``feature-x`` never share a file.
    """
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", unquote(branch)).strip("-.")[:64]
    if safe != branch:
        safe = f"{safe or 'branch'}-{hashlib.sha256(branch.encode()).hexdigest()[:6]}"
    return f"MosMetro-{safe}-{'b' if by_build else 'v'}{number}.apk"


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One build's file, as its source names it."""

    branch: str
    number: int
    """The number that phones compare: the build if by_build, else the version."""
    filename: str
    """The name under which it is published; no character that needs quoting."""
    source: str
    """``github`` or ``jenkins``."""
    url: str
    """Where the source has it."""
    size: int | None
    """Bytes, where the source tells."""
    digest: str | None
    """``sha256:HEX`` or ``md5:HEX``, where the source tells."""
    modified: int
    """UTC Unix time at which the source made it."""
    stamp: str
    """What tells this upload from a later one at the same URL (asset id, build time)."""

    @cached_property
    def identity(self) -> str:
        """64 hex digits that are the same on every instance, for ever, cold or warm."""
        # The name is part of it: `beta` may be the same upload as `play`, under its own name.
        parts = (
            self.source,
            self.filename,
            self.url,
            self.stamp,
            str(self.size),
            str(self.digest),
        )
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @property
    def etag(self) -> bytes:
        """The strong, quoted ETag; derived from the identity so that a resumed download goes on."""
        return f'"{self.identity[:32]}"'.encode("ascii")

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form that `from_json` reads."""
        return {
            "branch": self.branch,
            "number": self.number,
            "filename": self.filename,
            "source": self.source,
            "url": self.url,
            "size": self.size,
            "digest": self.digest,
            "modified": self.modified,
            "stamp": self.stamp,
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read what `as_json` wrote. Raises ValueError for anything else."""
        return cls(
            branch=_text(value, "branch"),
            number=_number(value, "number"),
            filename=_text(value, "filename"),
            source=_text(value, "source"),
            url=_text(value, "url"),
            size=_number(value, "size") if _item(value, "size") is not None else None,
            digest=_optional_text(value, "digest"),
            modified=_number(value, "modified"),
            stamp=_text(value, "stamp"),
        )


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One update branch: what is newest on it."""

    name: str
    """The key that phones store; for Jenkins the job's name, still URL-encoded."""
    version: int
    build: int
    by_build: bool
    """Whether phones compare `build` (True) or `version`."""
    stable: bool
    description: str | None
    message: str
    artifact: Artifact

    @property
    def number(self) -> int:
        """The number that phones compare, and that must never go down."""
        return self.build if self.by_build else self.version

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form that `from_json` reads."""
        return {
            "name": self.name,
            "version": self.version,
            "build": self.build,
            "by_build": self.by_build,
            "stable": self.stable,
            "description": self.description,
            "message": self.message,
            "artifact": self.artifact.as_json(),
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read what `as_json` wrote. Raises ValueError for anything else."""
        return cls(
            name=_text(value, "name"),
            version=_number(value, "version", JAVA_INT_MAX),
            build=_number(value, "build", JAVA_INT_MAX),
            by_build=_flag(value, "by_build"),
            stable=_flag(value, "stable"),
            description=_optional_text(value, "description"),
            message=_text(value, "message"),
            artifact=Artifact.from_json(_item(value, "artifact")),
        )


@dataclass(frozen=True, kw_only=True)
class SourceState:
    """What one source said last, and how it has been since."""

    branches: Mapping[str, Branch]
    """Its last good answer."""
    succeeded_at: float
    """UTC Unix time of that answer."""
    error: str | None = None
    """Why the newest try failed; None if it did not."""
    failed_at: float | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    """Per branch: why it is as it is, where that needs saying."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "branches", _frozen(self.branches))
        object.__setattr__(self, "notes", _frozen(self.notes))

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form that `from_json` reads."""
        return {
            "branches": {name: branch.as_json() for name, branch in self.branches.items()},
            "succeeded_at": self.succeeded_at,
            "error": self.error,
            "failed_at": self.failed_at,
            "notes": dict(self.notes),
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read what `as_json` wrote. Raises ValueError for anything else."""
        failed_at = _item(value, "failed_at")
        return cls(
            branches=_branches(value),
            succeeded_at=_seconds(value, "succeeded_at"),
            error=_optional_text(value, "error"),
            failed_at=None if failed_at is None else _seconds(value, "failed_at"),
            notes={str(k): str(v) for k, v in _table(value, "notes").items()},
        )


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The complete list of branches at one moment; never partial (contract §0, I3)."""

    branches: Mapping[str, Branch]
    """What is published, by name."""
    beta: Branch | None
    """What apps before v50 are shown as `beta`, published or not (contract §2.4, R)."""
    sources: Mapping[str, SourceState]
    changed_at: int
    """UTC Unix time at which `branches` last changed."""
    taken_at: float
    """UTC Unix time at which this snapshot was made: the later one wins between instances."""
    resets: Mapping[str, float] = field(default_factory=dict)
    """Per branch whose number an admin let go down, when that was."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "branches", _frozen(self.branches))
        object.__setattr__(self, "sources", _frozen(self.sources))
        object.__setattr__(self, "resets", _frozen(self.resets))

    def find(self, name: str) -> Branch | None:
        """Find a branch by its key or by the decoded form of it (``feature/x``)."""
        return self.branches.get(name) or self._decoded.get(name)

    @cached_property
    def _decoded(self) -> Mapping[str, Branch]:
        return {unquote(name): branch for name, branch in self.branches.items()}

    @cached_property
    def confirmed_at(self) -> float:
        """UTC Unix time up to which every source has confirmed the list."""
        return min((s.succeeded_at for s in self.sources.values()), default=self.taken_at)

    def artifacts(self) -> dict[str, Artifact]:
        """Return the published files by their names, the old apps' beta among them."""
        branches = list(self.branches.values()) + ([self.beta] if self.beta else [])
        return {branch.artifact.filename: branch.artifact for branch in branches}

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form that `from_json` reads."""
        return {
            "format": 1,
            "branches": {name: branch.as_json() for name, branch in self.branches.items()},
            "beta": self.beta.as_json() if self.beta else None,
            "sources": {name: state.as_json() for name, state in self.sources.items()},
            "changed_at": self.changed_at,
            "taken_at": self.taken_at,
            "resets": dict(self.resets),
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read what `as_json` wrote. Raises ValueError for anything else."""
        if _item(value, "format") != 1:
            raise ValueError("not a snapshot of format 1")
        beta = _item(value, "beta")
        return cls(
            branches=_branches(value),
            beta=None if beta is None else Branch.from_json(beta),
            sources={k: SourceState.from_json(v) for k, v in _table(value, "sources").items()},
            changed_at=_number(value, "changed_at"),
            taken_at=_seconds(value, "taken_at"),
            # Lists of the first days have none.
            resets=_times(value.get("resets", {})),
        )


def _item(value: Any, key: str) -> Any:
    if not isinstance(value, dict) or key not in value:
        raise ValueError(f"{key!r} is missing")
    return value[key]


def _text(value: Any, key: str) -> str:
    item = _item(value, key)
    if not isinstance(item, str):
        raise ValueError(f"{key!r} is not text")
    return item


def _optional_text(value: Any, key: str) -> str | None:
    return None if _item(value, key) is None else _text(value, key)


def _number(value: Any, key: str, most: int = 2**63 - 1) -> int:
    item = _item(value, key)
    if not isinstance(item, int) or isinstance(item, bool) or not 0 <= item <= most:
        raise ValueError(f"{key!r} is not a number from 0 to {most}")
    return item


def _seconds(value: Any, key: str) -> float:
    item = _item(value, key)
    if not isinstance(item, (int, float)) or isinstance(item, bool):
        raise ValueError(f"{key!r} is not a time")
    return float(item)


def _times(value: Any) -> dict[str, float]:
    if not isinstance(value, dict):
        raise ValueError("'resets' is not an object")
    return {name: _seconds(value, name) for name in value}


def _flag(value: Any, key: str) -> bool:
    item = _item(value, key)
    if not isinstance(item, bool):
        raise ValueError(f"{key!r} is neither true nor false")
    return item


def _table(value: Any, key: str) -> dict[str, Any]:
    item = _item(value, key)
    if not isinstance(item, dict):
        raise ValueError(f"{key!r} is not an object")
    return item


def _branches(value: Any) -> dict[str, Branch]:
    return {name: Branch.from_json(item) for name, item in _table(value, "branches").items()}
