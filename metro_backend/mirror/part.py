"""A file on its way: written to a temporary name, and hashed as it arrives."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from metro_backend.branches.model import Artifact
from metro_backend.mirror.errors import Unfit

MAGIC = b"PK\x03\x04"
"""The first bytes of every ZIP file, and so of every APK."""

_CREATIONS = 10


class Part:
    """One temporary file, which its writer keeps locked.

    The lock lets another process tell a file that is being written from one
    that a dead process left. It stays with the file when that is renamed, until
    `close`.
    """

    def __init__(self, directory: Path, artifact: Artifact) -> None:
        """Create the file. Raises OSError."""
        self.artifact = artifact
        self.expected = 0
        """Bytes that room was made for after its begin."""
        self.size = 0
        """Bytes written."""
        self.head = b""
        """The first bytes, as many as `MAGIC` has."""
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._hash_md5 = (artifact.digest or "").startswith("md5:")
        self.path, self.fd = _create(directory, artifact.identity)

    @property
    def sha256(self) -> str:
        """Hex digest of what has been written."""
        return self._sha256.hexdigest()

    def allocate(self, size: int) -> None:
        """Have the disk set the room aside, so that a full one shows now. Raises OSError."""
        try:
            os.posix_fallocate(self.fd, 0, size)
        except OSError as error:
            # Not every file system can.
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise

    def write(self, data: bytes) -> None:
        """Append. Raises OSError."""
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self.fd, rest, self.size)
            self._sha256.update(rest[:written])
            if self._hash_md5:
                self._md5.update(rest[:written])
            self.size += written
            rest = rest[written:]
        if len(self.head) < len(MAGIC):
            self.head = (self.head + data)[: len(MAGIC)]

    def check(self) -> None:
        """Raise Unfit unless magic, length, and digest (where one is given) are the artifact's."""
        artifact = self.artifact
        if self.head != MAGIC:
            raise Unfit("it is not a ZIP file")
        if artifact.size is not None and self.size != artifact.size:
            raise Unfit(f"{self.size} bytes have come of {artifact.size} that were promised")
        kind, _, digest = (artifact.digest or "").partition(":")
        found = {"sha256": self._sha256, "md5": self._md5}.get(kind)
        if found is not None and found.hexdigest() != digest.lower():
            raise Unfit(f"its {kind} is not the one that the source gave")

    def discard(self) -> None:
        """Remove the file; those who read from the descriptor are not disturbed."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the descriptor, and give up the lock with it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _create(directory: Path, identity: str) -> tuple[Path, int]:
    for _ in range(_CREATIONS):
        path = directory / f"{identity[:16]}-{secrets.token_hex(8)}.part"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        # Between these two lines another process may take the file for abandoned.
        if lock(fd) and os.fstat(fd).st_nlink:
            return path, fd
        os.close(fd)
        path.unlink(missing_ok=True)
    raise FileExistsError(f"no temporary file in {directory.name}")


def lock(fd: int) -> bool:
    """Lock an open file for this descriptor alone; False if another one holds it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def remove_abandoned(path: Path, unless: Callable[[Path], bool] | None = None) -> bool:
    """Remove a file that nobody holds locked, and tell whether it was removed. Never raises.

    Args:
        unless: asked once the file is locked; True lets it stay.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if not lock(fd) or (unless is not None and unless(path)):
            return False
        path.unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
