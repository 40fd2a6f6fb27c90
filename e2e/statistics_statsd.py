"""Two StatsD servers of different make, and a port that feeds both."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from threading import Thread

from twisted.trial.unittest import SynchronousTestCase

from e2e.provision import need_npm, need_program
from e2e.statistics_process import Program, free_port
from e2e.statistics_templates import DIRECTORY

FLUSHED_EVERY = 2.0
"""Seconds between StatsD's flushes here."""


class StatsD(Program):
    """StatsD from npm with the shipped configuration."""

    def __init__(self, test: SynchronousTestCase, graphite_port: int) -> None:
        """Start it in front of InfluxDB's Graphite listener, at that port."""
        modules = need_npm("statsd@0.9.0")
        self.port = free_port(socket.SOCK_DGRAM)
        self._management = free_port()
        super().__init__(
            test,
            "statsd",
            [
                need_program("node", "nodejs"),
                modules / "statsd" / "stats.js",
                DIRECTORY / "statsd" / "config.js",
            ],
            {
                "STATSD_ADDRESS": "127.0.0.1",
                "STATSD_PORT": str(self.port),
                "STATSD_MGMT_PORT": str(self._management),
                "STATSD_FLUSH_INTERVAL": str(int(1000 * FLUSHED_EVERY)),
                "GRAPHITE_HOST": "127.0.0.1",
                "GRAPHITE_PORT": str(graphite_port),
            },
        )
        self.ready(lambda: "server is up" in self.log)

    def holds(self, name: str) -> bool:
        """Tell whether it has a counter that it has not flushed yet."""
        with socket.create_connection(("127.0.0.1", self._management), 10) as connection:
            connection.sendall(b"counters\n")
            answer = b""
            while b"END" not in answer:
                received = connection.recv(65536)
                if not received:
                    break
                answer += received
        return f"'{name}'" in answer.decode()

    def send(self, *lines: str) -> None:
        """Send a datagram of a test's own."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto("\n".join(lines).encode("ascii"), ("127.0.0.1", self.port))


class Collectd(Program):
    """collectd's statsd plugin, a StatsD server of another make, that adds up for ever."""

    def __init__(self, test: SynchronousTestCase) -> None:
        """Start it, with files for its results."""
        collectd = need_program("collectd", "collectd-core")
        self.port = free_port(socket.SOCK_DGRAM)
        self._results = Path(test.mktemp()).resolve()
        configuration = Path(test.mktemp()).resolve()
        configuration.write_text(
            f"""
            Hostname "here"
            FQDNLookup false
            BaseDir "{self._results}"
            PIDFile "{self._results}/pid"
            Interval 1
            LoadPlugin logfile
            <Plugin logfile>
                File stdout
            </Plugin>
            LoadPlugin statsd
            <Plugin statsd>
                Host "127.0.0.1"
                Port "{self.port}"
                TimerSum true
                TimerCount true
            </Plugin>
            LoadPlugin csv
            <Plugin csv>
                DataDir "{self._results}"
                StoreRates false
            </Plugin>
            """
        )
        super().__init__(test, "collectd", [collectd, "-f", "-C", configuration], {})
        self.ready(lambda: "Listening on" in self.log)

    def counters(self) -> dict[str, float]:
        """Return all counters' totals by name."""
        return {name: values[-1] for name, values in self._read("derive")}

    def timers(self) -> dict[str, float]:
        """Return how many seconds each timer has measured in all, by name."""
        return {
            name.removesuffix("-sum"): round(sum(each for each in values if each == each), 3)
            for name, values in self._read("latency")
            if name.endswith("-sum")
        }

    def _read(self, kind: str) -> list[tuple[str, list[float]]]:
        found: dict[str, list[float]] = {}
        # One file a day, so a name may have two.
        for path in sorted((self._results / "here" / "statsd").glob(f"{kind}-*")):
            name = re.sub(r"-\d{4}-\d\d-\d\d$", "", path.name.removeprefix(f"{kind}-"))
            # The last line may be half written.
            rows = path.read_text().rpartition("\n")[0].splitlines()[1:]
            if rows:
                found.setdefault(name, []).extend(float(row.partition(",")[2]) for row in rows)
        return list(found.items())


class Tee:
    """A port whose datagrams go on to several others, and are kept."""

    def __init__(self, *ports: int) -> None:
        """Take the ports; datagrams go on at once."""
        self.lines: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._ports = ports
        self._thread = Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """Close the port and end the thread."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while datagram := self._socket.recv(65536):
            for port in self._ports:
                self._socket.sendto(datagram, ("127.0.0.1", port))
            self.lines += datagram.decode("ascii").splitlines()
