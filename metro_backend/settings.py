"""One frozen `Settings`, from command line > environment > TOML file > defaults.

Nothing below `tap` knows where a value came from. The table `KEYS` is the whole
truth about the keys: the options of ``twistd metro-backend``, the environment
variables and the TOML file are all derived from it.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PREFIX = "MOSMETRO_"


class SettingsError(Exception):
    """A value cannot be used; the message is one line that names the key and what it takes."""


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
        case "false" | "0" | "no" | "off" | "":
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
    Key("mirror_hosts", "", _words, "more hosts that builds may come from"),
    Key("sendfile", "", _sendfile, "x-accel:/PATH/ hands files to an NGINX in front"),
    Key("stats_max_names", "2000", _whole(100, 10**6, "names"), "metric names per hour"),
    Key("drain", "8", _whole(0, 3600, "seconds"), "how long SIGTERM waits for requests"),
    Key("log", "", _log, "text or json; default text on a terminal, else json"),
)

_BY_NAME = {key.name: key for key in KEYS}

ALIASES = {
    "CONFIG_ADMIN": "admin",
    "CONFIG_ADMIN_USERNAME": "admin_username",
    "CONFIG_ADMIN_PASSWORD": "admin_password",
    "CONFIG_REDIS": "redis",
    "CONFIG_STATSD": "statsd",
    "CONFIG_STATSD_PREFIX": "statsd_prefix",
}
"""Names of October 2017 (contract §4); the new name wins."""

RETIRED = {"MOSMETRO_METRICS_PORT", "MOSMETRO_SQL"}
"""Names of later eras whose features are gone."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the server was told; see `KEYS` for the meaning and unit of each field."""

    listen: tuple[str, ...]
    state_dir: Path
    public_url: str
    trusted_proxies: tuple[str, ...]
    redis: str
    statsd: tuple[str, int] | None
    statsd_prefix: str
    github_api: str
    github_user: str
    github_repo: str
    github_beta: bool
    github_token: str
    github_module_repo: str
    jenkins_url: str
    jenkins_project: str
    jenkins_private_branches: bool
    jenkins_user: str
    jenkins_token: str
    branches_stable: tuple[str, ...]
    branches_ttl: int
    admin: bool
    admin_username: str
    admin_password: str
    github_webhook_secret: str
    notify_token: str
    mirror_ttl: int
    mirror_quota: int
    mirror_keep: int
    mirror_hosts: tuple[str, ...]
    sendfile: str
    stats_max_names: int
    drain: int
    log: str

    def __repr__(self) -> str:
        """Keep secrets out of tracebacks."""
        return "<Settings>"


@dataclass(frozen=True)
class Loaded:
    """Settings, and what the operator should be told about them."""

    settings: Settings
    warnings: tuple[str, ...]


def load(command_line: Mapping[str, str], environ: Mapping[str, str], config: str = "") -> Loaded:
    """Read every key from the first layer that has it.

    Args:
        command_line: values by key name, only those that were given.
        environ: the environment.
        config: path of a TOML file; by default ``MOSMETRO_CONFIG``.

    Raises:
        SettingsError: naming the first key that cannot be used.
    """
    warnings = _unknown_variables(environ)
    path = config or environ.get(f"{PREFIX}CONFIG", "")
    file = _read_toml(path, warnings) if path else {}
    values: dict[str, Any] = {}
    for key in KEYS:
        text, origin = _find(key, command_line, environ, file)
        try:
            values[key.name] = key.read(text)
        except ValueError as error:
            shown = "" if key.secret or key.name == "redis" else f", not {text!r}"
            raise SettingsError(f"{origin} {error}{shown}") from None
    values["state_dir"] = Path(values["state_dir"] or environ.get("STATE_DIRECTORY") or "var")
    settings = Settings(**values)
    _check(settings)
    return Loaded(settings, tuple(warnings))


def _find(
    key: Key,
    command_line: Mapping[str, str],
    environ: Mapping[str, str],
    file: Mapping[str, str],
) -> tuple[str, str]:
    """Return the key's text, and what to call it in an error."""
    if key.name in command_line:
        return command_line[key.name], f"--{key.option}"
    names = [key.variable, *(old for old, new in ALIASES.items() if new == key.name)]
    for name in names:
        if name in environ:
            return environ[name], name
        if f"{name}_FILE" in environ:
            return _read_secret(f"{name}_FILE", environ[f"{name}_FILE"]), f"{name}_FILE"
    if key.name in file:
        return file[key.name], f"{key.name} in the configuration file"
    if f"{key.name}_file" in file:
        origin = f"{key.name}_file in the configuration file"
        return _read_secret(origin, file[f"{key.name}_file"]), origin
    return key.default, key.variable


def _read_secret(origin: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise SettingsError(f"{origin} takes a readable file; {path!r}: {reason}") from None


def _read_toml(path: str, warnings: list[str]) -> dict[str, str]:
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"configuration file {path!r}: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"configuration file {path!r}: {error}") from None
    values: dict[str, str] = {}
    for name, value in table.items():
        if name.removesuffix("_file") not in _BY_NAME and name not in _BY_NAME:
            warnings.append(f"{name} in the configuration file is unknown{_suggest(name)}")
        elif isinstance(value, bool):
            values[name] = "true" if value else "false"
        elif isinstance(value, (str, int)):
            values[name] = str(value)
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            values[name] = " ".join(value)
        else:
            raise SettingsError(
                f"{name} in the configuration file takes text, a number, true, false or a list"
            )
    return values


def _unknown_variables(environ: Mapping[str, str]) -> list[str]:
    known = {f"{PREFIX}CONFIG"}
    for key in KEYS:
        known |= {key.variable, f"{key.variable}_FILE"}
    warnings = []
    for name in sorted(environ):
        if name in RETIRED:
            warnings.append(f"{name} has no meaning any more")
        elif name.startswith(PREFIX) and name not in known:
            warnings.append(f"{name} is unknown{_suggest(name.removeprefix(PREFIX).lower())}")
    return warnings


def _suggest(name: str) -> str:
    close = difflib.get_close_matches(name, list(_BY_NAME), 1)
    return f"; did you mean {_BY_NAME[close[0]].variable}?" if close else ""


def _check(settings: Settings) -> None:
    if settings.admin and settings.admin_password in ("", "admin"):
        raise SettingsError(
            f"{PREFIX}ADMIN needs {PREFIX}ADMIN_PASSWORD, and one that is not 'admin'"
        )
    if not settings.github_user and not settings.jenkins_url:
        raise SettingsError(f"{PREFIX}GITHUB_USER and {PREFIX}JENKINS_URL cannot both be empty")
    if settings.github_user and not (settings.github_api and settings.github_repo):
        raise SettingsError(f"{PREFIX}GITHUB_USER needs {PREFIX}GITHUB_API and _REPO")
    if settings.jenkins_url and not settings.jenkins_project:
        raise SettingsError(f"{PREFIX}JENKINS_URL needs {PREFIX}JENKINS_PROJECT")
