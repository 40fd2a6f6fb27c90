"""How the sources' branches become one list (contract §2.4), and what may never happen to it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from metro_backend.branches.model import Branch, Snapshot, SourceState
from metro_backend.branches.source import Reading, Source, SourceError

NO_DESCRIPTION = "Описание отсутствует"
"""What `play` has said since 2018 where Jenkins has no job of that name."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How the operator wants branches to be published."""

    stable: Collection[str]
    publish_beta: bool
    """Whether GitHub's newest release is the branch `beta` for everyone."""


def merge(
    states: Mapping[str, SourceState], rules: Rules
) -> tuple[dict[str, Branch], Branch | None]:
    """Return the published branches, and the `beta` that apps before v50 are shown.

    GitHub's `play` takes the place of Jenkins' one and inherits its description.
    """
    branches: dict[str, Branch] = {}
    beta: Branch | None = None
    if "jenkins" in states:
        branches.update(states["jenkins"].branches)
    if "github" in states:
        ours = states["github"].branches
        for name in ("play", "beta"):
            jenkins = branches.get(name)
            description = jenkins.description if jenkins else None
            branch = replace(ours[name], description=description or NO_DESCRIPTION)
            if name == "play" or rules.publish_beta:
                branches[name] = branch
            if name == "beta":
                beta = branch
    branches = {
        name: replace(branch, stable=name in rules.stable) for name, branch in branches.items()
    }
    # A phone of 2016 whose `beta` is gone gets nothing at all, or is moved to master.
    beta = branches.get("beta") or beta or branches.get("play")
    if beta is not None:
        beta = replace(beta, name="beta", stable="beta" in rules.stable)
    return branches, beta


def settle(
    source: Source,
    reading: Reading,
    previous: Mapping[str, Branch],
    reset: Collection[str] = (),
) -> tuple[dict[str, Branch], dict[str, str]]:
    """Hold a good answer against the last one; return what to believe, and why where it differs.

    A branch's number never goes down (contract §2.3: its phones would never be
    updated again), unless it is in `reset`. The source's required branch never
    goes away (contract §0, I3).

    Raises:
        SourceError: if the required branch is missing and never was there.
    """
    branches = dict(reading.branches)
    notes = dict(reading.notes)
    for name, branch in reading.branches.items():
        before = previous.get(name)
        if before is None or name in reset or before.by_build != branch.by_build:
            continue
        if branch.number < before.number:
            branches[name] = before
            notes[name] = f"kept at {before.number}: the source has gone back to {branch.number}"
    if source.required not in branches:
        if source.required not in previous:
            raise SourceError(f"{source.name} has no branch {source.required} that phones can use")
        branches[source.required] = previous[source.required]
        notes[source.required] = "kept: phones without this branch would be moved away for ever"
    return branches, notes


def new_builds(states: Mapping[str, SourceState], before: Snapshot) -> list[Branch]:
    """List the branches whose file is another one than in the last list."""
    return [
        branch
        for source, state in states.items()
        for name, branch in state.branches.items()
        if (known := before.sources[source].branches.get(name)) is None
        or known.artifact.identity != branch.artifact.identity
    ]


def held_back(state: SourceState, branch: Branch, before: SourceState) -> SourceState:
    """Return the state with the branch as it was before, or without it if it was not there."""
    branches = dict(state.branches)
    last = before.branches.get(branch.name)
    if last is None:
        del branches[branch.name]
    else:
        branches[branch.name] = last
    note = f"{branch.number} is held back: its file is not what the source says it is"
    return replace(state, branches=branches, notes={**state.notes, branch.name: note})


def never_lower(foreign: Snapshot, ours: Snapshot) -> Snapshot:
    """Return another instance's list with no number below ours, unless an admin reset it since.

    An instance that starts with an empty disk has never seen the higher ones.
    """
    states = dict(foreign.sources)
    for source, state in foreign.sources.items():
        known = ours.sources[source].branches if source in ours.sources else {}
        kept = {
            name: known[name]
            for name, branch in state.branches.items()
            if name in known
            and known[name].by_build == branch.by_build
            and known[name].number > branch.number
            and foreign.resets.get(name, 0.0) <= ours.taken_at
        }
        if kept:
            states[source] = replace(state, branches={**state.branches, **kept})
    return foreign if states == foreign.sources else replace(foreign, sources=states)
