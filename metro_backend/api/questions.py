"""What every answer about branches needs: the snapshot, or the right way to say there is none."""

from __future__ import annotations

import time
from collections.abc import Callable

from metro_backend.api.rendered import Page
from metro_backend.api.responses import stable
from metro_backend.branches.catalogue import Catalogue
from metro_backend.branches.model import Branch, Snapshot
from metro_backend.server import Request

PATIENCE = 1.0
"""Seconds that a question waits for the very first list; phones give up after two (contract I8)."""


class Unready(Exception):
    """There is no complete list yet."""


class Questions:
    """Finds the snapshot and its branches for the routes."""

    def __init__(self, catalogue: Catalogue, now: Callable[[], float] = time.time) -> None:
        """Take the catalogue; `now` is UTC Unix time."""
        self._catalogue = catalogue
        self._now = now

    @property
    def ready(self) -> Snapshot | None:
        """The list, if there is one."""
        return self._catalogue.snapshot

    async def snapshot(self) -> Snapshot:
        """Return the list. Raises Unready on a cold start, within `PATIENCE` seconds."""
        snapshot = self._catalogue.snapshot or await self._catalogue.first(PATIENCE)
        if snapshot is None:
            raise Unready
        return snapshot

    async def branch(self, name: str) -> Branch | None:
        """Return the branch of that name. Raises Unready."""
        return (await self.snapshot()).find(name)

    def answer(
        self, request: Request, snapshot: Snapshot, page: Page, content_type: bytes
    ) -> bytes:
        """Answer with a rendering of the list, and say how old the list is.

        Age counts from the last time that every source confirmed the list.
        """
        age = max(0, int(self._now() - snapshot.confirmed_at))
        request.setHeader(b"Age", b"%d" % age)
        request.setHeader(b"Last-Modified", page.last_modified)
        return stable(request, page.content, page.etag, content_type)


def argument(request: Request, name: bytes) -> str | None:
    """Return the first value of a query argument, if it is there and is text."""
    values: list[bytes] = (request.args or {}).get(name, [])
    return values[0].decode("utf-8", "replace") if values else None
