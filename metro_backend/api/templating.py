"""Where the pages' templates are, and how they are filled in: always escaped."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

CONTENT_SECURITY = b"default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""The pages have no script, so none that finds its way in may run."""

_environment = Environment(
    loader=PackageLoader("metro_backend.api"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def template(name: str) -> Template:
    """Return the compiled template of that file name."""
    return _environment.get_template(name)
