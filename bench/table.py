"""What was measured, beside what is aimed at."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

_RESULT_WIDTH = 66


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    work: str
    result: str
    aim: str = ""
    """What is to be reached, in words; empty if nothing is."""
    reached: bool | None = None
    """None where there is no aim, or nothing was measured."""


def render(rows: Iterable[Row]) -> str:
    """Lay the rows out for a terminal, the head included."""
    lines = [("work", "result", "aim", "")]
    for row in rows:
        mark = {None: "", True: "reached", False: "missed"}[row.reached]
        wrapped = textwrap.wrap(row.result, _RESULT_WIDTH) or [""]
        lines.append((row.work, wrapped[0], row.aim, mark))
        lines += [("", rest, "", "") for rest in wrapped[1:]]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
