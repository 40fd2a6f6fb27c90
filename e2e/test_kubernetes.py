"""The manifests as kubectl puts them together, checked against Kubernetes' own schemas."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from e2e.command import run
from e2e.images import ROOT
from e2e.provision import need_program

DIRECTORY = ROOT / "deploy" / "kubernetes"
KINDS = {
    "ConfigMap",
    "Deployment",
    "HorizontalPodAutoscaler",
    "Ingress",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Service",
    "StatefulSet",
}


class ManifestTests(SynchronousTestCase):
    """What would be sent to a cluster."""

    def setUp(self) -> None:
        """Build the manifests."""
        kubectl = need_program("kubectl", "kubernetes-client")
        self.built = run(kubectl, "kustomize", DIRECTORY)

    def test_strictly_valid(self) -> None:
        """Every object has only fields that Kubernetes knows, with values that it takes."""
        if find_spec("kubernetes_validate") is None:
            raise SkipTest("needs kubernetes-validate from PyPI")
        self.assertEqual(self.validate(self.built), 0)
        # The check can fail.
        self.assertNotEqual(self.validate(self.built.replace("maxSurge:", "maxSurgee:")), 0)

    def validate(self, manifests: str) -> int:
        """Return the exit status of the check; a warning is a failure."""
        path = Path(self.mktemp())
        path.write_text(manifests)
        done = subprocess.run(
            [sys.executable, "-m", "kubernetes_validate", "--strict", path],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return 1 if "WARN" in done.stdout + done.stderr else done.returncode

    def test_complete_and_bound_together(self) -> None:
        """Every kind is there; names of the generated map and of the image are put in."""
        kinds = {line.split()[1] for line in self.built.splitlines() if line.startswith("kind: ")}
        self.assertEqual(kinds, KINDS)
        self.assertRegex(self.built, r"configMapRef:\s+name: metro-backend-[a-z0-9]{10}")
        self.assertIn("image: registry.example/metro-backend:", self.built)
