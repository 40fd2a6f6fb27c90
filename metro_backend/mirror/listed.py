"""What the list of the mirror's files says about each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from metro_backend.branches.model import Artifact


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A build that can be had here."""

    name: str
    """The file name."""
    branch: str
    number: int
    size: int | None
    sha256: str | None
    modified: int
    """UTC Unix time at which the source made it."""
    current: bool
    stored: bool
    """Whether it is on the shelf."""

    @classmethod
    def of(
        cls,
        artifact: Artifact,
        *,
        size: int | None,
        sha256: str | None,
        current: bool,
        stored: bool,
    ) -> Self:
        """Describe an artifact."""
        return cls(
            name=artifact.filename,
            branch=artifact.branch,
            number=artifact.number,
            size=size,
            sha256=sha256,
            modified=artifact.modified,
            current=current,
            stored=stored,
        )
