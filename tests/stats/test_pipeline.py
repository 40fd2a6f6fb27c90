"""From a phone's bytes to datagrams at a real StatsD listener."""

from __future__ import annotations

import gc
import random
import re
from collections import Counter
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, cast

from twisted.internet import reactor as installed_reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from metro_backend.stats.counters import Vocabulary
from metro_backend.stats.reports import Era
from metro_backend.stats.statistics import Statistics
from metro_backend.stats.statsd import Metrics, TwistedStatsDClient
from metro_backend.store.embedded import EmbeddedStore
from tests.doubles.statsd import StatsDListener
from tests.stats.table import HOST, ROWS, event, queue

reactor = cast(Any, installed_reactor)

MAX_NAMES = 400

WORD = "[A-Za-z0-9_-]{1,64}"

NAME = re.compile(
    rf"(success|captcha|segment|domain|provider|version\.name|version\.code)\.{WORD}"
    rf"|({WORD}\.({WORD}\.{WORD}\.)?)"
    rf"(success\.{WORD}|switch\.{WORD}|override\.{WORD}"
    rf"|(MosMetroV2\.)?(segment\.{WORD}|v3_bypass\.(true|false|null)"
    rf"|banned_before\.(true|false|null))|duration)"
    rf"|report\.other(\.duration)?|report\.(rejected|unusable)\.[a-z_]+"
    rf"|server\.stats\.[a-z_.]+|sentinel"
)
"""Every name that a report may lead to."""

NASTY = [
    "x:1|c\nmosmetro.update.play.77:1000|c",
    "update.play.77:1|c",
    "a|b@c#d\0e",
    "MosMetroV2.success.true",
    "success",
    "update",
    "x" * 10_240,
    "Сокольническая линия",
    "🚇🚇",
    "",
    "null",
    "..",
    "\ud800",
]


CODE = (ModuleType, type, FunctionType, BuiltinFunctionType)


def objects_below(*roots: object, aside: tuple[object, ...]) -> int:
    """Count the objects that can be reached, code and what is to be left aside excepted."""
    seen = {id(each): each for each in aside}
    waiting = list(roots)
    while waiting:
        each = waiting.pop()
        if isinstance(each, MethodType):
            each = each.__self__
        if id(each) in seen or isinstance(each, CODE):
            continue
        seen[id(each)] = each
        waiting.extend(gc.get_referents(each))
    return len(seen)


class PipelineTests(TestCase):
    """`Statistics`, `Metrics` and a client over a real port."""

    timeout = 60

    def setUp(self) -> None:
        self.clock = Clock()
        self.listener = StatsDListener()
        self.listener.start(reactor)
        self.addCleanup(self.listener.stop)
        client = TwistedStatsDClient(
            reactor, reactor, reactor.nameResolver, "127.0.0.1", self.listener.port
        )
        self.metrics = Metrics(self.clock, client)
        self.metrics.service.startService()
        self.addCleanup(self.metrics.service.stopService)

    def make(self, max_names: int = 2000) -> Statistics:
        """Make statistics with a fresh store."""
        self.store = EmbeddedStore(self.clock)
        vocabulary = Vocabulary(
            branches=frozenset({"play", "master", "beta"}), versions=frozenset({"77", "438"})
        )
        return Statistics(
            self.clock,
            self.metrics,
            self.store,
            lambda: vocabulary,
            max_names,
            self.clock.seconds,
        )

    async def settle(self) -> None:
        """Send everything, and wait until it is there."""
        self.metrics.drain()
        self.metrics.increment("sentinel")
        self.metrics.drain()
        before = self.listener.counters["sentinel"]
        await self.listener.until(lambda: self.listener.counters["sentinel"] > before, reactor)

    async def test_table(self) -> None:
        """Every kind of report there has ever been counts exactly what it should."""
        for row in ROWS:
            self.listener.counters.clear()
            self.listener.timers.clear()
            self.make().report(row.era, row.body, HOST)
            await self.settle()
            totals = self.listener.totals()
            self.assertEqual(totals.pop("sentinel"), 1)
            self.assertEqual(totals, dict(Counter(row.counters.split())), row.title)
            self.assertEqual(self.listener.timers, row.timers, row.title)
        self.assertEqual(self.metrics.lost, 0)

    async def test_attack(self) -> None:
        """A flood of invented values stays within bounds, forges nothing and holds no memory."""
        chance = random.Random(5)
        statistics = self.make(MAX_NAMES)

        def value() -> str:
            if chance.random() < 0.3:
                return chance.choice(NASTY)
            return f"v{chance.randrange(10**9)}"

        async def flood(reports: int) -> int:
            for each in range(reports):
                era = chance.choice(list(Era))
                statistics.report(era, self.attack(era, value), value())
                if each % 100 == 0:
                    self.clock.advance(1)
                    await self.settle()
            await self.settle()
            gc.collect()
            return objects_below(statistics, self.metrics, aside=(reactor, self.store))

        await flood(500)
        before = await flood(1500)
        after = await flood(1500)
        self.assertLess(after, before * 1.1)
        self.assertLessEqual(len(self.listener.names - {"sentinel"}), MAX_NAMES)
        self.assertEqual(self.listener.malformed, [])
        for name in self.listener.names:
            self.assertTrue(NAME.fullmatch(name), name)
            self.assertFalse(name.startswith("update."), name)
        totals = self.listener.totals()
        self.assertTrue(totals["report.other"])
        for title in (
            "provider",
            "branch",
            "segment",
            "domain",
            "version_name",
            "captcha",
            "names",
        ):
            self.assertTrue(totals[f"server.stats.folded.{title}"], title)
        self.assertEqual(self.metrics.lost, 0)

        # The real ones still get through.
        self.listener.counters.clear()
        body = b"version_name=2.3.2&version_code=77&build_branch=play&success=true&provider=Enforta"
        statistics.report(Era.V2, body, HOST)
        await self.settle()
        self.assertEqual(self.listener.totals()["play.77.Enforta.success.true"], 1)

    def attack(self, era: Era, value: Any) -> bytes:
        """Make a body of which every field is up to no good."""
        if era is Era.V3:
            came = {name: value() for name in ("provider", "segment", "switch", "success")}
            version = {"branch": value(), "build": value(), "name": value(), "code": value()}
            return queue(event(came, version=version), uuid=value())
        names = (
            "version success captcha segment provider connected version_name version_code "
            "build_branch build_number switch duration"
        )
        fields = [f"{name}={value()}" for name in names.split()]
        if era is Era.V2:
            fields += ["provider=MosMetroV3", "switch=MosMetroV2"]
        return "&".join(fields).encode("utf-8", "surrogatepass")
