"""How a request becomes a report, whichever era's route it came by."""

from __future__ import annotations

from metro_backend.server import Request
from metro_backend.stats.reports import Era
from metro_backend.stats.statistics import Statistics


def report(request: Request, statistics: Statistics, era: Era) -> None:
    """Count the request's body as a report; whatever it holds, the phone has its answer."""
    assert request.content is not None
    host = (request.getHeader(b"host") or b"").decode("latin-1")
    # The first apps put their report into the query of a GET.
    query = request.uri.partition(b"?")[2]
    statistics.report(era, request.content.read() or query, host)
