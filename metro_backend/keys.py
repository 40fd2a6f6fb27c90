"""Every configuration key: its default, its meaning, and what it takes.

The options of ``twistd metro-backend``, the environment variables and the TOML
file are all derived from this one table.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

PREFIX = "MOSMETRO_"


@dataclass(frozen=True)
class Key:
    """One key: ``MOSMETRO_NAME`` in the environment, ``name`` in TOML, ``--name`` as an option."""

    name: str
    default: str
    read: Callable[[str], Any]
    """Reads the text; its ValueError says what the key takes."""
    meaning: str
    secret: bool = False
    """Never an option of the command line, which every user of the machine can read."""

    @property
    def variable(self) -> str:
        """The environment variable."""
        return PREFIX + self.name.upper()

    @property
    def option(self) -> str:
        """The long option without its dashes."""
        return self.name.replace("_", "-")


def _text(value: str) -> str:
    if any(ord(c) < 32 for c in value):
        raise ValueError("takes one line of text")
    return value


def _flag(value: str) -> bool:
    # Old deployments wrote exactly `true`; anything else that people write is understood as well.
    match value.strip().lower():
        case "true" | "1" | "yes" | "on":
            return True
        case "false" | "0" | "no" | "off":
            return False
    raise ValueError("takes true or false")


def _whole(least: int, most: int, unit: str) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", value) or not least <= int(value) <= most:
            raise ValueError(f"takes a whole number of {unit} from {least} to {most}")
        return int(value)

    return read


_UNITS = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "tb": 1000**4} | {
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
    "tib": 1024**4,
}


def _size(value: str) -> int:
    match = re.fullmatch(r"([0-9]{1,15})\s*([A-Za-z]*)", value.strip())
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError("takes a size, such as 2 GiB or 500 MB")
    return int(match[1]) * _UNITS[match[2].lower()]


def _words(value: str) -> tuple[str, ...]:
    return tuple(_text(value).split())


def _some_words(value: str) -> tuple[str, ...]:
    words = _words(value)
    if not words:
        raise ValueError("takes at least one word")
    return words


def _url(value: str) -> str:
    if value == "":
        return ""
    if re.search(r"[\s\"'<>\\]", value):
        raise ValueError("takes an http or https URL, without spaces and quotes")
    try:
        parts = urlsplit(_text(value))
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise ValueError("takes an http or https URL without a query")
    if parts.username or parts.password:
        raise ValueError("takes a URL without a name or password in it; use the keys for those")
    return value.rstrip("/")


def _hosts(value: str) -> tuple[str, ...]:
    words = _words(value)
    if not all(re.fullmatch(r"\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", word) for word in words):
        raise ValueError("takes host names, separated by spaces; .example.org is all below it")
    return words


def _segment(value: str) -> str:
    if value and not re.fullmatch(r"[A-Za-z0-9._-]+", value):
        raise ValueError("takes a name of letters, digits, dots, dashes and underscores")
    return value


def _addresses(value: str) -> tuple[str, ...]:
    words = _words(value)
    for word in words:
        try:
            ipaddress.ip_network(word, strict=False)
        except ValueError:
            raise ValueError("takes IP addresses or networks, separated by spaces") from None
    return words


def _host_port(value: str) -> tuple[str, int] | None:
    if value == "":
        return None
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?", value)
    if match is None or not 0 < int(match[2] or 8125) < 65536:
        raise ValueError("takes host or host:port")
    return match[1].strip("[]"), int(match[2] or 8125)


def _log(value: str) -> str:
    if value not in ("", "text", "json"):
        raise ValueError("takes text or json")
    return value


def _prefix(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", value):
        raise ValueError("takes dotted names of letters, digits, dashes and underscores")
    return value


def _sendfile(value: str) -> str:
    if value and not re.fullmatch(r"x-accel:/[A-Za-z0-9/_-]*/", value):
        raise ValueError("takes x-accel:/PATH/, the internal location of an NGINX in front")
    return value


_DAY = 86400

KEYS: tuple[Key, ...] = (
    Key("listen", "tcp:8000", _some_words, "Twisted endpoints to serve HTTP on"),
    Key("state_dir", "", _text, "shelf and last snapshot; default $STATE_DIRECTORY or ./var"),
    Key("public_url", "", _url, "base of published links; empty = from the request"),
    Key("trusted_proxies", "127.0.0.1 ::1", _addresses, "peers whose X-Forwarded-* count"),
    Key("redis", "", _text, "host, host:port, redis://[:password@]host:port, unix:///path"),
    Key("statsd", "", _host_port, "host or host:port; empty = counters stay in the process"),
    Key("statsd_prefix", "mosmetro", _prefix, "first part of every metric name"),
    Key("github_api", "https://api.github.com", _url, "base URL of GitHub's API"),
    Key("github_user", "mosmetro-android", _segment, "owner of the repository; empty = no GitHub"),
    Key("github_repo", "mosmetro-android", _segment, "repository with the releases"),
    Key("github_beta", "false", _flag, "publish GitHub's newest release as the branch beta"),
    Key("github_token", "", _text, "raises GitHub's limit of calls", secret=True),
    Key(
        "github_module_repo",
        "module-captcha-recognition",
        _segment,
        "repository of ?module=captcha_recognition; empty = none",
    ),
    Key("jenkins_url", "https://jenkins.thedrhax.pw", _url, "base URL; empty = no Jenkins"),
    Key("jenkins_project", "mosmetro-android-pipeline", _segment, "multibranch project"),
    Key("jenkins_private_branches", "true", _flag, "true hides branches that start with _"),
    Key("jenkins_user", "", _text, "name for Jenkins' API"),
    Key("jenkins_token", "", _text, "token for Jenkins' API", secret=True),
    Key("branches_stable", "play beta master", _words, "branches shown as stable"),
    Key("branches_ttl", "21600", _whole(1, 30 * _DAY, "seconds"), "refresh without notice"),
    Key("admin", "false", _flag, "turn /api/admin on"),
    Key("admin_username", "admin", _text, "name for /api/admin"),
    Key("admin_password", "", _text, "password for /api/admin", secret=True),
    Key("github_webhook_secret", "", _text, "empty = no /api/notify/github", secret=True),
    Key("notify_token", "", _text, "empty = no /api/notify/jenkins", secret=True),
    Key("mirror_ttl", str(7 * _DAY), _whole(1, 3650 * _DAY, "seconds"), "keep unused builds"),
    Key("mirror_quota", "2 GiB", _size, "bytes of builds on disk"),
    Key("mirror_keep", "3", _whole(0, 1000, "builds"), "superseded builds kept per branch"),
    Key("mirror_hosts", "", _hosts, "more hosts that builds may come from"),
    Key("sendfile", "", _sendfile, "x-accel:/PATH/ hands files to an NGINX in front"),
    Key("stats_max_names", "2000", _whole(100, 10**6, "names"), "metric names per hour"),
    Key("drain", "8", _whole(0, 3600, "seconds"), "how long SIGTERM waits for requests"),
    Key("log", "", _log, "text or json; default text on a terminal, else json"),
)
