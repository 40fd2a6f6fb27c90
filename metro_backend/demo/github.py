"""A stand-in GitHub: releases of a few repositories, and their assets (contract §2.5)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from metro_backend.demo.apk import ApkCache, digests_of
from metro_backend.demo.exchange import Answer, Query, html_answer, json_answer
from metro_backend.demo.files import file_answer
from metro_backend.demo.releases import Asset, Release, Repository

__all__ = ["Asset", "GitHub", "Release", "Repository"]

PER_PAGE = 30
"""Releases on a page that asks for no other number; at most 100 are given."""


class GitHub:
    """Answers for api.github.com, github.com and the asset host, all at one address."""

    def __init__(
        self, repositories: list[Repository], apks: ApkCache, now: Callable[[], float]
    ) -> None:
        """Take the repositories, the app's own first; `now` tells UTC Unix time."""
        self.repositories = repositories
        self.token: str | None = None
        """The one token that is good; with None any is."""
        self._apks = apks
        self._now = now

    @property
    def repository(self) -> Repository:
        """The app's repository."""
        return self.repositories[0]

    @property
    def releases(self) -> list[Release]:
        """The app's releases, the newest first."""
        return self.repository.releases

    def add_release(self, tag: str, **fields: Any) -> Release:
        """Publish a release of the app (see `Repository.add_release`)."""
        return self.repository.add_release(tag, **fields)

    def answer(self, query: Query) -> Answer | None:
        """Answer, or return None if the path is none of GitHub's."""
        match query.segments:
            case ["repos", owner, name, "releases"]:
                return self._list(query, f"{owner}/{name}")
            case [owner, name, "releases", "download", tag, filename]:
                return self._download(query, f"{owner}/{name}", tag, filename)
            case ["github-assets", identity]:
                return self._asset(query, identity)
        return None

    def _list(self, query: Query, full_name: str) -> Answer:
        if not query.headers.get("user-agent"):
            return html_answer(
                403,
                "Request forbidden by administrative rules",
                "Please make sure your request has a User-Agent header.",
            )
        authorization = query.headers.get("authorization", "")
        if authorization and self.token not in (None, authorization.partition(" ")[2]):
            return json_answer(_message("Bad credentials"), status=401)
        headers = self._limits(bool(authorization))
        repository = self._find(full_name)
        if repository is None:
            return json_answer(_message("Not Found"), status=404, headers=headers)

        size = min(100, _number(query.argument("per_page"), PER_PAGE))
        page = _number(query.argument("page"), 1)
        start = (page - 1) * size
        links = _links(query, page, -(-len(repository.releases) // size), size)
        if links:
            headers["Link"] = links
        answer = json_answer(
            [
                self._release(query, repository, release)
                for release in repository.releases[start : start + size]
            ],
            headers=headers,
        )
        # The same page has another validator for another token, as at GitHub.
        mark = hashlib.sha256(f"{query.target}\0{authorization}\0".encode() + answer.body)
        etag = f'W/"{mark.hexdigest()}"'
        fresh = query.headers.get("if-none-match", "")
        tagged = {
            **answer.headers,
            "ETag": etag,
            "Cache-Control": "public, max-age=60, s-maxage=60",
        }
        if etag.removeprefix("W/") in fresh.replace("W/", "").split(", "):
            return Answer(status=304, headers=tagged)
        return replace(answer, headers=tagged)

    def _limits(self, authorized: bool) -> dict[str, str]:
        limit = 5000 if authorized else 60
        return {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(limit - 1),
            "X-RateLimit-Reset": str(int(self._now()) + 3600),
            "X-RateLimit-Used": "1",
            "X-RateLimit-Resource": "core",
        }

    def _release(self, query: Query, repository: Repository, release: Release) -> dict[str, Any]:
        api = f"{query.base}/repos/{repository.full_name}"
        html = f"{query.base}/{repository.full_name}"
        tag = quote(release.tag, safe="")
        return {
            "url": f"{api}/releases/{release.id}",
            "assets_url": f"{api}/releases/{release.id}/assets",
            "upload_url": f"{api}/releases/{release.id}/assets{{?name,label}}",
            "html_url": f"{html}/releases/tag/{tag}",
            "id": release.id,
            "author": _account(query, repository),
            "node_id": f"RE_{release.id}",
            "tag_name": release.tag,
            "target_commitish": "master",
            "name": release.name,
            "draft": release.draft,
            "prerelease": release.prerelease,
            "created_at": release.published_at,
            "published_at": None if release.draft else release.published_at,
            "assets": [
                {
                    "url": f"{api}/releases/assets/{asset.id}",
                    "id": asset.id,
                    "node_id": f"RA_{asset.id}",
                    "name": asset.name,
                    "label": None,
                    "uploader": _account(query, repository),
                    "content_type": asset.content_type,
                    "state": "uploaded",
                    "size": asset.size if asset.content is None else len(asset.content),
                    "digest": f"sha256:{self._sha256(asset)}" if asset.has_digest else None,
                    "download_count": asset.download_count,
                    "created_at": asset.updated_at,
                    "updated_at": asset.updated_at,
                    "browser_download_url": f"{html}/releases/download/{tag}/{quote(asset.name)}",
                }
                for asset in release.assets
            ],
            "tarball_url": f"{api}/tarball/{tag}",
            "zipball_url": f"{api}/zipball/{tag}",
            "body": release.body,
        }

    def _download(self, query: Query, full_name: str, tag: str, filename: str) -> Answer:
        repository = self._find(full_name)
        for release in repository.releases if repository else ():
            for asset in release.assets:
                if (release.tag, asset.name) == (tag, filename):
                    return Answer(status=302, headers={"Location": _asset_url(query, asset)})
        return html_answer(404, "Not Found", "This is not the web page you are looking for.")

    def _asset(self, query: Query, identity: str) -> Answer:
        if "authorization" in query.headers:
            # The true host takes a signature or credentials, and fails on both.
            return html_answer(400, "InvalidAuthenticationInfo", "Only one is allowed.")
        asset = next(
            (
                asset
                for repository in self.repositories
                for release in repository.releases
                for asset in release.assets
                if str(asset.id) == identity
            ),
            None,
        )
        if asset is None:
            return html_answer(404, "BlobNotFound", "The specified blob does not exist.")
        if query.argument("sig") != asset.signature:
            return html_answer(403, "AuthenticationFailed", "Signature did not match.")
        body = asset.content
        if body is None:
            body = self._apks.get(asset.seed, asset.size)
        return file_answer(
            query,
            body,
            etag=f'"0x{asset.signature[:16].upper()}"',
            modified=datetime.fromisoformat(asset.updated_at).timestamp(),
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Disposition": f"attachment; filename={asset.name}",
            },
        )

    def _sha256(self, asset: Asset) -> str:
        if asset.content is not None:
            return digests_of(asset.content).sha256
        return self._apks.digests(asset.seed, asset.size).sha256

    def _find(self, full_name: str) -> Repository | None:
        return next((r for r in self.repositories if r.full_name == full_name), None)


def _asset_url(query: Query, asset: Asset) -> str:
    """Name the asset at another host, as GitHub does; on the loopback by its other name."""
    parts = urlsplit(query.base)
    host = parts.hostname or "localhost"
    loopback = {"localhost": "127.0.0.1", "127.0.0.1": "localhost", "::1": "localhost"}
    other = loopback.get(host, f"objects.{host}")
    port = f":{parts.port}" if parts.port else ""
    arguments = urlencode(
        {
            "sp": "r",
            "sig": asset.signature,
            "response-content-disposition": f"attachment; filename={asset.name}",
        }
    )
    return f"{parts.scheme}://{other}{port}/github-assets/{asset.id}?{arguments}"


def _links(query: Query, page: int, last: int, size: int) -> str:
    """Return the value of Link: where the pages around this one are."""
    pages = {"prev": page - 1, "next": page + 1, "last": last, "first": 1}
    if page <= 1:
        del pages["prev"], pages["first"]
    if page >= last:
        del pages["next"], pages["last"]
    return ", ".join(
        f'<{query.base}{query.path}?per_page={size}&page={number}>; rel="{name}"'
        for name, number in pages.items()
    )


def _account(query: Query, repository: Repository) -> Mapping[str, Any]:
    return {
        "login": repository.owner,
        "id": 1,
        "html_url": f"{query.base}/{repository.owner}",
        "type": "User",
    }


def _message(text: str) -> dict[str, str]:
    return {"message": text, "documentation_url": "https://docs.github.example/rest"}


def _number(text: str | None, default: int) -> int:
    """Read a number from 1 up; GitHub takes its default for anything else."""
    if text and len(text) < 10 and text.isascii() and text.isdigit():
        return int(text) or default
    return default
