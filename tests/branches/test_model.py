"""The values of the catalogue: what is written can be read again, and nothing else."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metro_backend.branches.model import (
    Artifact,
    Branch,
    Snapshot,
    SourceState,
    published_filename,
)


def branch(
    name: str = "master", number: int = 438, *, by_build: bool = True, **more: Any
) -> Branch:
    """Make a branch for tests."""
    return Branch(
        name=name,
        version=0 if by_build else number,
        build=number if by_build else 0,
        by_build=by_build,
        stable=more.get("stable", False),
        description=more.get("description"),
        message=more.get("message", "Сборка"),
        artifact=Artifact(
            branch=name,
            number=number,
            filename=published_filename(name, by_build=by_build, number=number),
            source="jenkins" if by_build else "github",
            url=f"https://origin.example/{name}/{number}.apk",
            size=more.get("size"),
            digest=None,
            modified=1667955000,
            stamp=more.get("stamp", "1"),
        ),
    )


def snapshot(*branches: Branch) -> Snapshot:
    """Make a snapshot for tests."""
    named = {each.name: each for each in branches}
    return Snapshot(
        branches=named,
        beta=None,
        sources={"jenkins": SourceState(branches=named, succeeded_at=5.0, notes={"x": "y"})},
        changed_at=5,
        taken_at=6.5,
    )


class JSONTests(SynchronousTestCase):
    """Snapshots survive the way through JSON; damaged ones are refused."""

    def test_round_trip(self) -> None:
        """A snapshot read again equals the one that was written."""
        whole = snapshot(branch(), branch("play", 77, by_build=False, size=3, description="d"))
        self.assertEqual(Snapshot.from_json(json.loads(json.dumps(whole.as_json()))), whole)

    @given(st.data())
    @hypothesis_settings(deadline=None, max_examples=200)
    def test_damage(self, data: st.DataObject) -> None:
        """A snapshot with any one value replaced is read, or refused with ValueError."""
        value: Any = snapshot(branch()).as_json()
        place = value
        while True:
            key = data.draw(st.sampled_from(sorted(place)))
            if not isinstance(place[key], dict) or not place[key] or data.draw(st.booleans()):
                break
            place = place[key]
        place[key] = data.draw(
            st.none()
            | st.booleans()
            | st.integers()
            | st.text(max_size=5)
            | st.just([])
            | st.just({})
        )
        try:
            read = Snapshot.from_json(json.loads(json.dumps(value)))
        except ValueError:
            return
        self.assertIsInstance(read, Snapshot)

    def test_first_lists(self) -> None:
        """A list of the first days, which tells of no resets, is read."""
        value = snapshot(branch()).as_json()
        del value["resets"]
        self.assertEqual(Snapshot.from_json(value), snapshot(branch()))

    def test_not_an_object(self) -> None:
        """Anything but an object is refused."""
        invalid: tuple[Any, ...] = (None, [], 1, "x")
        for wrong in invalid:
            self.assertRaises(ValueError, Snapshot.from_json, wrong)


class NameTests(SynchronousTestCase):
    """Published names: the historic ones, and safe ones for odd branches."""

    def test_historic(self) -> None:
        """Plain branches have the names that every back end gave them."""
        self.assertEqual(
            published_filename("master", by_build=True, number=438), "MosMetro-master-b438.apk"
        )
        self.assertEqual(
            published_filename("play", by_build=False, number=77), "MosMetro-play-v77.apk"
        )

    @given(st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80))
    @hypothesis_settings(deadline=None)
    def test_safe_and_distinct(self, one: str, other: str) -> None:
        """A name never needs quoting, and two branches never share one."""
        first = published_filename(one, by_build=True, number=1)
        self.assertRegex(first, r"\AMosMetro-[A-Za-z0-9._-]+-b1\.apk\Z")
        if one != other:
            self.assertNotEqual(first, published_filename(other, by_build=True, number=1))

    def test_encoded_slash(self) -> None:
        """A branch with a slash is found by its key and by its decoded name."""
        whole = snapshot(branch("feature%2Fdns"))
        self.assertIs(whole.find("feature%2Fdns"), whole.find("feature/dns"))
        self.assertIsNone(whole.find("feature"))


class IdentityTests(SynchronousTestCase):
    """The ETag depends on what the source says of the file, and on nothing else."""

    def test_same_for_ever(self) -> None:
        """Two instances that read the same list have the same ETag."""
        self.assertEqual(branch().artifact.etag, branch().artifact.etag)

    def test_another_upload(self) -> None:
        """An upload that takes the place of another has another ETag."""
        self.assertNotEqual(branch(stamp="1").artifact.etag, branch(stamp="2").artifact.etag)
        self.assertNotEqual(branch(size=1).artifact.etag, branch(size=2).artifact.etag)
