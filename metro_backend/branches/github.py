"""Releases on GitHub: `play` is the newest stable one, `beta` the newest of all (contract §2.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from metro_backend.branches.model import Artifact, Branch, published_filename
from metro_backend.branches.source import Reading, SourceError, item, java_int, text
from metro_backend.upstream import Upstream, UpstreamError

PAGES = 10
"""Pages of releases that are read at most."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """A release that phones can be told about."""

    version: int
    prerelease: bool
    title: str
    body: str
    asset: Mapping[str, Any]


def read_releases(value: Any) -> list[Mapping[str, Any]]:
    """Check that a page is a list of objects. Raises ValueError (GitHub's errors are an object)."""
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ValueError("the answer is not a list of releases")
    return value


def usable(release: Mapping[str, Any]) -> Release | str:
    """Return the release, or the reason why phones must not hear of it."""
    if release.get("draft"):
        return "a draft"
    # A tag like "v2.4" would crash every app from v50 to v65 (contract §5.2, 20).
    tag = release.get("tag_name")
    version = java_int(tag) if isinstance(tag, str) else None
    if version is None:
        return "its tag is not a plain number"
    if not isinstance(release.get("prerelease"), bool):
        return "it does not say whether it is a prerelease"
    asset = package(release)
    if asset is None:
        return "it has no .apk"
    return Release(
        version=version,
        prerelease=release["prerelease"],
        title=text(release.get("name")) or str(version),
        body=text(release.get("body")) or "",
        asset=asset,
    )


def package(release: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the release's first finished asset that is an Android package."""
    assets = release.get("assets")
    for asset in assets if isinstance(assets, list) else ():
        if not isinstance(asset, dict) or asset.get("state", "uploaded") != "uploaded":
            continue
        name, url = asset.get("name"), asset.get("browser_download_url")
        if isinstance(name, str) and name.lower().endswith(".apk") and isinstance(url, str):
            return asset
    return None


class GitHubReleases:
    """One repository's releases, newest first."""

    def __init__(self, upstream: Upstream, api: str, user: str, repo: str, token: str = "") -> None:
        """Take the base URL of the API and the repository; a token raises the limit of calls."""
        self._upstream = upstream
        self._url = f"{api}/repos/{user}/{repo}/releases"
        self._headers = {"Accept": "application/vnd.github+json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    async def page(self, number: int, *, keep: float | None = None) -> list[Mapping[str, Any]]:
        """Return a page of releases; one that is kept may be so many seconds old.

        Raises:
            UpstreamError: if it cannot be had.
        """
        url = self._url if number == 1 else f"{self._url}?page={number}"
        return await self._upstream.json(
            url, read_releases, headers=self._headers, revalidate=keep is None, keep=keep
        )

    async def newest(self) -> tuple[Release | None, Release | None, dict[str, str]]:
        """Return the newest release, the newest stable one, and why others were passed over.

        Pages are read until both are known. Whether there is another page is not
        taken from the last page's length or Link: a 304 repeats an old one.

        Raises:
            UpstreamError: if a page cannot be had.
        """
        newest: Release | None = None
        notes: dict[str, str] = {}
        seen: set[str] = set()
        for number in range(1, PAGES + 1):
            releases = await self.page(number)
            names = {str(release.get("id", release.get("tag_name"))) for release in releases}
            if not names - seen:
                break
            seen |= names
            for raw in releases:
                release = usable(raw)
                if isinstance(release, str):
                    tag = text(raw.get("tag_name")) or "without a tag"
                    notes[f"release {tag[:40]}"] = f"passed over: {release}"
                    continue
                newest = newest or release
                if not release.prerelease:
                    return newest, release, notes
        return newest, None, notes


class GitHub:
    """The branches `play` and `beta`."""

    name = "github"
    required = "play"

    def __init__(self, releases: GitHubReleases) -> None:
        """Take the app's own repository."""
        self._releases = releases

    async def read(self, previous: Mapping[str, Branch], only: str | None = None) -> Reading:
        """Ask for the releases; see `Source.read`."""
        try:
            newest, stable, notes = await self._releases.newest()
        except UpstreamError as error:
            raise SourceError(str(error), error.retry_after) from error
        # Without a stable release the list would lack `play`, and phones would leave it for ever.
        if newest is None or stable is None:
            raise SourceError("GitHub lists no stable release with an .apk")
        # An old release that is published again comes first, but must not lower beta.
        ahead = newest if newest.version > stable.version else stable
        return Reading(
            branches={"play": _branch("play", stable), "beta": _branch("beta", ahead)},
            notes=notes,
        )


def asset_artifact(branch: str, number: int, filename: str, asset: Mapping[str, Any]) -> Artifact:
    """Describe the file that a release's asset is."""
    size, digest = asset.get("size"), asset.get("digest")
    updated = text(asset.get("updated_at")) or ""
    return Artifact(
        branch=branch,
        number=number,
        filename=filename,
        source="github",
        url=item(asset, "browser_download_url", str, "asset"),
        size=size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else None,
        digest=digest if isinstance(digest, str) and digest.startswith("sha256:") else None,
        modified=_unix_time(updated),
        stamp=f"{asset.get('id')} {updated}"[:100],
    )


def _branch(name: str, release: Release) -> Branch:
    filename = published_filename(name, by_build=False, number=release.version)
    return Branch(
        name=name,
        version=release.version,
        build=0,
        by_build=False,
        stable=False,
        description=None,
        message=f"{release.title}:\n{release.body}",
        artifact=asset_artifact(name, release.version, filename, release.asset),
    )


def _unix_time(iso: str) -> int:
    try:
        return max(0, int(datetime.fromisoformat(iso).timestamp()))
    except (ValueError, OverflowError):
        return 0
