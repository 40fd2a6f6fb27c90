"""A machine of its own that systemd has booted, in a container."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from unittest import SkipTest

from e2e.base_image import PYTHON, tarball
from e2e.command import CommandFailed, wait_for
from e2e.docker_engine import Engine
from e2e.images import SERVER, build

IMAGE = "metro-e2e:systemd"
NAME = "machine"

# systemd wants a control group of its own at the root, and the newer kind of them.
_BOOT = f"""\
#!/bin/sh
set -eu
umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/{NAME}-$1
echo $$ >/sys/fs/cgroup/{NAME}-$1/cgroup.procs
exec unshare --cgroup sh -c '
    umount /sys/fs/cgroup
    mount -t cgroup2 none /sys/fs/cgroup
    exec /lib/systemd/systemd'
"""

_DOCKERFILE = f"""\
FROM metro-e2e:systemd-base
COPY --from={SERVER} /opt/metro-backend /opt/metro-backend
COPY boot /boot-machine
ENV container=docker
ENTRYPOINT ["/boot-machine"]
"""


class Machine:
    """A booted machine with the server's program and nothing that starts it."""

    def __init__(self, engine: Engine, key: str) -> None:
        """Boot it, or skip the test where that cannot be done.

        Args:
            engine: runs it.
            key: a name that no other machine has at the time.
        """
        self._engine = engine
        self._key = key
        base = tarball(*PYTHON, "systemd", "systemd-sysv", "mount")
        engine("import", base, "metro-e2e:systemd-base", timeout=300)
        with tempfile.TemporaryDirectory(prefix="metro-e2e-") as name:
            boot = Path(name) / "boot"
            boot.write_text(_BOOT)
            boot.chmod(0o755)
            build(engine, Path(name), IMAGE, _DOCKERFILE)
        try:
            engine(
                "run", "--detach", "--name", NAME, "--tmpfs", "/run", "--tmpfs", "/tmp",
                "--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_PTRACE",
                "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
                "--security-opt", "systempaths=unconfined", IMAGE, key,
            )  # fmt: skip
            wait_for("systemd", self._is_up, seconds=30)
        except CommandFailed as error:
            said = engine("logs", NAME, expect=None)
            self.close()
            raise SkipTest(f"needs a systemd that boots in a container: {error} {said}") from None

    def _is_up(self) -> bool:
        return self("systemctl", "is-system-running", expect=None) in ("running", "degraded")

    def __call__(self, *command: str, given: str = "", expect: int | None = 0) -> str:
        """Run a program on the machine and return what it printed."""
        return self._engine("exec", "--interactive", NAME, *command, given=given, expect=expect)

    def write(self, path: str, text: str) -> None:
        """Write a file, and make the directory it is in."""
        self("mkdir", "-p", str(Path(path).parent))
        self("sh", "-c", 'cat >"$0"', path, given=text)

    def close(self) -> None:
        """Turn it off, and remove its control groups, which Docker knows nothing of."""
        self._engine("rm", "--force", "--volumes", NAME, expect=None)
        for root in _control_groups():
            for group in _deepest_first(root / f"{NAME}-{self._key}"):
                with suppress(OSError):
                    group.rmdir()


def _control_groups() -> list[Path]:
    """Return where the newer kind of control groups is mounted."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return [Path(each[1]) for each in mounts if each[2] == "cgroup2"]


def _deepest_first(root: Path) -> Iterator[Path]:
    if root.is_dir():
        for each in root.iterdir():
            if each.is_dir():
                yield from _deepest_first(each)
        yield root
