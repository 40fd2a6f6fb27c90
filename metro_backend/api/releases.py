"""``/releases``: the mirror, as people and download managers see it."""

from __future__ import annotations

from datetime import UTC, datetime

from metro_backend.api.delivery import Delivery
from metro_backend.api.links import Links, release_link
from metro_backend.api.questions import Questions
from metro_backend.api.responses import HTML, as_json, body, text
from metro_backend.api.routing import route
from metro_backend.api.templating import CONTENT_SECURITY, template
from metro_backend.mirror.mirror import Mirror
from metro_backend.server import Request


class Releases:
    """``/releases/FILE``."""

    def __init__(
        self, questions: Questions, links: Links, mirror: Mirror, delivery: Delivery
    ) -> None:
        """Take the copies and what sends them."""
        self._questions = questions
        self._links = links
        self._mirror = mirror
        self._delivery = delivery
        self._page = template("releases.html")

    @route("/releases/", "GET")
    def files(self, request: Request) -> bytes:
        """List what can be had: a page, or JSON for those who ask for it."""
        base = self._links.base(request)
        files = [
            {
                "name": each.name,
                "branch": each.branch,
                "number": each.number,
                "size": each.size,
                "sha256": each.sha256,
                "date": datetime.fromtimestamp(each.modified, UTC).date().isoformat(),
                "current": each.current,
                "stored": each.stored,
                "url": release_link(base, each.name),
            }
            for each in self._mirror.listing()
        ]
        request.setHeader(b"Vary", b"Accept")
        accept = (request.getHeader(b"accept") or b"").lower()
        if b"application/json" in accept and b"text/html" not in accept:
            return as_json(request, {"files": files})
        request.setHeader(b"Cache-Control", b"no-store")
        request.setHeader(b"Content-Security-Policy", CONTENT_SECURITY)
        return body(request, self._page.render(lang="en", files=files).encode(), HTML)

    @route("/releases/<name>", "GET")
    async def file(self, request: Request, name: str) -> bytes | None:
        """Send a current file, or one that was current not long ago."""
        artifact = self._mirror.find(name)
        if artifact is None:
            # On a cold start nobody knows yet what is current.
            await self._questions.snapshot()
            artifact = self._mirror.find(name)
        if artifact is None:
            return text(request, "404 no such file\n", 404)
        return await self._delivery.send(request, artifact)
