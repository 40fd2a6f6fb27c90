"""The shipped dashboards: their panels and queries, and Grafana's variables put into them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from e2e.statistics_templates import DIRECTORY

GRAFANA = DIRECTORY / "grafana"

DIRECT = "metro-influxdb"
"""The data source that asks InfluxDB itself."""

SHIFTED = "metro-timeshift"
"""The data source that asks through the Timeshift proxy."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """One query of a panel, or of a dashboard's variable."""

    title: str
    """The dashboard, and the panel or variable."""
    source: str
    """The data source's uid."""
    text: str

    def expanded(self, variables: Mapping[str, Sequence[str]], start: int, end: int) -> str:
        """Put in what Grafana would: a range in Unix milliseconds, and the chosen values.

        Several values become a regular expression, as Grafana does for InfluxQL;
        none mean `All`.
        """
        text = self.text.replace("$timeFilter", f"time >= {start}ms and time <= {end}ms")
        text = text.replace("$__interval", "10s")
        for name in sorted(variables, key=len, reverse=True):
            chosen = "|".join(re.escape(value) for value in variables[name])
            text = text.replace(f"${name}", f"({chosen})" if chosen else ".*")
        return text


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """A dashboard's file."""

    name: str
    """The file's."""
    content: Mapping[str, Any]

    @property
    def panels(self) -> Sequence[Mapping[str, Any]]:
        """The panels, in the file's order."""
        panels: Sequence[Mapping[str, Any]] = self.content["panels"]
        return panels

    @property
    def queries(self) -> Iterator[Query]:
        """Every query of every panel."""
        for panel in self.panels:
            for target in panel["targets"]:
                yield Query(
                    title=f"{self.name}, {panel['title']}, {target['refId']}",
                    source=target["datasource"]["uid"],
                    text=target["query"],
                )

    @property
    def variables(self) -> Mapping[str, Query]:
        """The queries for the values of each variable."""
        return {
            each["name"]: Query(
                title=f"{self.name}, ${each['name']}",
                source=each["datasource"]["uid"],
                text=each["query"],
            )
            for each in self.content["templating"]["list"]
        }


def shipped() -> list[Dashboard]:
    """Read all dashboards."""
    return [
        Dashboard(name=path.name, content=json.loads(path.read_text("utf-8")))
        for path in sorted((GRAFANA / "dashboards").glob("*.json"))
    ]
