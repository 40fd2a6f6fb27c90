"""How a build's bytes reach whoever asked, whichever route they came by."""

from __future__ import annotations

import re

from metro_backend.api.responses import unavailable
from metro_backend.branches.model import Artifact
from metro_backend.mirror.errors import Unavailable
from metro_backend.mirror.mirror import Mirror
from metro_backend.mirror.responder import FOREVER, Responder
from metro_backend.server import Request

_ETAG = re.compile(rb'"([^"]*)"')


class Delivery:
    """Sends builds: from the shelf, from a running fill, or not yet."""

    def __init__(self, mirror: Mirror, responder: Responder) -> None:
        """Take the copies and what sends them."""
        self._mirror = mirror
        self._responder = responder

    async def send(self, request: Request, artifact: Artifact) -> bytes | None:
        """Send the artifact's file and finish the request, or say when to come again."""
        return await self._serve(request, artifact, FOREVER)

    async def send_newest(self, request: Request, artifact: Artifact) -> bytes | None:
        """Send a branch's newest file, or the older one that a half-done download began with.

        The address of a branch stays while its build changes; a download manager
        that goes on with `If-Match` or `If-Range` must get the bytes it began with.
        """
        wanted = b" ".join(request.getHeader(name) or b"" for name in (b"if-match", b"if-range"))
        tags = {b'"%b"' % tag for tag in _ETAG.findall(wanted)}
        if tags and artifact.etag not in tags:
            artifact = self._mirror.tagged(artifact.branch, tags) or artifact
        return await self._serve(request, artifact, b"no-cache")

    async def _serve(
        self, request: Request, artifact: Artifact, cache_control: bytes
    ) -> bytes | None:
        try:
            await self._responder.serve(
                request, artifact, self._mirror, cache_control=cache_control
            )
        except Unavailable as error:
            return unavailable(request, error.retry_after, code=error.status)
        return None
