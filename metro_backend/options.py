"""What ``twistd metro-backend`` takes on its command line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.logger import ILogObserver
from twisted.python import usage

from metro_backend import __version__, settings
from metro_backend.keys import KEYS
from metro_backend.log import observer
from metro_backend.settings import Settings
from metro_backend.store.location import RedisLocation


class Options(usage.Options):
    """What ``twistd metro-backend`` takes; every key can also come from elsewhere."""

    longdesc = (
        "Every option that takes a value is also an environment variable: --state-dir is "
        "MOSMETRO_STATE_DIR. Secrets are variables only. See docs/configuration.md."
    )
    optParameters: ClassVar[list[list[str | None]]] = [
        ["config", "c", None, "TOML file with further settings"],
        *(
            [key.option, None, None, f"{key.meaning} [default: {key.default or 'empty'}]"]
            for key in KEYS
            if not key.secret
        ),
    ]
    optFlags: ClassVar[list[list[str | None]]] = [
        ["demo", None, "serve a stand-in GitHub and Jenkins of our own"],
        ["verify-shelf", None, "read every kept build again, report, and exit"],
    ]

    loaded: settings.Loaded

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """Take the environment that settings are read from."""
        super().__init__()
        self._environ = os.environ if environ is None else environ

    def opt_version(self) -> None:
        """Print this server's version and exit."""
        print(f"metro-backend {__version__}")
        raise SystemExit(0)

    def postOptions(self) -> None:
        """Read the settings now, so that a wrong one ends the start with one line."""
        given = {
            key.name: self[key.option]
            for key in KEYS
            if not key.secret and self[key.option] is not None
        }
        try:
            self.loaded = settings.load(given, self._environ, self["config"] or "")
            if self.loaded.settings.redis:
                RedisLocation.parse(self.loaded.settings.redis)
            from twisted.internet import reactor

            endpoints(self.loaded.settings, reactor)
        except settings.SettingsError as error:
            raise usage.UsageError(str(error)) from None
        except ValueError as error:
            raise usage.UsageError(f"MOSMETRO_REDIS {error}") from None

    def log_observer(self) -> ILogObserver | None:
        """Choose the process's log, unless twistd was told of another one."""
        twistd = getattr(self, "parent", None) or {}
        if twistd.get("logger") or twistd.get("syslog"):
            return None
        logfile = twistd.get("logfile")
        if not logfile and not twistd.get("nodaemon", True):
            logfile = "twistd.log"
        return observer(self.loaded.settings.log, logfile)


def endpoints(chosen: Settings, reactor: Any) -> list[IStreamServerEndpoint]:
    """Read MOSMETRO_LISTEN. Raises UsageError."""
    for each in chosen.listen:
        port = re.match(r"(?:tcp6?|ssl):(\d+)", each)
        if port is not None and int(port[1]) > 65535:
            raise usage.UsageError(f"MOSMETRO_LISTEN takes ports up to 65535, not {port[1]}")
    try:
        return [serverFromString(reactor, each) for each in chosen.listen]
    except (ValueError, LookupError, TypeError, OSError) as error:
        raise usage.UsageError(f"MOSMETRO_LISTEN takes Twisted endpoints: {error}") from None
