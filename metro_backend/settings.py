"""One frozen `Settings`, from command line > environment > TOML file > defaults.

Nothing below `tap` knows where a value came from. The table `KEYS` is the whole
truth about the keys: the options of ``twistd metro-backend``, the environment
variables and the TOML file are all derived from it.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metro_backend.keys import KEYS, PREFIX, Key


class SettingsError(Exception):
    """A value cannot be used; the message is one line that names the key and what it takes."""


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
