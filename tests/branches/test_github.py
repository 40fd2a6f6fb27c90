"""GitHub's releases become `play` and `beta`, whatever else is among them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metro_backend.branches.github import Release, read_releases, usable
from metro_backend.branches.source import Reading, SourceError
from metro_backend.demo.faults import (
    Cut,
    EmptyList,
    Hang,
    Html,
    NotModified,
    RateLimited,
    Refuse,
    Status,
)
from tests.doubles.world import RELEASES, START, WorldTestCase


class ReadingTests(WorldTestCase):
    """A good GitHub."""

    def read(self) -> Reading:
        """Ask a fresh source."""
        reading = self.world.result_of(self, self.world.github().read({}))
        assert isinstance(reading, Reading)
        return reading

    def test_demonstration(self) -> None:
        """The newest stable release is play, the newest of all beta; drafts are neither."""
        branches = self.read().branches
        self.assertEqual(set(branches), {"play", "beta"})
        self.assertEqual((branches["play"].version, branches["beta"].version), (77, 78))
        self.assertEqual(branches["play"].artifact.filename, "MosMetro-play-v77.apk")
        self.assertIsNotNone(branches["play"].artifact.digest)

    def test_beta_is_never_behind(self) -> None:
        """An old release published again does not lower beta below play (contract §5.2, 22)."""
        self.world.stand_in.github.add_release("70", prerelease=True)
        branches = self.read().branches
        self.assertEqual(branches["beta"].version, branches["play"].version)

    def test_null_name_and_body(self) -> None:
        """A release without name and text gets neither "None" nor a crash."""
        self.world.stand_in.github.add_release("90", name=None, body=None)
        self.assertEqual(self.read().branches["play"].message, "90:\n")

    def test_next_pages(self) -> None:
        """Pages are read until a stable release is found."""
        for number in range(100, 170):
            self.world.stand_in.github.add_release(str(number), prerelease=True)
        branches = self.read().branches
        self.assertEqual((branches["play"].version, branches["beta"].version), (77, 169))

    def test_nothing_new(self) -> None:
        """A second reading costs one call and no body."""
        source = self.world.github()
        first = self.world.result_of(self, source.read({}))
        self.world.stand_in.forget()
        again = self.world.result_of(self, source.read(first.branches))
        self.assertEqual(again.branches, first.branches)
        self.assertEqual(self.world.stand_in.count(), 1)
        self.assertEqual(self.world.counts["server.upstream.not_modified"], 1)

    def test_full_page_unchanged(self) -> None:
        """A first page that is unchanged does not hide what moved to the second one."""
        for number in range(100, 129):
            self.world.stand_in.github.add_release(str(number), prerelease=True)
        source = self.world.github()
        self.world.result_of(self, source.read({}))
        self.world.stand_in.github.releases[-1:] = []
        self.world.stand_in.forget()
        self.world.result_of(self, source.read({}))
        self.assertEqual(self.world.stand_in.count(f"{RELEASES}?page=2"), 1)

    def test_token(self) -> None:
        """The token is sent, and another token does not get the first one's validators."""
        self.world.stand_in.github.token = "t"
        self.world.result_of(self, self.world.github("t").read({}))
        query = self.world.stand_in.queries[-1]
        self.assertEqual(query.headers["authorization"], "Bearer t")
        self.world.stand_in.github.token = "other"
        self.world.result_of(self, self.world.github("other").read({}))
        self.assertNotIn("if-none-match", self.world.stand_in.queries[-1].headers)


class FaultTests(WorldTestCase):
    """Nothing is concluded from an answer that is not good."""

    def fails(self, *faults: Any, passing: float = 0.0) -> SourceError:
        """Return the error that these faults cause."""
        self.world.stand_in.faults.set(RELEASES, *faults)
        error = self.failure_of(self.world.github().read({}), SourceError, passing)
        assert isinstance(error, SourceError)
        return error

    def test_faults(self) -> None:
        """Every fault is a named error."""
        for fault in (Status(404), Status(500), Html(), EmptyList(), Refuse(), Cut(100)):
            self.assertTrue(str(self.fails(fault)))
        self.assertIn("10 s", str(self.fails(Hang(), passing=11)))
        self.assertTrue(self.fails(NotModified()))

    def test_rate_limit(self) -> None:
        """The rate limit's object is an error that says when to come again."""
        self.assertAlmostEqual(
            self.fails(RateLimited(reset_after=600)).retry_after or 0, 600, delta=2
        )

    def test_retry_after(self) -> None:
        """Retry-After is understood as seconds and as a date."""
        self.assertEqual(self.fails(Status(503, {"Retry-After": "77"})).retry_after, 77)
        date = "Fri, 02 Dec 2022 17:00:00 GMT"
        self.assertEqual(
            self.fails(Status(503, {"Retry-After": date})).retry_after, 1670000400 - START
        )
        self.assertIsNone(self.fails(Status(503, {"Retry-After": "soon"})).retry_after)

    def test_prereleases_only(self) -> None:
        """Without a stable release there is no play, so the answer is not good."""
        for release in self.world.stand_in.github.releases:
            release.prerelease = True
        self.failure_of(self.world.github().read({}), SourceError)


class ParsingTests(SynchronousTestCase):
    """Releases of any shape are usable or not, and never raise."""

    @given(
        st.dictionaries(
            st.sampled_from(["draft", "tag_name", "prerelease", "assets", "name", "body"]),
            st.none()
            | st.booleans()
            | st.text(max_size=5)
            | st.integers()
            | st.lists(
                st.dictionaries(
                    st.sampled_from(["name", "browser_download_url", "state", "size"]),
                    st.none() | st.text(max_size=5) | st.sampled_from(["a.apk", "uploaded"]),
                )
            ),
        )
    )
    @hypothesis_settings(deadline=None, max_examples=300)
    def test_any_release(self, value: dict[str, Any]) -> None:
        """Whatever a release holds, its version is a number that phones can read."""
        release = usable(value)
        if isinstance(release, Release):
            self.assertTrue(0 <= release.version < 2**31)

    def test_tags(self) -> None:
        """Only plain decimal numbers in Java's range are versions."""
        asset = {"name": "a.apk", "browser_download_url": "https://x.example/a.apk"}
        for tag, version in {"77": 77, "2147483647": 2147483647}.items():
            found = usable({"tag_name": tag, "prerelease": False, "assets": [asset]})
            assert isinstance(found, Release)
            self.assertEqual(found.version, version)
        for wrong in ("v2.4", "2.3.2", "2147483648", "-1", "", "٣", None, 77):
            self.assertIsInstance(
                usable({"tag_name": wrong, "prerelease": False, "assets": [asset]}), str
            )

    def test_lists(self) -> None:
        """GitHub's error object is not a list."""
        self.assertRaises(ValueError, read_releases, {"message": "API rate limit exceeded"})
        self.assertRaises(ValueError, read_releases, ["x"])
