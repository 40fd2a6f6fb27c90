"""What balancers and orchestrators ask."""

from __future__ import annotations

from collections.abc import Callable

from metro_backend.api.responses import text
from metro_backend.api.routing import route
from metro_backend.branches.catalogue import Catalogue
from metro_backend.server import Request


class Health:
    """``/healthz`` and ``/readyz``."""

    def __init__(self, catalogue: Catalogue, draining: Callable[[], bool]) -> None:
        """Take what must be there for the process to be of use."""
        self._catalogue = catalogue
        self._draining = draining

    @route("/healthz", "GET")
    def alive(self, request: Request) -> bytes:
        """Say that the process answers."""
        return text(request, "ok\n")

    @route("/readyz", "GET")
    def ready(self, request: Request) -> bytes:
        """Say whether requests should be sent here."""
        if self._draining():
            return text(request, "draining\n", 503)
        if self._catalogue.snapshot is None:
            return text(request, "no list of branches yet\n", 503)
        return text(request, "ready\n")
