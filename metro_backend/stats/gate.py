"""The gate that every value from outside passes on its way into a metric's name.

StatsD, its store and every dashboard pay for each distinct name for a month.
So a name holds only harmless characters, and there is a bound to the values
of each field and to the names in all; what is above is folded, and counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote

MISSING = "null"
"""What the back end of 2017 called a field that was not sent (contract §3.1)."""

OTHER = "other"
"""What a value is called for which there is no room."""

FOLDED = "report.other"
"""The counter of the names for which there is no room."""

FOLDED_TIMER = "report.other.duration"
"""The timer of the names for which there is no room."""

LONGEST_TOKEN = 64

FIRST_WORDS = frozenset(
    {
        "captcha",
        "domain",
        "provider",
        "report",
        "segment",
        "server",
        "success",
        "update",
        "update_check",
        "version",
    }
)
"""What names begin with that is neither provider nor branch; none of those may be called so."""

_INNER_WORDS = frozenset(
    {
        "banned_before",
        "code",
        "duration",
        "false",
        "name",
        "override",
        "switch",
        "true",
        "v3_bypass",
    }
)
_HOUR = 3600
_CACHED = 1024

_LATIN = dict(zip("абвгдеёзийклмнопрстуфыэіґў", "abvgdeeziyklmnoprstufyeigu", strict=True)) | {
    "ж": "zh",
    "х": "kh",
    "ц": "ts",
    "ч": "ch",
    "ш": "sh",
    "щ": "shch",
    "ъ": "",
    "ь": "",
    "ю": "yu",
    "я": "ya",
    "ї": "yi",
    "є": "ye",
}
_TRANSLITERATION = str.maketrans(
    _LATIN | {letter.upper(): latin.capitalize() for letter, latin in _LATIN.items()}
)
_OUTSIDE = re.compile(r"[^A-Za-z0-9_]+")


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What the published branches are called and numbered at the moment."""

    branches: frozenset[str]
    versions: frozenset[str]
    """Version codes and build numbers, in decimal."""


class Field(Enum):
    """Where a value comes from, and how many unknown values of it one hour may bring."""

    SUCCESS = "success", 8
    CAPTCHA = "captcha", 0
    """Known words only: what people typed travels under names that are nearly the same."""
    SEGMENT = "segment", 32
    DOMAIN = "domain", 16
    PROVIDER = "provider", 16
    BRANCH = "branch", 32
    VERSION_NAME = "version_name", 128
    VERSION = "version", 128
    """Version codes and build numbers."""

    def __init__(self, title: str, cap: int) -> None:
        self.title = title
        self.cap = cap


_PROVIDERS = frozenset(
    {
        "Bmstu",
        "Enforta",
        "MAInet",
        "MosMetroV1",
        "MosMetroV2",
        "MosMetroV2WV",
        "MosMetroV2mcc",
        "MosMetroV3",
        "Unknown",
    }
)
_ALWAYS = frozenset({MISSING, OTHER, "unknown"})
_KNOWN: dict[Field, frozenset[str]] = {
    Field.SUCCESS: frozenset({"true", "false", "midsession", "error"}),
    Field.CAPTCHA: _PROVIDERS | {"backdoor", "mcc", "recognized", "entered"},
    Field.SEGMENT: frozenset({"metro", "mcc", "nbn", "aeroexpress", "spb", "metro-ruckus"}),
    # The hosts that apps were ever told (contract §1.0).
    Field.DOMAIN: frozenset(
        {
            "mosmetro-duckdns-org",
            "mosmetro-my-to",
            "mosmetro-us-to",
            "thedrhax-pw",
            "wi-fi-metro-it-com",
            "wi-fi1-metro-it-com",
        }
    ),
    Field.PROVIDER: _PROVIDERS,
    Field.BRANCH: frozenset({"play", "beta", "master"}),
    Field.VERSION_NAME: frozenset(),
    # All releases up to v77: their phones are still out there.
    Field.VERSION: frozenset(str(code) for code in range(78)),
}


