"""What a stand-in GitHub knows: repositories, releases, assets. All of it may be changed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from metro_backend.demo.apk import digests_of

APK_TYPE = "application/vnd.android.package-archive"


@dataclass(kw_only=True)
class Asset:
    """A file of a release. Any field may be changed while the server runs."""

    id: int
    name: str
    size: int = 2_000_000
    """Bytes; as listed, and as made unless `content` is given."""
    updated_at: str = "2021-06-06T13:49:10Z"
    content_type: str = APK_TYPE
    download_count: int = 12
    has_digest: bool = True
    """Whether the list tells the SHA-256; the field is null for old uploads."""
    content: bytes | None = None
    """What is served in place of a made package."""

    @property
    def seed(self) -> str:
        """What the package is made from: another upload has other bytes."""
        own = digests_of(self.content).sha256 if self.content is not None else ""
        return f"github/{self.id}/{self.updated_at}/{own}"

    @property
    def signature(self) -> str:
        """What the asset host wants to see in the query."""
        return hashlib.sha256(self.seed.encode()).hexdigest()[:43]


@dataclass(kw_only=True)
class Release:
    """A release. Any field may be changed while the server runs."""

    id: int
    tag: str
    name: str | None
    body: str | None
    draft: bool = False
    prerelease: bool = False
    published_at: str = "2021-06-06T13:50:00Z"
    assets: list[Asset] = field(default_factory=list)


@dataclass(kw_only=True)
class Repository:
    """A repository and its releases, the newest first."""

    id: int
    owner: str
    name: str
    releases: list[Release] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        """``owner/name``"""
        return f"{self.owner}/{self.name}"

    def add_release(self, tag: str, *, filename: str | None = None, **fields: Any) -> Release:
        """Publish a release above all others, with one package unless `assets` are given."""
        number = max((release.id for release in self.releases), default=43_000_000) + 1
        name = filename or f"MosMetro-v{tag}.apk"
        given = {
            "name": tag,
            "body": f"* Выпуск {tag}",
            "assets": [Asset(id=number + 1_000_000_000, name=name)],
            **fields,
        }
        release = Release(id=number, tag=tag, **given)
        self.releases.insert(0, release)
        return release
