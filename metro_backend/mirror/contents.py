"""The files of the shelf, by what is in them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path

from metro_backend.durable import flush_directory
from metro_backend.mirror.holding import OpenFile
from metro_backend.mirror.part import Part, remove_abandoned


class Contents:
    """Files named after their sha256, and those on their way."""

    def __init__(self, directory: Path) -> None:
        """Take the shelf's directory; nothing is touched before `create`."""
        self._directory = directory
        self._files = directory / "files"
        self.parts = directory / "parts"
        """Where files are written before they are checked."""
        self._open: dict[str, OpenFile] = {}

    def create(self) -> None:
        """Make the directories. Raises OSError."""
        for directory in (self._files, self.parts):
            directory.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Where the file with that digest is, if it is there."""
        return self._files / f"{sha256}.apk"

    def open(self, sha256: str) -> OpenFile:
        """Open a file, or join those who have it open. Raises OSError."""
        file = self._open.get(sha256)
        if file is None or file.fd < 0:
            file = OpenFile(self.path(sha256))
            self._open = {each: file for each, file in self._open.items() if file.fd >= 0}
            self._open[sha256] = file
        return file

    def missing(self, sha256: str) -> bool:
        """Tell whether a file is certainly not there. Raises OSError."""
        try:
            self.path(sha256).stat()
        except FileNotFoundError:
            return True
        return False

    def store(self, part: Part, sha256: str) -> None:
        """Flush a finished file and put it into its place, durably. Blocks. Raises OSError."""
        os.ftruncate(part.fd, part.size)
        os.fsync(part.fd)
        part.path.replace(self.path(sha256))
        flush_directory(self._files)

    def remove(self, sha256: str) -> None:
        """Remove a file; whoever reads it goes on, but nobody joins them. Raises OSError."""
        self._open.pop(sha256, None)
        self.path(sha256).unlink(missing_ok=True)

    def remove_abandoned(self, named: Collection[str], unless: Callable[[str], bool]) -> None:
        """Remove what dead processes left: half files, and files that no entry names.

        While the writer of a file lives, the file is locked, and may yet be named.

        Args:
            named: digests that entries name.
            unless: asked about a file's digest once the file is locked; True lets it stay.
        """
        for part in self.parts.glob("*.part"):
            remove_abandoned(part)
        for path in self._files.glob("*.apk"):
            if path.stem not in named:
                remove_abandoned(path, lambda path: unless(path.stem))

    def room(self) -> tuple[int, int]:
        """Bytes that the disk has left for us, and in all. Raises OSError."""
        disk = os.statvfs(self._directory)
        return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
