"""Two clients that are no phones: the load balancer, and the web page of 2017."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.doubles.phones.exchange import Exchange
from tests.doubles.phones.failures import PageBroken, PhoneCutOff


class LoadBalancer:
    """Asks over HTTP/1.0, without Host, and waits 2 s (contract §1.1)."""

    def __init__(self, exchange: Exchange, *, base: str = "http://mosmetro.example") -> None:
        """Take a way to the server that speaks HTTP/1.0: a `SocketExchange`."""
        self._exchange = exchange
        self._base = base

    async def probe(self, target: str = "/?healthcheck") -> None:
        """Ask once; the first years' target was ``/``. Raises PhoneHung, PhoneCutOff."""
        answer = await self._exchange.request(
            "GET", self._base + target, (), timeout=2.0, version="HTTP/1.0"
        )
        if answer.status != 200:
            raise PhoneCutOff(f"{target}: status {answer.status} takes the server out of service")


@dataclass(frozen=True, kw_only=True)
class Card:
    """One branch as the page shows it."""

    name: str
    number: str
    message: str
    url: str
    release: str | None
    """Link to the release, for a branch that counts versions."""


class GatsbyPage:
    """Fetches branches.php from another origin (contract §1.1)."""

    releases = "https://github.example/mosmetro-android/mosmetro-android/releases/tag/"

    def __init__(
        self,
        exchange: Exchange,
        *,
        base: str = "http://mosmetro.example",
        origin: str = "https://page.example",
    ) -> None:
        """Take the way to the server, its base URL, and the page's own origin."""
        self._exchange = exchange
        self._url = f"{base}/api/v1/branches.php"
        self._origin = origin

    async def load(self) -> tuple[Card, ...]:
        """Show the branches. Raises PageBroken."""
        headers = (
            ("Origin", self._origin),
            ("Accept", "*/*"),
            ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:57.0) Gecko/20100101 Firefox/57.0"),
        )
        answer = await self._exchange.request("GET", self._url, headers, timeout=60.0)
        allowed = answer.headers.getRawHeaders("Access-Control-Allow-Origin") or []
        if allowed not in (["*"], [self._origin]):
            raise PageBroken(f"Access-Control-Allow-Origin: {allowed}")
        try:
            branches = json.loads(answer.text)
        except ValueError:
            raise PageBroken(f"status {answer.status} without JSON") from None
        if not isinstance(branches, dict):
            raise PageBroken("no object of branches")
        return tuple(self._card(branch) for branch in branches.values())

    def _card(self, branch: object) -> Card:
        if not isinstance(branch, dict):
            raise PageBroken(f"a branch that is no object: {branch!r}")

        def text(name: str) -> str:
            value = branch.get(name)
            if not isinstance(value, str):
                raise PageBroken(f"{name} is {value!r} on the page")
            return value

        by_build = text("by_build") == "1"
        return Card(
            name=text("name"),
            number=text("build" if by_build else "version"),
            message=text("message"),
            url=text("url"),
            release=None if by_build else self.releases + text("version"),
        )
