"""Base images, made of the distribution's packages where no registry of images is to be had."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from unittest import SkipTest

from e2e.command import CommandFailed, run
from e2e.provision import CACHE, need_program, need_root

SUITE = "trixie"
PYTHON = ("python3", "python3-venv", "python3-pip", "ca-certificates")
"""What an image of Python has beside the base system."""

SERVICES = (
    "redis-server",
    "influxdb",
    "influxdb-client",
    "haproxy",
    "nodejs",
    "curl",
    "wget",
    "python3",
)
"""The services of a deployment; one image can play all of them."""

_NEEDLESS = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/zoneinfo",
    "var/cache/apt",
    "var/lib/apt/lists",
)


def mirror() -> str:
    """Return the Debian mirror that this machine takes its packages from.

    Raises:
        SkipTest: if there is no apt here, or it names no mirror of Debian.
    """
    apt = need_program("apt-get", "apt")
    listed = run(
        apt, "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)",
        "Created-By: Packages",
    )  # fmt: skip
    for line in listed.splitlines():
        origin, label, component, uri = line.split("|")
        if (origin, label, component) == ("Debian", "Debian", "main"):
            return uri.rstrip("/")
    raise SkipTest("needs a Debian mirror in apt's sources")


def tarball(*packages: str) -> Path:
    """Return a tarball of a minimal system with the packages, made once and kept.

    Raises:
        SkipTest: if it cannot be made here.
    """
    need_root()
    debootstrap = need_program("debootstrap", "debootstrap")
    key = hashlib.sha256(" ".join((SUITE, *packages)).encode()).hexdigest()[:12]
    kept = CACHE / "base" / f"{SUITE}-{key}.tar"
    if kept.exists():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="metro-e2e-base-"))
    try:
        root = work / "root"
        _bootstrap(debootstrap, root, packages)
        for each in _NEEDLESS:
            shutil.rmtree(root / each, ignore_errors=True)
        # The official images call it `python`, and let pip install beside the distribution.
        if not (root / "usr/bin/python").exists() and (root / "usr/bin/python3").exists():
            (root / "usr/bin/python").symlink_to("python3")
        for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            marker.unlink()
        unfinished = kept.with_suffix(".part")
        run("tar", "-C", root, "-cf", unfinished, ".", timeout=300)
        unfinished.rename(kept)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return kept


def _bootstrap(debootstrap: str, root: Path, packages: tuple[str, ...]) -> None:
    include = ",".join(packages)
    try:
        run(
            debootstrap, "--variant=minbase", f"--include={include}", SUITE, root, mirror(),
            timeout=900,
        )  # fmt: skip
    except CommandFailed as error:
        from unittest import SkipTest

        raise SkipTest(f"needs a base image, and debootstrap could not make it: {error}") from None


def trust(directory: Path) -> list[str]:
    """Write what a build needs of this machine's settings; return Dockerfile lines for it.

    These are the certificates that the machine trusts and where its pip gets
    packages from, so that a build behind a proxy or with a mirror works.
    """
    lines = []
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    if certificates.exists():
        shutil.copyfile(certificates, directory / "ca-certificates.crt")
        lines.append("COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt")
    settings = {"cert": str(certificates)} if certificates.exists() else {}
    pip = shutil.which("pip") or shutil.which("pip3")
    if pip:
        for line in run(pip, "config", "list", expect=None).splitlines():
            name, _, value = line.partition("=")
            key = name.rpartition(".")[2]
            value = value.strip("'\"")
            # Directories of this machine are not in the image.
            if key in ("index-url", "extra-index-url", "trusted-host") and "file:" not in value:
                settings[key] = value.replace("\\n", "\n    ")
    text = "[global]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items())
    (directory / "pip.conf").write_text(text)
    lines.append("COPY pip.conf /etc/pip.conf")
    return lines
