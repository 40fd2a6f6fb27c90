"""The Jenkinsfile: order, failures, what is not deployed, and secrets."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from e2e.pipeline import Outcome, Scenario

STAGES = ["Pull", "Build", "Test", "Push", "Deploy", "Notify"]
SECRETS = {
    "metro-registry": {"username": "pusher", "password": "opaque-registry-password"},
    "metro-notify": "opaque-notify-token",
}
PARAMS = {
    "REGISTRY": "registry.example:5000",
    "PUBLIC_URL": "https://metro.example",
    "GITHUB_CREDENTIALS": "github",
    "MAIL_TO": "team@metro.example",
}

PROGRAM = """\
#!/bin/sh
# Stands for a program: notes its arguments, and passes on nothing.
printf '%s' "${0##*/}" >>"$CALLS"
printf ' %s' "$@" >>"$CALLS"
printf '\\n' >>"$CALLS"
case "${0##*/}" in
    git) echo 0123456789abcdef0123456789abcdef01234567 ;;
    docker) case "$*" in *--password-stdin*) cat >"$CALLS.password" ;; esac ;;
    curl) cat >"$CALLS.curl" ;;
esac
"""


class PipelineTests(SynchronousTestCase):
    """The pipeline, with programs that only note how they are called."""

    def setUp(self) -> None:
        """Make a workspace."""
        self.work = Path(tempfile.mkdtemp(prefix="metro-e2e-"))
        self.addCleanup(shutil.rmtree, self.work)
        self.calls = self.work / "calls"
        programs = self.work / "programs"
        for name in ("docker", "make", "git", "curl"):
            self.program(programs / name)
        workspace = self.work / "workspace"
        self.program(workspace / "deploy" / "junit.sh")
        self.program(workspace / "deploy" / "deploy.sh")
        (workspace / "metro_backend").mkdir()
        (workspace / "metro_backend" / "__init__.py").write_text('__version__ = "1.2.3"\n')
        self.env_file = self.work / "env"
        self.env_file.write_text("MOSMETRO_NOTIFY_TOKEN=opaque-in-file\n")
        self.env = {"PATH": f"{programs}:/usr/bin:/bin", "CALLS": str(self.calls)}

    @staticmethod
    def program(path: Path) -> None:
        """Make a program."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PROGRAM)
        path.chmod(0o755)

    def run_pipeline(self, *, branch: str = "master", failing: str = "", **params: str) -> Outcome:
        """Run the pipeline, and check that nobody got to see a secret."""
        outcome = Scenario(
            workspace=self.work / "workspace",
            branch=branch,
            params={**PARAMS, **params},
            credentials={**SECRETS, "metro-env": str(self.env_file)},
            failing=failing,
            env=self.env,
        ).run()
        calls = self.calls.read_text() if self.calls.exists() else ""
        seen = "\n".join([outcome.log, calls, *(each.get("text", "") for each in outcome.events)])
        for secret in ("opaque-registry-password", "opaque-notify-token", "opaque-in-file"):
            self.assertNotIn(secret, seen)
        return outcome

    def test_order_and_what_is_called(self) -> None:
        """On the branch that is deployed all stages run in order, on the image of the commit."""
        outcome = self.run_pipeline()
        self.assertEqual(outcome.result, "SUCCESS", outcome.log)
        self.assertEqual(outcome.stages(), STAGES)
        image = "registry.example:5000/metro-backend:1.2.3-0123456789ab"
        self.assertEqual(outcome.image, image)
        calls = self.calls.read_text().splitlines()
        docker = [each for each in calls if each.startswith("docker")]
        self.assertEqual(
            docker,
            [
                "docker build --pull --build-arg VERSION=1.2.3 --build-arg"
                f" COMMIT=0123456789abcdef0123456789abcdef01234567 --tag {image} .",
                "docker login --username pusher --password-stdin registry.example:5000",
                f"docker push {image}",
            ],
        )
        self.assertIn(f"deploy.sh metro {image} {self.env_file}", calls)
        self.assertIn("https://metro.example/api/notify/jenkins", calls[-1])
        # Secrets did arrive, where nobody looks on.
        password = Path(f"{self.calls}.password").read_text()
        self.assertEqual(password, "opaque-registry-password")
        self.assertIn("Bearer opaque-notify-token", Path(f"{self.calls}.curl").read_text())
        self.assertEqual(outcome.texts("githubNotify"), ["PENDING", "SUCCESS"])
        self.assertEqual(outcome.texts("junit"), ["junit.xml"])
        self.assertEqual(outcome.texts("mail"), [])
        self.assertEqual(outcome.events[-1]["step"], "deleteDir")

    def test_failure_in_each_stage(self) -> None:
        """A stage that fails is the last one, and GitHub and people hear of it."""
        for position, stage in enumerate(STAGES):
            outcome = self.run_pipeline(failing=stage)
            self.assertEqual(outcome.result, "FAILURE", stage)
            self.assertEqual(outcome.stages(), STAGES[: position + 1])
            self.assertEqual(outcome.texts("mail"), ["metro 1 failed"])
            # Before the commit is known GitHub has nothing to mark.
            known = [] if stage == "Pull" else ["PENDING", "FAILURE"]
            self.assertEqual(outcome.texts("githubNotify"), known)
            self.assertEqual(outcome.events[-1]["step"], "deleteDir")

    def test_other_branches_are_not_deployed(self) -> None:
        """A feature branch is built and tested, and nothing else."""
        outcome = self.run_pipeline(branch="feature/dns")
        self.assertEqual(outcome.result, "SUCCESS", outcome.log)
        self.assertEqual(outcome.stages(), STAGES[:3])
        self.assertNotIn("push", self.calls.read_text())
        self.assertNotIn("deploy.sh", self.calls.read_text())

    def test_without_a_registry_nothing_is_deployed(self) -> None:
        """A Jenkins on which nothing is set up builds and tests."""
        outcome = self.run_pipeline(REGISTRY="", GITHUB_CREDENTIALS="", MAIL_TO="")
        self.assertEqual(outcome.result, "SUCCESS", outcome.log)
        self.assertEqual(outcome.stages(), STAGES[:3])
        self.assertEqual(outcome.image, "metro-backend:1.2.3-0123456789ab")
        self.assertEqual(outcome.texts("githubNotify"), [])

    def test_a_failing_program_fails_its_stage(self) -> None:
        """The status of the programs counts, not only that they were called."""
        (self.work / "programs" / "make").write_text("#!/bin/sh\nexit 3\n")
        outcome = self.run_pipeline()
        self.assertEqual(outcome.result, "FAILURE")
        self.assertEqual(outcome.stages(), STAGES[:3])
        self.assertEqual(outcome.texts("junit"), ["junit.xml"])
