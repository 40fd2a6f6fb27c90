"""``/api/v2``: reports since 2017, downloads since 2021, and the list for new clients."""

from __future__ import annotations

import json
from typing import Any

from metro_backend.api.delivery import Delivery
from metro_backend.api.links import Links, release_link
from metro_backend.api.questions import Questions
from metro_backend.api.rendered import Rendered, on_shelf
from metro_backend.api.reporting import report
from metro_backend.api.responses import HTML, JSON, empty, text
from metro_backend.api.routing import route
from metro_backend.branches.model import Artifact, Snapshot, SourceState
from metro_backend.mirror.mirror import Mirror
from metro_backend.server import Request
from metro_backend.stats.reports import Era
from metro_backend.stats.statistics import Statistics


class V2:
    """``/api/v2``."""

    def __init__(
        self,
        questions: Questions,
        links: Links,
        delivery: Delivery,
        mirror: Mirror,
        statistics: Statistics,
    ) -> None:
        """Take what it answers from."""
        self._questions = questions
        self._links = links
        self._delivery = delivery
        self._mirror = mirror
        self._statistics = statistics
        self._rendered = Rendered(self._render)

    @route("/api/v2/stats", "POST")
    def stats(self, request: Request) -> bytes:
        """Count a report, be it a form or, from builds of 2022-11, JSON (contract §0, I6)."""
        report(request, self._statistics, Era.V2)
        return empty(request, 200, HTML)

    @route("/api/v2/download/<path:name>", "GET")
    async def download(self, request: Request, name: str) -> bytes | None:
        """Give a branch's file to a download manager."""
        branch = await self._questions.branch(name)
        if branch is None:
            return text(request, "404 no such branch\n", 404)
        return await self._delivery.send_newest(request, branch.artifact)

    @route("/api/v2/branches", "GET")
    async def branches(self, request: Request) -> bytes:
        """Tell new clients what is newest, and how each source is doing."""
        snapshot = await self._questions.snapshot()
        variant = self._links.base(request), on_shelf(snapshot, self._mirror)
        page = self._rendered.get(snapshot, variant)
        return self._questions.answer(request, snapshot, page, JSON)

    def _render(self, snapshot: Snapshot, variant: tuple[str, str]) -> bytes:
        base, _ = variant
        value = {
            "updated_at": snapshot.changed_at,
            "sources": {name: _source(state) for name, state in snapshot.sources.items()},
            "branches": {
                name: {
                    "name": branch.name,
                    "version": branch.version,
                    "build": branch.build,
                    "by_build": branch.by_build,
                    "stable": branch.stable,
                    "description": branch.description,
                    "message": branch.message,
                    "published_at": branch.artifact.modified,
                    **self._file(branch.artifact, base),
                }
                for name, branch in snapshot.branches.items()
            },
        }
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

    def _file(self, artifact: Artifact, base: str) -> dict[str, Any]:
        return {
            "filename": artifact.filename,
            "size": self._mirror.size(artifact),
            "sha256": self._mirror.sha256(artifact),
            "urls": [release_link(base, artifact.filename), artifact.url],
        }


def _source(state: SourceState) -> dict[str, Any]:
    return {
        "succeeded_at": int(state.succeeded_at),
        "error": state.error,
        "failed_at": None if state.failed_at is None else int(state.failed_at),
    }
