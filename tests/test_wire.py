"""The phones against a real server process, byte by byte."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.trial.unittest import TestCase

from tests.doubles.phones import PHONES, UPDATING_PHONES
from tests.doubles.phones.downloads import DownloadManager
from tests.doubles.phones.exchange import SocketExchange, only
from tests.doubles.phones.outcomes import Update, update_in
from tests.doubles.phones.reports import CHECK_KEY, REPORTS
from tests.doubles.phones.visitors import GatsbyPage, LoadBalancer
from tests.doubles.server_process import ServerProcess

reactor: Any = installed_reactor
HOST = "http://mosmetro.example"


class WireTests(TestCase):
    """One server for each test, with the demonstration's content."""

    async def exchange(self) -> SocketExchange:
        """Start a server and return the way to it."""
        server = ServerProcess(self, "--demo")
        await server.start()
        await server.ready()
        host, port = server.url.removeprefix("http://").split(":")
        endpoint = TCP4ClientEndpoint(reactor, host, int(port))
        return SocketExchange(reactor, only(endpoint, "mosmetro.example"))

    async def test_updates(self) -> None:
        """Every phone that looks for updates finds one, and gets its file."""
        exchange = await self.exchange()
        for model in UPDATING_PHONES:
            phone = model(exchange, reactor, base=HOST, version_code=20)
            update = update_in(await phone.check())
            assert isinstance(update, Update), model
            self.assertEqual((update.branch, update.number), ("play", 77))
            await phone.download(update)

    async def test_reports(self) -> None:
        """Every phone gets rid of its report, and every sample is answered as its era needs it."""
        exchange = await self.exchange()
        for model in PHONES:
            await model(exchange, reactor, base=HOST).report()
        for sample in REPORTS:
            headers = [("Content-Type", sample.content_type)] if sample.content_type else []
            answer = await exchange.request(
                sample.method, HOST + sample.path, headers, sample.body, timeout=5
            )
            sample.verify(answer)

    async def test_internet_test(self) -> None:
        """check.php proves the internet by GET and POST, in both protocols, at both roots."""
        exchange = await self.exchange()
        for prefix in ("", "/mosmetro"):
            for method, body in (("GET", b""), ("POST", b"version=1.0-5&TRUE"), ("POST", b"")):
                for version in ("HTTP/1.0", "HTTP/1.1"):
                    answer = await exchange.request(
                        method, f"{HOST}{prefix}/check.php", (), body, timeout=2, version=version
                    )
                    self.assertEqual((answer.status, answer.body), (200, CHECK_KEY + b"<br>"))
                    for header in ("Location", "Set-Cookie"):
                        self.assertIsNone(answer.first(header))

    async def test_resume(self) -> None:
        """The system's download manager goes on where it was cut off."""
        exchange = await self.exchange()
        for android in (4, 24):
            manager = DownloadManager(exchange, android=android)
            await manager.begin(f"{HOST}/api/v2/download/master", lose_after=1_000_000)
            await manager.resume()

    async def test_visitors(self) -> None:
        """The balancer's probe over HTTP/1.0 and the web page of 2017 are content."""
        exchange = await self.exchange()
        for target in ("/", "/?healthcheck"):
            await LoadBalancer(exchange, base=HOST).probe(target)
        self.assertTrue(await GatsbyPage(exchange, base=HOST).load())
