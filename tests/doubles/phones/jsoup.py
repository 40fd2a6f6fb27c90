"""As much of Jsoup as v21-v49 use: unknown elements that nest, attr(), html()."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from html.parser import HTMLParser

_VOID = frozenset(
    re.findall(r"\w+", "area base br col embed hr img input link meta param source track wbr")
)

_SPECIAL = frozenset(
    re.findall(
        r"\w+",
        """address article aside blockquote body button center div dl dt dd fieldset footer form
        h1 h2 h3 h4 h5 h6 header html li main nav ol p pre section table tbody td th tr ul""",
    )
)
"""Open elements that a foreign end tag does not close (HTML, "any other end tag")."""

_SPACE = re.compile(r"[\t\n\f\r ]+")


@dataclass
class Element:
    """A node of the tree."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)

    def attr(self, name: str) -> str:
        """Return an attribute; empty if there is none."""
        return self.attributes.get(name, "")

    def elements(self, tag: str) -> Iterator[Element]:
        """Find all elements of that name below this one, in document order."""
        for child in self.children:
            if isinstance(child, Element):
                if child.tag == tag:
                    yield child
                yield from child.elements(tag)

    def html(self) -> str:
        """Return the inner HTML: entities written out, white space collapsed, trimmed.

        Each `<br>` starts a line, which is how line feeds come through.
        """
        parts: list[str] = []
        for child in self.children:
            if isinstance(child, str):
                parts.append(escape(_SPACE.sub(" ", child), quote=False).replace("\xa0", "&nbsp;"))
            elif child.tag == "br":
                parts.append("\n<br>")
            else:
                attributes = "".join(f' {k}="{escape(v)}"' for k, v in child.attributes.items())
                end = "" if child.tag in _VOID else f"</{child.tag}>"
                parts.append(f"<{child.tag}{attributes}>{child.html()}{end}")
        return "".join(parts).strip()


class _Tree(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Element("body")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in reversed(attrs)}
        element = Element(tag, attributes)
        self.open[-1].children.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if tag == "br":
            self.handle_starttag("br", [])
            return
        for depth in range(len(self.open) - 1, 0, -1):
            found = self.open[depth].tag
            if found == tag:
                del self.open[depth:]
                return
            if found in _SPECIAL:
                return

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parse(text: str) -> Element:
    """Read a page, however broken, and return its body."""
    tree = _Tree()
    tree.feed(text)
    tree.close()
    return tree.open[0]
