"""Rows 1 and 2: the list of branches, and reports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from unittest import SkipTest

from bench import servers
from bench.measure import Subject, alternate
from bench.servers import PATH, STATS
from bench.stage import Stage
from bench.table import Row

_CONNECTIONS = 32


def questions() -> Iterator[Row]:
    """Compare ``GET /api/v1/branches.php`` with the least that serves the same bytes."""
    with Stage() as stage:
        ours = servers.metro(stage, servers.upstream(stage).url)
        body = stage.file("body.json", ours.branches())
        stage.file("body.headers", json.dumps(ours.fields()).encode())
        resource = servers.bare(stage, "resource", body)
        answer = servers.bare(stage, "answer", body)
        klein = servers.bare(stage, "klein", body)
        made = [
            Subject(name=name, url=program.url + PATH, programs=[program], connections=_CONNECTIONS)
            for name, program in (
                ("the server", ours.program),
                ("a bare twisted.web resource", resource),
                ("one that sends the same header fields", answer),
                ("a bare Klein route", klein),
            )
        ]
        mine, plain, full, routed = made
        try:
            front, workers = servers.old_stack(stage, body, body)
        except SkipTest as reason:
            alternate(stage, *made)
            old = f"not compared: {reason}"
        else:
            stand_in = Subject(
                name="a stand-in for the old stack",
                url=front.url + PATH,
                programs=[front, workers],
                connections=_CONNECTIONS,
            )
            alternate(stage, *made, stand_in)
            old = mine.over(stand_in)
        size = body.stat().st_size
        yield Row(
            work=f"list of branches, {size:,} bytes",
            result=f"{mine.over(plain)}; {mine.rate:,.0f}/s",
            aim="0.9",
            reached=mine.ratio(plain) >= 0.9,
        )
        yield Row(work="", result=mine.over(full))
        yield Row(work="", result=mine.over(routed))
        yield Row(work="", result=old, aim="4 × the real one")


def reports() -> Iterator[Row]:
    """Compare ``POST /api/v2/stats`` with a route that reads the body and answers empty."""
    with Stage() as stage:
        ours = servers.metro(stage, servers.upstream(stage).url)
        body = stage.file("body.json", ours.branches())
        klein = servers.bare(stage, "klein", body)
        mine, routed = (
            Subject(
                name=name,
                url=program.url + STATS,
                programs=[program],
                connections=_CONNECTIONS,
                posts=True,
            )
            for name, program in (
                ("the server", ours.program),
                ("a bare Klein route that reads the body", klein),
            )
        )
        try:
            front, workers = servers.old_stack(stage, body, body)
        except SkipTest as reason:
            alternate(stage, mine, routed)
            old = f"not compared: {reason}"
        else:
            stand_in = Subject(
                name="a stand-in for the old stack",
                url=front.url + STATS,
                programs=[front, workers],
                connections=_CONNECTIONS,
                posts=True,
            )
            alternate(stage, mine, routed, stand_in)
            old = mine.over(stand_in)
        yield Row(
            work="reports",
            result=f"{mine.over(routed)}; {mine.rate:,.0f}/s",
        )
        yield Row(work="", result=old, aim="2.5 × the real one")
