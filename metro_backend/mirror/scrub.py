"""Reads files again to see whether the disk still has what was written to it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_BLOCK = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a look at the whole shelf found."""

    files: int
    """Files that were read."""
    size: int
    """Bytes of them."""
    corrupt: tuple[str, ...]
    """Published names of builds whose file was corrupt, and is gone now."""


def hash_file(path: Path) -> str | None:
    """Return the sha256 of a file as hex digits; None if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


class Scrub:
    """Goes round the files in steps of bounded size. Not for two threads at once."""

    def __init__(self) -> None:
        self._last = ""
        self._file: IO[bytes] | None = None
        self._hash = hashlib.sha256()

    def step(self, contents: Mapping[str, Path], budget: int) -> list[str]:
        """Read so many bytes (at least a block) and return the digests of corrupt files.

        Args:
            contents: the files by the digest that each should have.
        """
        corrupt: list[str] = []
        for _ in contents:
            if self._file is None and not self._next(contents):
                break
            assert self._file is not None
            while budget > 0:
                try:
                    block = self._file.read(_BLOCK)
                except OSError:
                    # A disk that cannot read a file has lost it.
                    self._hash.update(b"unreadable")
                    block = b""
                if not block:
                    break
                self._hash.update(block)
                budget -= len(block)
            else:
                break
            self._file.close()
            self._file = None
            if self._hash.hexdigest() != self._last and self._last in contents:
                corrupt.append(self._last)
        return corrupt

    def close(self) -> None:
        """Close the file under way."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _next(self, contents: Mapping[str, Path]) -> bool:
        """Open the next file in the order of digests, and after the last one the first again."""
        later = sorted(sha256 for sha256 in contents if sha256 > self._last)
        for sha256 in later or sorted(contents):
            self._last = sha256
            try:
                self._file = contents[sha256].open("rb", buffering=0)
            except OSError:
                # Evicted meanwhile; whether it is missing is for the shelf to see.
                continue
            self._hash = hashlib.sha256()
            return True
        return False
