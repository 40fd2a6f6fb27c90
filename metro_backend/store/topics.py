"""Who wants to hear of which topic in this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from metro_backend.log import Brake


class Topics:
    """Hands messages to subscribers, in order, one at a time.

    A subscriber that raises hurts nobody else. One that publishes or subscribes
    from within its call does not disturb the round that is going on.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        """Take the clock that limits how often a failing subscriber is logged."""
        self._brake = Brake(self._log, clock)
        self._receivers: dict[str, list[Callable[[bytes], None]]] = {}
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._delivering = False

    @property
    def names(self) -> Sequence[str]:
        """The topics that somebody wants to hear of."""
        return tuple(self._receivers)

    def add(self, topic: str, receive: Callable[[bytes], None]) -> bool:
        """Add a subscriber; tell whether it is the topic's first."""
        first = topic not in self._receivers
        self._receivers.setdefault(topic, []).append(receive)
        return first

    def deliver(self, topic: str, message: bytes) -> None:
        """Call the topic's subscribers. Never raises."""
        self._waiting.append((topic, message))
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._waiting:
                self._deliver(*self._waiting.popleft())
        finally:
            self._delivering = False

    def _deliver(self, topic: str, message: bytes) -> None:
        for receive in tuple(self._receivers.get(topic, ())):
            try:
                receive(message)
            except Exception:
                self._warn(topic, Failure())

    def _warn(self, topic: str, failure: Failure) -> None:
        self._brake.warn(
            topic, lambda: f"a subscriber of {topic} failed: {failure.getBriefTraceback()}"
        )
