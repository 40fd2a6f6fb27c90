"""What a reader holds while it reads: a file that is there, or one that is still arriving."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from twisted.internet.defer import Deferred, succeed

from metro_backend.branches.model import Artifact


class Holding(Protocol):
    """A build's bytes, for one reader, until `close`."""

    artifact: Artifact

    @property
    def size(self) -> int:
        """Bytes of the whole file."""

    @property
    def sha256(self) -> str | None:
        """Hex digest of the whole file, where it is known."""

    @property
    def available(self) -> int:
        """Bytes from the start that may be sent now."""

    @property
    def path(self) -> Path | None:
        """The file's lasting place; None while it is still arriving."""

    def fileno(self) -> int:
        """Descriptor to read from at any offset below `available`; shared with other readers."""

    def wait(self, offset: int) -> Deferred[None]:
        """Return a Deferred of the caller's own, to fire when `available` exceeds the offset.

        It fails with FillFailed if the rest will never come.
        """

    def close(self) -> None:
        """Let go; may be called again."""


class OpenFile:
    """One descriptor that all readers of a file share; closed with the last of them."""

    def __init__(self, path: Path) -> None:
        """Open the file. Raises OSError."""
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self.fd).st_size
        self.readers = 0

    def release(self) -> None:
        """Count one reader less."""
        self.readers -= 1
        if self.readers <= 0:
            self.close()

    def close(self) -> None:
        """Close at once."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Stored:
    """A holding of a file on the shelf."""

    def __init__(self, artifact: Artifact, sha256: str, file: OpenFile) -> None:
        """Count as a reader of the file."""
        self.artifact = artifact
        self.sha256: str | None = sha256
        self.size = self.available = file.size
        self.path: Path | None = file.path
        self._file: OpenFile | None = file
        file.readers += 1

    def fileno(self) -> int:
        """See `Holding`."""
        assert self._file is not None, "closed"
        return self._file.fd

    def wait(self, offset: int) -> Deferred[None]:
        """See `Holding`: everything is there."""
        return succeed(None)

    def close(self) -> None:
        """See `Holding`."""
        file, self._file = self._file, None
        if file is not None:
            file.release()
