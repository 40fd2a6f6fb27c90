"""Jenkins' tree queries."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metro_backend.demo.tree import DEPTH_LIMIT, Exported, Tree, parse_tree, render


def plain(tree: Tree) -> Any:
    """Show a tree as nested dictionaries, without the parts of lists."""
    return {name: plain(below) for name, below in tree.fields.items()}


def model() -> Exported:
    """Make a little model: a project with two jobs, and a field that fails if it is called."""

    def job(name: str) -> Exported:
        return Exported(
            kind="Job",
            fields={"name": name, "color": "blue", "last": lambda: build(3)},
            brief=("name",),
        )

    def build(number: int) -> Exported:
        return Exported(
            kind="Build",
            fields={"number": number, "previous": lambda: build(number - 1), "sets": [{"a": 1}]},
            hidden={"secret": lambda: [{"x": 1, "y": 2}]},
            brief=("number",),
        )

    return Exported(
        kind="Project",
        fields={"name": "p", "jobs": [job("a"), job("b")], "last": lambda: build(9)},
    )


class ParseTreeTests(SynchronousTestCase):
    """parse_tree()"""

    def test_nested(self) -> None:
        """Names, brackets and commas become a tree."""
        self.assertEqual(
            plain(parse_tree("a,b[c,d[e]],f")),
            {"a": {}, "b": {"c": {}, "d": {"e": {}}}, "f": {}},
        )

    def test_parts(self) -> None:
        """A list's part may be given in four ways."""
        for text, part in (
            ("a{2,5}", slice(2, 5)),
            ("a{2,}", slice(2, None)),
            ("a[b]{,5}", slice(None, 5)),
            ("a{2}", slice(2, 3)),
        ):
            self.assertEqual(parse_tree(text).fields["a"].part, part)

    def test_malformed(self) -> None:
        """What is no tree is refused."""
        for text in (
            "",
            ",",
            "a,",
            "a[",
            "a[]",
            "a]",
            "a[b",
            "a b",
            "a{",
            "a{1,2,3}",
            "a{}",
            "a/b",
        ):
            self.assertRaises(ValueError, parse_tree, text)
        deep = DEPTH_LIMIT + 1
        self.assertRaises(ValueError, parse_tree, "a[" * deep + "a" + "]" * deep)

    @settings(deadline=None)
    @given(st.text(alphabet="ab*,[]{}01 -\u0449", max_size=30))
    @example("[" * 5000)
    @example("a[" * 5000)
    def test_any_text(self, text: str) -> None:
        """Any text gives a tree that can be used, or ValueError."""
        try:
            tree = parse_tree(text)
        except ValueError:
            return
        self.assertEqual(render(model(), tree)["_class"], "Project")


class RenderTests(SynchronousTestCase):
    """render()"""

    def test_no_tree(self) -> None:
        """Without a tree the object is shown with the brief form of what is below it."""
        self.assertEqual(
            render(model()),
            {
                "_class": "Project",
                "name": "p",
                "jobs": [{"_class": "Job", "name": "a"}, {"_class": "Job", "name": "b"}],
                "last": {"_class": "Build", "number": 9},
            },
        )

    def test_tree(self) -> None:
        """A tree reaches as deep as it says, and what it does not know is left out."""
        tree = parse_tree("jobs[name,last[number,previous[number],sets[a]],nothing]{1}")
        self.assertEqual(
            render(model(), tree),
            {
                "_class": "Project",
                "jobs": [
                    {
                        "_class": "Job",
                        "name": "b",
                        "last": {
                            "_class": "Build",
                            "number": 3,
                            "previous": {"_class": "Build", "number": 2},
                            "sets": [{"a": 1}],
                        },
                    }
                ],
            },
        )

    def test_bare_object(self) -> None:
        """An object that is named without its fields shows only its class."""
        self.assertEqual(
            render(model(), parse_tree("last")), {"_class": "Project", "last": {"_class": "Build"}}
        )

    def test_star(self) -> None:
        """A star stands for every field of its level."""
        shown = render(model(), parse_tree("last[*]"))["last"]
        self.assertEqual(set(shown), {"_class", "number", "previous", "sets", "secret"})

    def test_hidden(self) -> None:
        """A hidden field is shown to a tree that names it."""
        shown = render(model(), parse_tree("last[secret[x]]"))
        self.assertEqual(shown["last"]["secret"], [{"x": 1}])
