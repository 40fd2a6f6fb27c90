"""Answers made of the snapshot, rendered once per snapshot and kept as bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from twisted.web.http import datetimeToString

from metro_backend.api.responses import etag_of
from metro_backend.branches.model import Snapshot
from metro_backend.mirror.mirror import Mirror

Variant = TypeVar("Variant", bound=Hashable)

BASES = 64
"""Renderings that are kept: the base is the client's choice, so their number is bounded."""


@dataclass(frozen=True)
class Page:
    """A ready answer."""

    content: bytes
    etag: bytes
    last_modified: bytes


class Rendered(Generic[Variant]):
    """Renders each (snapshot, variant) once; a variant is what else the bytes depend on."""

    def __init__(self, render: Callable[[Snapshot, Variant], bytes]) -> None:
        """Take the function that makes the bytes."""
        self._render = render
        self._snapshot: Snapshot | None = None
        self._pages: OrderedDict[Variant, Page] = OrderedDict()

    def get(self, snapshot: Snapshot, variant: Variant) -> Page:
        """Return the ready answer, rendering it if it is not there."""
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self._pages.clear()
        page = self._pages.get(variant)
        if page is None:
            content = self._render(snapshot, variant)
            page = self._pages[variant] = Page(
                content, etag_of(content), datetimeToString(snapshot.changed_at)
            )
            if len(self._pages) > BASES:
                self._pages.popitem(last=False)
        return page


def on_shelf(snapshot: Snapshot, mirror: Mirror) -> str:
    """Tell one state of the shelf from another, as far as answers about branches show it."""
    artifacts = (branch.artifact for branch in snapshot.branches.values())
    return "".join((mirror.sha256(artifact) or "-")[:8] for artifact in artifacts)
