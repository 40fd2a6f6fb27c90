"""The stand-in GitHub and Jenkins as a program of its own, which several servers ask.

Each line on standard input is a branch that gets one build more, and the bytes
of its file. The program ends when standard input does.
"""

from __future__ import annotations

import sys
from typing import Any, cast

from twisted.internet import reactor, stdio
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.server import Site

from metro_backend.demo.standin import StandIn


class Orders(LineReceiver):
    """Reads the lines."""

    delimiter = b"\n"

    def __init__(self, stand_in: StandIn) -> None:
        """Take what is to be changed."""
        self._stand_in = stand_in

    def connectionMade(self) -> None:
        """Say that the port is open."""
        self.sendLine(b"ready")

    def lineReceived(self, line: bytes) -> None:
        """Make a build, and tell its number."""
        branch, size = line.decode().split()
        build = self._stand_in.jenkins.job(branch).add_build("One thing more", size=int(size))
        self.sendLine(str(build.number).encode())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End with the one who gives orders."""
        reactor.stop()


def main(port: int) -> None:
    """Serve on the port, on every address of the namespace that this runs in."""
    stand_in = StandIn(reactor)
    reactor.listenTCP(port, cast(Any, Site(stand_in.resource())))
    stdio.StandardIO(Orders(stand_in))
    reactor.run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
