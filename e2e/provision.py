"""Gets the programs that the tests need, or skips the test with the reason.

Nothing is installed behind anybody's back outside of `make e2e`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from unittest import SkipTest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "metro-backend-e2e"
"""Where npm packages and built images' parts are kept between runs."""


def need_root() -> None:
    """Skip unless the test may make namespaces and mounts."""
    if os.geteuid() != 0:
        raise SkipTest("needs root")


@cache
def _apt_update() -> None:
    subprocess.run(["apt-get", "update", "-qq"], check=True, capture_output=True, timeout=600)


def need_program(program: str, package: str) -> str:
    """Return the program's path, installing the Debian package that has it if that can be done."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    found = shutil.which(program) or shutil.which(program, path=path)
    if found is None:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise SkipTest(f"needs {program}: install the Debian package {package}")
        try:
            _apt_update()
            subprocess.run(
                ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package],
                check=True,
                capture_output=True,
                timeout=900,
                env={
                    **os.environ,
                    "DEBIAN_FRONTEND": "noninteractive",
                    # A package's own service must not take the ports that tests use.
                    "RUNLEVEL": "1",
                },
            )
        except (subprocess.SubprocessError, OSError) as error:
            raise SkipTest(f"needs {program}: apt could not install {package}: {error}") from None
        found = shutil.which(program) or shutil.which(program, path=path)
    if found is None:
        raise SkipTest(f"needs {program}, which {package} does not have")
    return found


def need_npm(*packages: str) -> Path:
    """Return a `node_modules` that holds the packages (``name@version``), without their scripts."""
    node = need_program("node", "nodejs")
    npm = need_program("npm", "npm")
    directory = CACHE / "npm" / "_".join(each.replace("/", "-") for each in packages)
    modules = directory / "node_modules"
    if not (directory / "complete").exists():
        directory.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(
                [
                    npm,
                    "install",
                    # Without it npm takes a package.json further up for the place to install to.
                    f"--prefix={directory}",
                    "--no-audit",
                    "--no-fund",
                    "--ignore-scripts",
                    *packages,
                ],
                cwd=directory,
                check=True,
                capture_output=True,
                timeout=600,
            )
        except (subprocess.SubprocessError, OSError) as error:
            raise SkipTest(f"needs npm packages {packages}: {error}") from None
        (directory / "complete").touch()
    assert node
    return modules
