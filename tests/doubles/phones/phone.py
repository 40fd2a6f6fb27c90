"""What all phones have in common: a server, an HTTP library, and reports to send."""

from __future__ import annotations

from typing import ClassVar

from twisted.internet.interfaces import IReactorTime

from tests.doubles.phones.exchange import Exchange
from tests.doubles.phones.reports import reports_of
from tests.doubles.phones.transport import Reply, Transport, send


class Phone:
    """One installed app."""

    era: ClassVar[str]
    """Whose sample reports it sends."""
    transport: ClassVar[Transport]
    prefix: ClassVar[str] = ""
    """Compiled into the app."""

    def __init__(
        self, exchange: Exchange, clock: IReactorTime, *, base: str = "http://mosmetro.example"
    ) -> None:
        """Take the way to the server, the phone's clock, and the base URL without the prefix."""
        self._exchange = exchange
        self._clock = clock
        self._base = base

    async def report(self) -> None:
        """Send every report of the era and read the answers.

        Raises:
            PhoneOffline: if the app would take itself for offline (v4-v20).
            ReportStuck: if the app would send a report again and again.
            PhoneFailure: as `transport.send`.
        """
        for sample in reports_of(self.era):
            reply = await self._send(sample.method, sample.path, sample.body, sample.content_type)
            sample.satisfy(reply.answer)

    async def _send(
        self, method: str, path: str, body: bytes = b"", content_type: str | None = None
    ) -> Reply:
        url = self._base + path
        return await send(self._exchange, self.transport, method, url, body, content_type)
