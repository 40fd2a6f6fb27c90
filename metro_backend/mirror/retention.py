"""Which builds the shelf gives up, and in which order. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from metro_backend.mirror.index import Entry


def protected(entries: Iterable[Entry], keep: int) -> set[str]:
    """Return the identities that no quota touches: current builds, and the last few of a branch.

    Args:
        keep: superseded builds that are kept per branch.
    """
    chosen = set()
    superseded: dict[str, list[tuple[float, int, float, str]]] = {}
    for entry in entries:
        if entry.superseded_at is None:
            chosen.add(entry.identity)
        else:
            superseded.setdefault(entry.artifact.branch, []).append(
                (entry.superseded_at, entry.artifact.number, entry.stored_at, entry.identity)
            )
    for builds in superseded.values():
        builds.sort(reverse=True)
        chosen.update(build[-1] for build in builds[:keep])
    return chosen


def expired(entries: Iterable[Entry], used: Mapping[str, float], before: float) -> list[Entry]:
    """Return the superseded builds that were last used before a time (UTC Unix)."""
    return [
        entry
        for entry in entries
        if entry.superseded_at is not None
        and max(used.get(entry.identity, 0.0), entry.superseded_at, entry.stored_at) < before
    ]


def evicted(
    entries: Collection[Entry],
    used: Mapping[str, float],
    spared: Collection[str],
    excess: int,
) -> list[Entry]:
    """Return the least recently used builds that must go to make up for so many bytes.

    A file that several builds share is freed with the last of them.

    Args:
        spared: identities that stay whatever the excess.
    """
    shares = Counter(entry.sha256 for entry in entries)
    chosen: list[Entry] = []
    for entry in sorted(entries, key=lambda e: used.get(e.identity, 0.0)):
        if excess <= 0:
            break
        if entry.identity in spared:
            continue
        chosen.append(entry)
        shares[entry.sha256] -= 1
        if not shares[entry.sha256]:
            excess -= entry.size
    return chosen
