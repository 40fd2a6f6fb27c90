"""How two sources become one list, and what a good answer may not do to it."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.trial.unittest import SynchronousTestCase

from metro_backend.branches.merge import NO_DESCRIPTION, Rules, merge, settle
from metro_backend.branches.model import Branch, SourceState
from metro_backend.branches.source import Reading, SourceError
from tests.branches.test_model import branch

RULES = Rules(stable=("play", "beta", "master"), publish_beta=False)


class FakeSource:
    """A source that is only asked for its name."""

    name = "jenkins"
    required = "master"

    async def read(self, previous: Mapping[str, Branch], only: str | None = None) -> Reading:
        """Not asked here."""
        raise NotImplementedError


def states(jenkins: list[Branch], github: list[Branch] | None = None) -> dict[str, SourceState]:
    """Make the state of each source."""
    made = {"jenkins": jenkins} | ({"github": github} if github is not None else {})
    return {
        name: SourceState(branches={each.name: each for each in branches}, succeeded_at=1.0)
        for name, branches in made.items()
    }


PLAY = branch("play", 77, by_build=False)
BETA = branch("beta", 78, by_build=False)


class MergeTests(SynchronousTestCase):
    """The contract's rules for combining (§2.4)."""

    def test_github_overrides_play(self) -> None:
        """GitHub's play replaces Jenkins' one and inherits its description."""
        jenkins = [branch("master"), branch("play", 5, description="Стабильная")]
        branches, _ = merge(states(jenkins, [PLAY, BETA]), RULES)
        self.assertEqual(set(branches), {"master", "play"})
        self.assertEqual((branches["play"].version, branches["play"].by_build), (77, False))
        self.assertEqual(branches["play"].description, "Стабильная")

    def test_no_description(self) -> None:
        """Without a job of that name play says that it has no description."""
        branches, _ = merge(states([branch("master")], [PLAY, BETA]), RULES)
        self.assertEqual(branches["play"].description, NO_DESCRIPTION)

    def test_beta_by_flag(self) -> None:
        """GitHub's beta is published if the operator wants it; old apps see it always."""
        hidden, legacy = merge(states([branch("master")], [PLAY, BETA]), RULES)
        self.assertNotIn("beta", hidden)
        assert legacy is not None
        self.assertEqual(legacy.version, 78)
        rules = Rules(stable=(), publish_beta=True)
        self.assertEqual(merge(states([], [PLAY, BETA]), rules)[0]["beta"].version, 78)

    def test_jenkins_beta_passes_through(self) -> None:
        """A job called beta is a branch like any other while GitHub's is off."""
        branches, legacy = merge(states([branch("beta", 9)], [PLAY, BETA]), RULES)
        self.assertTrue(branches["beta"].by_build)
        assert legacy is not None
        self.assertEqual(legacy.build, 9)

    def test_jenkins_alone(self) -> None:
        """Without GitHub Jenkins' play is play, and old apps' beta."""
        branches, legacy = merge(states([branch("play", 5), branch("master")]), RULES)
        self.assertTrue(branches["play"].by_build)
        assert legacy is not None
        self.assertEqual((legacy.name, legacy.build), ("beta", 5))

    def test_stable(self) -> None:
        """Branches are stable by their names alone."""
        branches, _ = merge(states([branch("master"), branch("dev")], [PLAY, BETA]), RULES)
        self.assertEqual(
            {name: each.stable for name, each in branches.items()},
            {"play": True, "master": True, "dev": False},
        )


class SettleTests(SynchronousTestCase):
    """A good answer against the last one."""

    def settled(
        self, new: list[Branch], old: list[Branch], *reset: str
    ) -> tuple[dict[str, Branch], dict[str, str]]:
        """Settle the answer of a source whose required branch is master."""
        reading = Reading(branches={each.name: each for each in new})
        return settle(FakeSource(), reading, {each.name: each for each in old}, reset)

    def test_number_never_goes_down(self) -> None:
        """A job created anew that starts at #1 does not take its phones' updates away."""
        branches, notes = self.settled([branch(number=1)], [branch(number=438)])
        self.assertEqual(branches["master"].build, 438)
        self.assertIn("438", notes["master"])

    def test_reset(self) -> None:
        """Unless an admin says so."""
        branches, _ = self.settled([branch(number=1)], [branch(number=438)], "master")
        self.assertEqual(branches["master"].build, 1)

    def test_removal(self) -> None:
        """A good answer without a branch removes it."""
        branches, _ = self.settled([branch()], [branch(), branch("dev")])
        self.assertEqual(set(branches), {"master"})

    def test_required_branch_stays(self) -> None:
        """But never the branch without which phones would be moved for ever."""
        branches, notes = self.settled([branch("dev")], [branch(), branch("dev")])
        self.assertEqual(set(branches), {"master", "dev"})
        self.assertIn("master", notes)

    def test_required_branch_never_there(self) -> None:
        """An answer that lacks it from the start is not good."""
        self.assertRaises(SourceError, self.settled, [branch("dev")], [])
