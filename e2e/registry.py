"""A registry of images on the loopback interface of a namespace."""

from __future__ import annotations

import subprocess
from pathlib import Path

from e2e.command import wait_for
from e2e.http_client import Door
from e2e.namespace import Namespace
from e2e.provision import need_program

PORT = 5000
ADDRESS = f"127.0.0.1:{PORT}"

_CONFIGURATION = """\
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {root}}}}}
http: {{addr: "{address}"}}
"""


class Registry:
    """The distribution's docker-registry."""

    def __init__(self, namespace: Namespace, directory: Path) -> None:
        """Start it with a directory of its own, or skip the test where there is none."""
        program = need_program("docker-registry", "docker-registry")
        configuration = directory / "registry.yml"
        configuration.write_text(
            _CONFIGURATION.format(root=directory / "registry", address=ADDRESS)
        )
        self._process = subprocess.Popen(
            namespace.inside(program, "serve", str(configuration)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._door = Door(namespace, "127.0.0.1", PORT)
        wait_for("the registry", lambda: self._door.get("/v2/").status == 200, seconds=20)

    def tags(self, image: str) -> list[str]:
        """Return the tags of an image."""
        return sorted(self._door.get(f"/v2/{image}/tags/list").json()["tags"])

    def close(self) -> None:
        """Stop it."""
        self._process.kill()
        self._process.wait()
