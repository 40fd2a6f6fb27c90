"""What a browser makes of the page that leads to a file: its script, or its link."""

from __future__ import annotations

import json
import re

from tests.doubles.phones import jsoup
from tests.doubles.phones.failures import PageBroken

_REPLACE = re.compile(r"window\.location\.replace\(\s*")
_STRING = re.compile(r"""("(?:[^"\\\n\r]|\\.)*"|'(?:[^'\\\n\r]|\\.)*')\s*\)""")


def way_on(text: str, *, script: bool) -> str:
    """Return the URL that a page leads to, by its script or else by its first link.

    Raises PageBroken if there is none, or if the script does not parse.
    """
    page = jsoup.parse(text)
    if not script:
        for link in page.elements("a"):
            if link.attr("href"):
                return link.attr("href")
        raise PageBroken(f"no link on the page: {text[:200]!r}")
    for element in page.elements("script"):
        source = "".join(child for child in element.children if isinstance(child, str))
        start = _REPLACE.search(source)
        if start is not None:
            return _string(source[start.end() :])
    raise PageBroken(f"no script that leads on: {text[:200]!r}")


def _string(source: str) -> str:
    """Read a string literal of JavaScript that is the only argument of a call."""
    match = _STRING.match(source)
    if match is None:
        raise PageBroken(f"a syntax error in the script: {source[:80]!r}")
    literal = match[1]
    inner = literal[1:-1]
    if literal[0] == "'":
        inner = inner.replace("\\'", "'").replace('"', '\\"')
    try:
        return str(json.loads(f'"{inner}"'))
    except ValueError:
        raise PageBroken(f"a string that no browser reads: {literal[:80]!r}") from None
