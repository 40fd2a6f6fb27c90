"""The trunk of the service tree, and the log that it brings."""

from __future__ import annotations

import io
import json
import sys

from twisted.application.service import Application, Service
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from metro_backend.log import Brake, JSONObserver, observer
from metro_backend.service import Root, Sequence


class Part(Service):
    """A part that says when it starts and stops."""

    def __init__(self, name: str, said: list[str], ending: Deferred[None] | None = None) -> None:
        self.name = name
        self._said = said
        self._ending = ending

    def startService(self) -> None:
        """Start."""
        self._said.append(f"start {self.name}")
        super().startService()

    def stopService(self) -> Deferred[None] | None:
        """Stop."""
        self._said.append(f"stop {self.name}")
        super().stopService()
        return self._ending


class SequenceTests(SynchronousTestCase):
    """Order."""

    def test_order(self) -> None:
        """Parts start in order, and stop in the reverse one, each once the last has ended."""
        said: list[str] = []
        ending: Deferred[None] = Deferred()
        sequence = Sequence()
        sequence.addService(Part("store", said))
        sequence.addService(Part("web", said, ending))
        sequence.startService()
        stopped = sequence.stopService()
        self.assertEqual(said, ["start store", "start web", "stop web"])
        self.assertNoResult(stopped)
        ending.callback(None)
        self.assertEqual(said[-1], "stop store")
        self.successResultOf(stopped)

    def test_part_that_fails_to_stop(self) -> None:
        """A part that does not stop well does not keep the others from it."""
        said: list[str] = []
        ending: Deferred[None] = Deferred()
        sequence = Sequence()
        sequence.addService(Part("store", said))
        sequence.addService(Part("web", said, ending))
        sequence.startService()
        stopped = sequence.stopService()
        ending.errback(Failure(RuntimeError("stuck")))
        self.successResultOf(stopped)
        self.assertEqual(said[-1], "stop store")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_log(self) -> None:
        """The application gets the observer, which twistd then asks it for."""
        application = Application("x")
        chosen = observer("json")
        Root(chosen).setServiceParent(application)
        self.assertIs(application.getComponent(ILogObserver, None), chosen)

    def test_no_log(self) -> None:
        """Without an observer twistd's own stays."""
        application = Application("x")
        Root(None).setServiceParent(application)
        self.assertIsNone(application.getComponent(ILogObserver, None))


class JSONObserverTests(SynchronousTestCase):
    """One line per event."""

    def lines(self, *events: LogEvent) -> list[dict[str, object]]:
        """Return what events become."""
        out = io.StringIO()
        observe = JSONObserver(out)
        for event in events:
            observe({"log_time": 0.0, "log_level": LogLevel.warn, **event})
        return [json.loads(line) for line in out.getvalue().splitlines()]

    def test_message(self) -> None:
        """The message is formatted, and line ends in it do not break the line."""
        (line,) = self.lines({"log_format": "{a} ё", "a": "x\ny", "log_namespace": "n"})
        self.assertEqual(line["message"], "x\ny ё")
        self.assertEqual((line["level"], line["logger"]), ("warn", "n"))
        self.assertEqual(line["time"], "1970-01-01T00:00:00+00:00")

    def test_failure(self) -> None:
        """A traceback has a field of its own."""
        (line,) = self.lines({"log_format": "x", "log_failure": Failure(ValueError("boom"))})
        self.assertIn("boom", str(line["traceback"]))
        self.assertEqual(line["message"], "x")

    def test_event_that_cannot_be_formatted(self) -> None:
        """It is a line all the same."""
        (line,) = self.lines({"log_format": "{missing.thing}"})
        self.assertTrue(line["message"])

    def test_style(self) -> None:
        """Without a wish the log is JSON where nobody reads it on a terminal."""
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        publisher = LogPublisher(observer(""))
        Logger(observer=publisher).info("hello")
        self.assertEqual(json.loads(out.getvalue())["message"], "hello")


@implementer(ILogObserver)
class Collected:
    """Collects events."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        """Collect."""
        self.texts.append(event["text"] + event["more"])


class BrakeTests(SynchronousTestCase):
    """Repeated warnings."""

    def test_once_a_minute(self) -> None:
        """A warning is let through once a minute, with the number of those held back."""
        clock, collected = Clock(), Collected()
        brake = Brake(Logger(observer=collected), clock)
        for _ in range(5):
            brake.warn("redis", lambda: "away")
        brake.warn("disk", lambda: "full")
        clock.advance(61)
        brake.warn("redis", lambda: "away")
        self.assertEqual(collected.texts, ["away", "full", "away (and 4 more)"])
