"""The documentation says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from metro_backend.api.routing import routes_of
from metro_backend.api.surface import areas
from metro_backend.keys import KEYS
from tests.doubles.app import AppTestCase

ROOT = Path(__file__).resolve().parents[1]


class ConfigurationTests(SynchronousTestCase):
    """``docs/configuration.md``."""

    def test_table(self) -> None:
        """Its table has every key with its default and meaning, and no other."""
        text = (ROOT / "docs" / "configuration.md").read_text()
        rows = re.findall(r"^\| `(MOSMETRO_\w+)` \| `(.*?)` \| (.*?) \|$", text, re.M)
        wanted = [
            (
                key.variable,
                key.default or "empty",
                key.meaning + (" (secret)" if key.secret else ""),
            )
            for key in KEYS
        ]
        self.assertEqual(rows, wanted)


class RoutesTests(AppTestCase):
    """``docs/api.md``."""

    environ = {"admin": "true", "admin_password": "s3cret"}

    def test_every_route(self) -> None:
        """It names every route that there is."""
        text = (ROOT / "docs" / "api.md").read_text()
        for area in areas(self.app.settings, self.app.parts):
            for route, _ in routes_of(area):
                path = route.rule.replace("<path:name>", "NAME").replace("<name>", "FILE")
                self.assertIn(path, text)


class LinksTests(SynchronousTestCase):
    """All pages."""

    def test_targets(self) -> None:
        """Every relative link leads to a file that is there."""
        for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
            for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
                self.assertTrue((page.parent / target).exists(), f"{page.name}: {target}")
