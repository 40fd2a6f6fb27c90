"""The Jenkinsfile, run by a stub of the steps that it uses (jenkins.groovy)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import SkipTest

from e2e.command import run
from e2e.images import ROOT
from e2e.provision import need_program


@dataclass(frozen=True)
class Outcome:
    """What a run of the pipeline did."""

    result: str
    events: Sequence[Mapping[str, str]]
    log: str
    image: str

    def stages(self) -> list[str]:
        """Return the stages that were begun, in order."""
        return [each["stage"] for each in self.events if each["step"] == "started"]

    def texts(self, step: str) -> list[str]:
        """Return what each call of a step was given, in order."""
        return [each.get("text", "") for each in self.events if each["step"] == step]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """How to run the pipeline."""

    workspace: Path
    branch: str = "master"
    params: Mapping[str, Any] = field(default_factory=dict)
    credentials: Mapping[str, Any] = field(default_factory=dict)
    """By id: a dictionary of username and password, or text (of a file: its path)."""
    failing: str = ""
    """The stage whose first step fails."""
    checkout: Sequence[str] = ("true",)
    """The command that stands for ``checkout scm``."""
    env: Mapping[str, str] = field(default_factory=dict)

    def run(self, prefix: Sequence[str] = (), timeout: float = 120) -> Outcome:
        """Run it.

        Args:
            prefix: a command line that runs another one, such as in a namespace.
            timeout: seconds.
        """
        groovy = need_program("groovy", "groovy")
        given = {
            "jenkinsfile": str(ROOT / "Jenkinsfile"),
            "workspace": str(self.workspace),
            "branch": self.branch,
            "params": dict(self.params),
            "credentials": dict(self.credentials),
            "failing": self.failing,
            "checkout": list(self.checkout),
            "env": {"PATH": os.environ["PATH"], "HOME": str(self.workspace), **self.env},
        }
        said = run(
            *prefix, groovy, Path(__file__).parent / "jenkins.groovy",
            given=json.dumps(given), env={"JAVA_HOME": str(_java_home())}, timeout=timeout,
        )  # fmt: skip
        return Outcome(**json.loads(said.splitlines()[-1]))


def _java_home() -> Path:
    """Return a Java that the distribution's Groovy starts on: the oldest there is from 8 on."""
    need_program("java", "default-jre-headless")
    homes = [each for each in Path("/usr/lib/jvm").glob("java-*-openjdk-*") if each.is_dir()]
    if not homes:
        raise SkipTest("needs a Java below /usr/lib/jvm: install default-jre-headless")
    return min(homes, key=lambda home: int(home.name.split("-")[1].split(".")[-1]))
