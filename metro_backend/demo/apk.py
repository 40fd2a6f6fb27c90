"""Files that pass for Android packages: valid ZIPs of any size, made from a seed."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections import OrderedDict
from dataclasses import dataclass

CACHE_LIMIT = 16 * 1024 * 1024
"""Bytes of packages that are kept; the newest one is kept whatever its size."""

DIGEST_LIMIT = 1000
"""Packages whose digests are kept."""

_MANIFEST = b"\x03\x00\x08\x00" + bytes(60)
_DEX = b"dex\n035\x00" + bytes(104)
_RESOURCES = b"\x02\x00\x0c\x00" + bytes(36)
_ENTRIES = (
    ("AndroidManifest.xml", _MANIFEST),
    ("classes.dex", _DEX),
    ("resources.arsc", _RESOURCES),
    ("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\r\nCreated-By: metro-backend demo\r\n\r\n"),
)


def _packed(payload: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in (*_ENTRIES, ("assets/payload.bin", payload)):
            # A ZipInfo of its own, or the file would hold the time of day.
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


SMALLEST = len(_packed(b""))
"""Bytes of the smallest package that can be made."""


def make_apk(seed: str, size: int) -> bytes:
    """Make a package of exactly `size` bytes, the same ones for the same seed.

    Raises:
        ValueError: if it is to be smaller than `SMALLEST`.
    """
    if size < SMALLEST:
        raise ValueError(f"a package takes {SMALLEST} bytes at least, not {size}")
    # Stored entries cost the same whatever they hold, so the payload makes up the rest.
    return _packed(hashlib.shake_128(seed.encode()).digest(size - SMALLEST))


@dataclass(frozen=True, kw_only=True)
class Digests:
    """What a source may say about a file's bytes, in hexadecimal."""

    md5: str
    sha256: str


class ApkCache:
    """Makes packages when they are asked for, and keeps the last few."""

    def __init__(self, limit: int = CACHE_LIMIT) -> None:
        """Keep at most so many bytes."""
        self._limit = limit
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._digests: OrderedDict[tuple[str, int], Digests] = OrderedDict()

    @property
    def size(self) -> int:
        """Bytes that are kept now."""
        return sum(len(body) for body in self._kept.values())

    def get(self, seed: str, size: int) -> bytes:
        """Return the package of this seed and size."""
        key = (seed, size)
        body = self._kept.get(key)
        if body is None:
            body = self._kept[key] = make_apk(seed, size)
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and self.size > self._limit:
            self._kept.popitem(last=False)
        return body

    def digests(self, seed: str, size: int) -> Digests:
        """Return the digests of the package of this seed and size."""
        key = (seed, size)
        digests = self._digests.get(key)
        if digests is None:
            digests = self._digests[key] = digests_of(self.get(seed, size))
            if len(self._digests) > DIGEST_LIMIT:
                self._digests.popitem(last=False)
        return digests


def digests_of(body: bytes) -> Digests:
    """Work out the digests of these bytes."""
    return Digests(
        # Jenkins' fingerprints are MD5; nothing is secured by them.
        md5=hashlib.md5(body, usedforsecurity=False).hexdigest(),
        sha256=hashlib.sha256(body).hexdigest(),
    )
