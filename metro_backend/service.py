"""The service tree's trunk: parts that start in order and stop in the reverse order."""

from __future__ import annotations

from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized


class Sequence(MultiService):
    """Children stop one after the other, the last started first.

    A MultiService stops all at once, so that a database would go before the
    requests that use it.
    """

    _log = Logger()

    def stopService(self) -> Deferred[None]:
        """Stop each child, and go on to the next one whatever became of it."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self.running = 0
        for child in reversed(list(self)):
            try:
                await maybeDeferred(child.stopService)
            except Exception:
                self._log.failure("{child} did not stop well", child=child.name or child)


class Root(Sequence):
    """The top of the tree, which also brings the process its log."""

    def __init__(self, observer: ILogObserver | None) -> None:
        """Take the log observer for the process, or None to leave twistd's own."""
        super().__init__()
        self._observer = observer

    def setServiceParent(self, parent: Any) -> None:
        """Hand the observer to the application, which twistd asks for one before it logs."""
        if self._observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)
