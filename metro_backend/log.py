"""The log: one line per event, for people or as JSON, and a brake for repeated warnings."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO

from twisted.internet.interfaces import IReactorTime
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    textFileLogObserver,
)
from twisted.python.logfile import LogFile
from zope.interface import implementer


def observer(style: str, logfile: str | None = None) -> ILogObserver:
    """Make the observer for the whole process.

    Args:
        style: ``text``, ``json``, or empty for text on a terminal and JSON elsewhere.
        logfile: a path instead of standard output; opened now, rotated by size.

    Standard output is taken now, before Twisted redirects it into the log.
    """
    out: Any = sys.stdout if logfile in (None, "", "-") else LogFile.fromFullPath(logfile)
    if not style:
        style = "text" if getattr(out, "isatty", bool)() else "json"
    chosen = textFileLogObserver(out) if style == "text" else JSONObserver(out)
    quiet = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info)
    # These report each connection at info level; one line per request is enough.
    for noisy in (
        "twisted.web.client",
        "twisted.internet.protocol",
        "twisted.internet.tcp",
        "txredisapi",
    ):
        quiet.setLogLevelForNamespace(noisy, LogLevel.warn)
    return FilteringLogObserver(chosen, [quiet])


@implementer(ILogObserver)
class JSONObserver:
    """Writes each event as one JSON object on one line, and flushes it."""

    def __init__(self, out: TextIO) -> None:
        """Take the file to write to."""
        self._out = out

    def __call__(self, event: LogEvent) -> None:
        """Write the event; one that cannot be formatted is still one line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(event["log_time"], UTC).isoformat(),
            "level": event["log_level"].name if event.get("log_level") else "info",
            "logger": event.get("log_namespace", "-"),
            "message": eventAsText(
                event, includeTraceback=False, includeTimestamp=False, includeSystem=False
            ),
        }
        failure = event.get("log_failure")
        if failure is not None:
            line["traceback"] = failure.getTraceback()
        self._out.write(json.dumps(line, ensure_ascii=False, default=repr) + "\n")
        self._out.flush()


class Brake:
    """Lets a repeated warning through at most once a minute per key, with what was held back."""

    def __init__(self, log: Logger, clock: IReactorTime, seconds: float = 60.0) -> None:
        """Take the logger to write to."""
        self._log = log
        self._clock = clock
        self._seconds = seconds
        self._last: dict[str, tuple[float, int]] = {}

    def warn(self, key: str, message: Callable[[], str]) -> None:
        """Log the message unless the key had its turn in the last minute."""
        held = self.allow(key)
        if held is not None:
            more = f" (and {held} more)" if held else ""
            # Not under the name `message`, which a legacy observer would overwrite.
            self._log.warn("{text}{more}", text=message(), more=more)

    def allow(self, key: str) -> int | None:
        """Return how many were held back since the last one; None if this one must be, too.

        Keys are constants of the caller, so their number is bounded.
        """
        now = self._clock.seconds()
        last, held = self._last.get(key, (float("-inf"), 0))
        # A clock that was set back must not silence us until it catches up.
        if 0 <= now - last < self._seconds:
            self._last[key] = (last, held + 1)
            return None
        self._last[key] = (now, 0)
        return held
