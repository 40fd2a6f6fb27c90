"""From a commit to running servers: git, the Jenkinsfile, a registry and a swarm, all real."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from e2e.command import run, wait_for
from e2e.docker_engine import Engine
from e2e.images import BASE, OFFLINE, ROOT, data_root_with_wheels
from e2e.load import Load
from e2e.namespace import Namespace
from e2e.pipeline import Outcome, Scenario
from e2e.provision import need_program
from e2e.registry import ADDRESS, Registry
from e2e.sources import URL, Sources
from e2e.swarm import PORT, STACK, Swarm

SOURCE = ("metro_backend", "twisted", "deploy", "Dockerfile", ".dockerignore", "LICENSE")
TEST = "#!/bin/sh\necho '<testsuite/>' >\"$1\"\n"
"""In place of the tests, which have their own time."""

VERSION = ("metro_backend/__init__.py", "^__version__ = .*$")


class ChainTests(SynchronousTestCase):
    """Commits that are made, and what phones notice of it."""

    def setUp(self) -> None:
        """Start an engine, a registry, a swarm and sources; make a repository."""
        need_program("git", "git")
        data = data_root_with_wheels()
        self.namespace = Namespace()
        self.addCleanup(self.namespace.close)
        self.engine = Engine(data, self.namespace)
        self.addCleanup(self.engine.close)
        # Here the Dockerfile's FROM means a base on which a build needs no network.
        self.engine("tag", BASE, "metro-e2e:online")
        self.engine("tag", OFFLINE, BASE)
        self.addCleanup(self.engine, "tag", "metro-e2e:online", BASE)
        self.work = Path(tempfile.mkdtemp(prefix="metro-e2e-"))
        self.addCleanup(shutil.rmtree, self.work)
        self.swarm = Swarm(self.engine, self.namespace)
        self.registry = Registry(self.namespace, self.work)
        self.addCleanup(self.registry.close)
        sources = Sources(self.namespace)
        self.addCleanup(sources.close)
        self.programs = self.make_programs()
        self.repository = self.make_repository()
        self.env_file = self.work / "env"
        self.env_file.write_text(
            f"MOSMETRO_GITHUB_API={URL}\n"
            f"MOSMETRO_JENKINS_URL={URL}\n"
            "MOSMETRO_NOTIFY_TOKEN=opaque-value\n"
            'MOSMETRO_BRANCHES_STABLE="play beta master"\n'
            "MOSMETRO_DRAIN=20\n"
            f"METRO_PORT={PORT}\n"
        )

    def make_programs(self) -> Path:
        """Put the engine's own client and a `make` that does nothing first on the path."""
        programs = self.work / "programs"
        programs.mkdir()
        (programs / "make").write_text("#!/bin/sh\n")
        (programs / "make").chmod(0o755)
        own = Path("/usr/bin/docker")
        docker = own if own.exists() else Path(need_program("docker", "docker.io"))
        (programs / "docker").symlink_to(docker)
        return programs

    def make_repository(self) -> Path:
        """Make a bare repository with what the image is made of."""
        source = self.work / "source"
        source.mkdir()
        for name in (*SOURCE, *(each.name for each in ROOT.glob("README*"))):
            origin = ROOT / name
            if origin.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "dropin.cache")
                shutil.copytree(origin, source / name, ignore=ignored)
            else:
                shutil.copy(origin, source)
        for name in ("setup.cfg", "pyproject.toml"):
            shutil.copy(ROOT / name, source)
        (source / "deploy" / "junit.sh").write_text(TEST)
        bare = self.work / "metro.git"
        run("git", "init", "--quiet", "--bare", "--initial-branch", "master", bare)
        self.git("init", "--quiet", "--initial-branch", "master")
        self.git("remote", "add", "origin", str(bare))
        return bare

    def git(self, *arguments: str) -> None:
        """Run git in the source."""
        run(
            "git", "-c", "user.name=A", "-c", "user.email=a@metro.example", *arguments,
            cwd=self.work / "source",
        )  # fmt: skip

    def commit(self, path: str, pattern: str, text: str) -> None:
        """Replace a line of a file, and push a commit."""
        file = self.work / "source" / path
        changed, count = re.subn(pattern, text, file.read_text(), count=1, flags=re.MULTILINE)
        self.assertEqual(count, 1)
        file.write_text(changed)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "A change")
        self.git("push", "--quiet", "origin", "master")

    def run_pipeline(self) -> Outcome:
        """Let the pipeline run on what is in the repository."""
        workspace = Path(tempfile.mkdtemp(prefix="workspace-", dir=self.work))
        return Scenario(
            workspace=workspace,
            params={
                "REGISTRY": ADDRESS,
                "STACK": STACK,
                "PUBLIC_URL": f"http://127.0.0.1:{PORT}",
                "PULL_BASE": False,
            },
            credentials={
                "metro-registry": {"username": "anybody", "password": "opaque-value"},
                "metro-env": str(self.env_file),
                "metro-notify": "opaque-value",
            },
            checkout=["git", "clone", "--quiet", str(self.repository), "."],
            env={
                "PATH": f"{self.programs}:/usr/sbin:/usr/bin:/sbin:/bin",
                "DOCKER_HOST": self.engine.environment["DOCKER_HOST"],
            },
        ).run(self.namespace.inside(), timeout=400)

    def version(self) -> str:
        """Return the version that answers."""
        return self.swarm.door.get("/healthz").headers["server"]

    def test_commits_become_servers(self) -> None:
        """A commit is deployed and no request fails; a broken one is not, and no request fails."""
        self.commit(*VERSION, '__version__ = "1.0.1"')
        first = self.run_pipeline()
        self.assertEqual(first.result, "SUCCESS", f"{first.log}\n{self.swarm.report()}")
        self.assertEqual(len(self.swarm.containers()), 2)
        wait_for("the first version", lambda: self.version() == "metro-backend/1.0.1")
        branches = self.swarm.door.get("/api/v2/branches").json()["branches"]

        with Load(self.swarm.door, f"/releases/{branches['master']['filename']}") as load:
            self.commit(*VERSION, '__version__ = "1.0.2"')
            second = self.run_pipeline()
            self.assertEqual(second.result, "SUCCESS", f"{second.log}\n{self.swarm.report()}")
            self.assertEqual({self.version() for _ in range(10)}, {"metro-backend/1.0.2"})

            self.commit(
                "metro_backend/tap.py", "^_log = Logger\\(\\)$", "raise SystemExit('broken')"
            )
            third = self.run_pipeline()
        self.assertEqual(third.result, "FAILURE")
        self.assertEqual(third.stages()[-1], "Deploy")
        self.assertIn("does not run (rollback_completed)", third.log)
        self.assertEqual(self.swarm.image().partition("@")[0], second.image)
        self.assertEqual(self.version(), "metro-backend/1.0.2")
        self.assertEqual(dict(load.failed), {}, f"{dict(load.done)}\n{self.swarm.report()}")
        self.assertEqual(
            self.registry.tags("metro-backend"),
            sorted(each.image.rpartition(":")[2] for each in (first, second, third)),
        )
        print(f"\n    {dict(load.done)}", end=" ")
