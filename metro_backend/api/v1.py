"""The API of 2016, which every app from v50 on asks (contract §1.2, §1.3)."""

from __future__ import annotations

import json
from collections.abc import Coroutine
from typing import Any
from urllib.parse import quote

from metro_backend.api.delivery import Delivery
from metro_backend.api.download_page import download_page
from metro_backend.api.links import Links, release_link
from metro_backend.api.questions import PATIENCE, Questions, Unready, argument
from metro_backend.api.rendered import Rendered
from metro_backend.api.reporting import report
from metro_backend.api.responses import HTML, JSON, body, empty, text
from metro_backend.api.routing import route
from metro_backend.branches.model import Artifact, Branch, Snapshot
from metro_backend.branches.module import Module
from metro_backend.server import Request
from metro_backend.stats.reports import Era
from metro_backend.stats.statistics import Statistics


def render_v1(snapshot: Snapshot, base: str) -> bytes:
    """Render an object of objects and nothing else (contract §0, I1 and I2; fields §2.1)."""
    return json.dumps(
        {
            name: {
                **fields(branch),
                "name": branch.name,
                "url": f"{base}/api/v1/download.php?branch={quote(name, safe='')}",
                "cached_url": release_link(base, branch.artifact.filename),
                "direct_url": branch.artifact.url,
            }
            for name, branch in snapshot.branches.items()
        },
        sort_keys=True,
        separators=(",", ":"),
    ).encode("ascii")


def fields(branch: Branch) -> dict[str, Any]:
    """Return what phones read of a branch, without its links: numbers are strings here."""
    return {
        "version": str(branch.version),
        "build": str(branch.build),
        "by_build": "1" if branch.by_build else "0",
        "stable": branch.stable,
        "description": branch.description,
        "message": branch.message,
        "filename": branch.artifact.filename,
    }


class V1:
    """``/api/v1``."""

    def __init__(
        self,
        questions: Questions,
        links: Links,
        delivery: Delivery,
        statistics: Statistics,
        module: Module | None,
    ) -> None:
        """Take what it answers from; without a module ``?module=`` is 404."""
        self._questions = questions
        self._links = links
        self._delivery = delivery
        self._statistics = statistics
        self._module = module
        self._rendered = Rendered(render_v1)

    @route("/api/v1/branches.php", "GET")
    @route("/api/v1/versions.php", "GET")
    def branches(self, request: Request) -> bytes | Coroutine[Any, Any, bytes]:
        """Tell an app what is newest on every branch; at once, unless this is a cold start."""
        ready = self._questions.ready
        return self._answer(request, ready) if ready else self._first_answer(request)

    async def _first_answer(self, request: Request) -> bytes:
        return self._answer(request, await self._questions.snapshot())

    def _answer(self, request: Request, snapshot: Snapshot) -> bytes:
        if request.method == b"GET":
            self._statistics.update_check()
        page = self._rendered.get(snapshot, self._links.base(request))
        return self._questions.answer(request, snapshot, page, JSON)

    @route("/api/v1/download.php", "GET")
    async def download(self, request: Request) -> bytes | None:
        """Lead a browser to a branch's file; give it to a download manager at once."""
        artifact = await self._wanted(request)
        if artifact is None:
            return text(request, "404 no such branch\n", 404)
        request.setHeader(b"Vary", b"Accept, User-Agent")
        if wants_page(request):
            request.setHeader(b"Cache-Control", b"no-store")
            path = release_link(self._links.near(request), artifact.filename)
            return body(request, download_page(path), HTML)
        return await self._delivery.send_newest(request, artifact)

    async def _wanted(self, request: Request) -> Artifact | None:
        name = argument(request, b"module")
        if name is None:
            branch = await self._questions.branch(argument(request, b"branch") or "")
            return branch.artifact if branch else None
        if self._module is None or name != self._module.name:
            return None
        artifact = await self._module.newest(PATIENCE)
        if artifact is None:
            raise Unready
        return artifact

    @route("/api/v1/statistics.php", "POST")
    def statistics(self, request: Request) -> bytes:
        """Count a report."""
        report(request, self._statistics, Era.V1)
        return empty(request, 200, HTML)


def wants_page(request: Request) -> bool:
    """Tell a browser from a download manager, which would save the page as the app."""
    agent = request.getHeader(b"user-agent") or b""
    if b"DownloadManager" in agent or agent.startswith(b"Dalvik"):
        return False
    return b"text/html" in (request.getHeader(b"accept") or b"").lower()
