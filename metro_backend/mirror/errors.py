"""What can go wrong with a build's file."""

from __future__ import annotations

from dataclasses import dataclass


class Unfit(Exception):
    """A file is not the build that it should be; says why."""


class NoRoom(Exception):
    """The disk cannot take another file; says why."""


@dataclass(eq=False)
class FillFailed(Exception):
    """A build could not be fetched."""

    detail: str
    """For people; holds no credentials and no query string."""
    status: int = 502
    """What to answer: 502 if the source gave something wrong, 503 if it or we gave nothing."""
    retry_after: float | None = None
    """Seconds that the source asked us to wait."""

    def __str__(self) -> str:
        return self.detail


class WrongFile(FillFailed):
    """The source gave something else than the build, or says that it has none."""


@dataclass(eq=False)
class Unavailable(Exception):
    """A build cannot be served now."""

    status: int
    """502 or 503."""
    retry_after: int
    """Seconds, at least 1."""
    detail: str

    def __str__(self) -> str:
        return self.detail
