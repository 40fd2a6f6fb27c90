"""The systemd units on a machine that systemd has booted."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from e2e.booted import NAME, Machine
from e2e.command import wait_for
from e2e.docker_engine import Engine
from e2e.http_client import Door
from e2e.images import ROOT, data_root
from e2e.load import Load
from e2e.namespace import Namespace

UNIT = "metro-backend.service"
DEMO = """\
[Service]
ExecStart=
ExecStart={command} --demo
"""


class BootedTests(SynchronousTestCase):
    """The service in its sandbox, at the socket that systemd holds."""

    def setUp(self) -> None:
        """Boot a machine, and install the units as operating.md says."""
        data = data_root()
        self.namespace = Namespace()
        self.addCleanup(self.namespace.close)
        self.engine = Engine(data, self.namespace)
        self.addCleanup(self.engine.close)
        self.machine = Machine(self.engine, self.namespace.name)
        self.addCleanup(self.machine.close)
        for path in (ROOT / "deploy" / "systemd").iterdir():
            text = path.read_text()
            self.machine.write(f"/etc/systemd/system/{path.name}", text)
            for line in text.splitlines():
                if line.startswith("ExecStart="):
                    drop_in = DEMO.format(command=line.partition("=")[2])
                    self.machine.write(f"/etc/systemd/system/{UNIT}.d/demo.conf", drop_in)
        self.machine.write("/etc/metro-backend/environment", 'MOSMETRO_ADMIN_USERNAME="a b"\n')
        self.machine("systemctl", "daemon-reload")
        self.door = Door(self.namespace, self.engine.address(NAME), 8000)

    def show(self, name: str) -> str:
        """Return a property of the service."""
        return self.machine("systemctl", "show", "--value", "--property", name, UNIT)

    def test_socket_starts_a_confined_service_whose_restart_refuses_nobody(self) -> None:
        """The first request starts the server; it is nobody special; a restart costs no request."""
        self.machine("systemctl", "start", "metro-backend.socket")
        self.assertEqual(self.show("ActiveState"), "inactive")
        self.assertEqual(self.door.get("/healthz").status, 200)
        wait_for("a list of branches", self.door.ready)
        self.assertEqual(self.show("ActiveState"), "active")

        first = self.show("MainPID")
        status = self.machine("cat", f"/proc/{first}/status")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        self.assertNotIn("0", fields["Uid"].split())
        self.assertEqual(int(fields["CapEff"], 16), 0)
        self.assertEqual((fields["NoNewPrivs"], fields["Seccomp"]), ("1", "2"))

        branches = self.door.get("/api/v2/branches").json()["branches"]
        with Load(self.door, f"/releases/{branches['master']['filename']}") as load:
            for _ in range(2):
                load.wait_for_more(200)
                self.machine("systemctl", "restart", UNIT)
            load.wait_for_more(200)
        self.assertEqual(dict(load.failed), {}, self.journal())
        self.assertNotEqual(self.show("MainPID"), first)
        self.assertEqual(self.show("Result"), "success")
        self.machine("test", "-d", "/var/lib/private/metro-backend/demo/shelf")
        print(f"\n    {dict(load.done)}", end=" ")

        self.machine("systemctl", "stop", "metro-backend.socket", UNIT)
        self.assertEqual((self.show("Result"), self.show("ActiveState")), ("success", "inactive"))

    def journal(self) -> str:
        """Return the service's last words."""
        return self.machine("journalctl", "--no-pager", "-n", "30", "-u", UNIT)
