"""Docker's compose and buildx plugins, from a newer release of the distribution if need be."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path
from unittest import SkipTest

from e2e.base_image import SUITE, mirror
from e2e.command import CommandFailed, run
from e2e.provision import CACHE, need_program

PLUGINS = ("docker-compose", "docker-buildx")


@cache
def configuration() -> Path:
    """Return a directory for DOCKER_CONFIG that holds both plugins and nothing else.

    Raises:
        SkipTest: if they cannot be had.
    """
    directory = CACHE / "docker-config"
    plugins = directory / "cli-plugins"
    if not all((plugins / each).exists() for each in PLUGINS):
        work = Path(tempfile.mkdtemp(prefix="metro-e2e-plugins-"))
        try:
            _download(work)
            plugins.mkdir(parents=True, exist_ok=True)
            for each in PLUGINS:
                shutil.copy2(work / "files/usr/libexec/docker/cli-plugins" / each, plugins / each)
        except (CommandFailed, OSError) as error:
            raise SkipTest(
                f"needs Docker's plugins, and {SUITE} did not give them: {error}"
            ) from None
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return directory


def _download(work: Path) -> None:
    """Take the packages apart without installing them, with apt lists of their own."""
    apt = need_program("apt-get", "apt")
    dpkg = need_program("dpkg-deb", "dpkg")
    for each in ("lists/partial", "cache/archives/partial", "files"):
        (work / each).mkdir(parents=True)
    (work / "sources.list").write_text(f"deb {mirror()} {SUITE} main\n")
    (work / "apt.conf").write_text(
        f'Dir::State::lists "{work}/lists";\n'
        f'Dir::Cache "{work}/cache";\n'
        f'Dir::Etc::sourcelist "{work}/sources.list";\n'
        'Dir::Etc::sourceparts "-";\n'
        'APT::Sandbox::User "root";\n'
    )
    own = {"APT_CONFIG": str(work / "apt.conf")}
    run(apt, "update", "-qq", env=own, timeout=300)
    run(apt, "download", "-qq", *PLUGINS, env=own, cwd=work, timeout=300)
    for package in work.glob("*.deb"):
        run(dpkg, "-x", package, work / "files")
