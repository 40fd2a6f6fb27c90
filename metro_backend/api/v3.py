"""``/api/v3``: reports since November 2022."""

from __future__ import annotations

from metro_backend.api.reporting import report
from metro_backend.api.responses import HTML, empty
from metro_backend.api.routing import route
from metro_backend.server import Request
from metro_backend.stats.reports import Era
from metro_backend.stats.statistics import Statistics


class V3:
    """``/api/v3``."""

    def __init__(self, statistics: Statistics) -> None:
        """Take what counts."""
        self._statistics = statistics

    @route("/api/v3/stats", "POST")
    def stats(self, request: Request) -> bytes:
        """Count a queue of events; anything but exactly 200 makes the app send it for ever."""
        report(request, self._statistics, Era.V3)
        return empty(request, 200, HTML)