def cleaned(value: str) -> str:
    """Return the value in ``[A-Za-z0-9_-]``, at most 64 of them; nothing becomes ``null``.

    A run of other characters becomes one hyphen: 2.3.2 is ``2-3-2`` as ever, and
    master-#258 is ``master-258``, which is how StatsD has always filed it.
    """
    value = value[:LONGEST_TOKEN]
    if not value.isascii():
        value = value.translate(_TRANSLITERATION)
    return _OUTSIDE.sub("-", value)[:LONGEST_TOKEN] or MISSING


class Gate:
    """Turns values into parts of names, and holds values and names to their bounds.

    An eighth of the names is kept for the server's own. Names with a word that
    is not known get at most half, so that no flood of invented values
    crowds out the real ones.
    """

    def __init__(
        self, max_names: int, fold: Callable[[str], None], always: frozenset[str] = frozenset()
    ) -> None:
        """Take the most distinct names of an hour, and whom to tell what was folded.

        `fold` is called with the title of the field, or with ``names``. The names
        in `always` have their place whatever comes.
        """
        self._fold = fold
        self._always = always | {FOLDED, FOLDED_TIMER}
        self._most = max(max_names, 2 * len(self._always))
        self._most_reported = self._most - self._most // 8
        self._most_strange = self._most // 2
        self._known = dict(_KNOWN)
        self._words: frozenset[str] = frozenset()
        self._vocabulary: Vocabulary | None = None
        self._hour = -1
        self._reset()

    def renew(self, seconds: float, vocabulary: Vocabulary) -> None:
        """Learn what is published now; begin anew if another hour has come (UTC Unix seconds)."""
        hour = int(seconds // _HOUR)
        if vocabulary != self._vocabulary:
            self._vocabulary = vocabulary
            branches = {cleaned(name) for name in vocabulary.branches}
            # Phones say feature/x where Jenkins says feature%2Fx.
            branches |= {cleaned(unquote(name)) for name in vocabulary.branches}
            self._known[Field.BRANCH] = _KNOWN[Field.BRANCH] | branches
            self._known[Field.VERSION] = _KNOWN[Field.VERSION] | vocabulary.versions
            self._words = _ALWAYS | FIRST_WORDS | _INNER_WORDS
            self._words = self._words.union(*self._known.values())
            self._forget()
        if hour != self._hour:
            self._hour = hour
            self._reset()

    def token(self, field: Field, value: str | None) -> str:
        """Return the part of a name that stands for this value of the field."""
        if not value:
            return MISSING
        cache = self._cache[field]
        token = cache.get(value)
        if token is None:
            token = self._pass(field, value)
            if token is None:
                self._fold(field.title)
                return OTHER
            if len(cache) < _CACHED and len(value) <= LONGEST_TOKEN:
                cache[value] = token
        return token

    def admit(self, name: str, folded: str = FOLDED) -> str:
        """Return the name of a report's counter, or the one that it is folded into."""
        if name in self._names:
            return name
        strange = not self._words.issuperset(name.split("."))
        if len(self._names) >= self._most_reported or (
            strange and self._strange_names >= self._most_strange
        ):
            self._fold("names")
            return folded
        self._strange_names += strange
        self._names.add(name)
        return name

    def admit_own(self, name: str) -> str:
        """Return the name of a counter of the server's own, or the one it is folded into."""
        if name not in self._names:
            if len(self._names) >= self._most:
                self._fold("names")
                return FOLDED
            self._names.add(name)
        return name

    def _reset(self) -> None:
        self._names = set(self._always)
        self._strange_names = 0
        self._strange: dict[Field, set[str]] = {each: set() for each in Field}
        self._forget()

    def _forget(self) -> None:
        self._cache: dict[Field, dict[str, str]] = {each: {} for each in Field}

    def _pass(self, field: Field, value: str) -> str | None:
        token = cleaned(value)
        if field in (Field.PROVIDER, Field.BRANCH) and token in FIRST_WORDS:
            return None
        if token in self._known[field] or token in _ALWAYS:
            return token
        strange = self._strange[field]
        if token not in strange:
            if len(strange) >= field.cap:
                return None
            strange.add(token)
        return token
