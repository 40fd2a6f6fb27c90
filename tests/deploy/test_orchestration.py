"""The manifests for Kubernetes and the units for systemd, held against the server."""

from __future__ import annotations

import configparser
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from metro_backend.keys import KEYS
from metro_backend.tap import Options
from tests.deploy.test_containers import ROOT, routes

KUBERNETES = ROOT / "deploy" / "kubernetes"
SYSTEMD = ROOT / "deploy" / "systemd"


def documents(path: Path) -> list[dict[str, Any]]:
    """Read every document of a file."""
    return list(yaml.safe_load_all(path.read_text()))


class KubernetesTests(SynchronousTestCase):
    """What schemas do not see (`make e2e` checks those)."""

    def setUp(self) -> None:
        """Read the manifests that the kustomization names."""
        (self.kustomization,) = documents(KUBERNETES / "kustomization.yaml")
        self.objects = [
            each
            for name in self.kustomization["resources"]
            for each in documents(KUBERNETES / name)
        ]

    def find(self, kind: str, name: str = "metro-backend") -> dict[str, Any]:
        """Return the one object of that kind and name."""
        (found,) = [
            each
            for each in self.objects
            if each["kind"] == kind and each["metadata"]["name"] == name
        ]
        return found

    def pods(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield the name and the pods' labels of everything that makes pods."""
        for each in self.objects:
            if "template" in each.get("spec", {}):
                yield each["metadata"]["name"], each["spec"]["template"]["metadata"]["labels"]

    def test_every_file_is_named(self) -> None:
        """No manifest is forgotten."""
        names = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
        self.assertEqual(set(self.kustomization["resources"]), names)

    def test_selectors_match_pods(self) -> None:
        """Whoever selects pods selects those of one workload."""
        selectors = []
        for each in self.objects:
            spec = each["spec"]
            match each["kind"]:
                case "Service":
                    selectors.append(spec["selector"])
                case "Deployment" | "StatefulSet" | "PodDisruptionBudget":
                    selectors.append(spec["selector"]["matchLabels"])
                case "NetworkPolicy":
                    selectors.append(spec["podSelector"]["matchLabels"])
                    for rule in spec["ingress"]:
                        selectors += [peer["podSelector"]["matchLabels"] for peer in rule["from"]]
        pod = self.find("Deployment")["spec"]["template"]["spec"]
        for constraint in pod["topologySpreadConstraints"]:
            selectors.append(constraint["labelSelector"]["matchLabels"])
        self.assertGreater(len(selectors), 7)
        for selector in selectors:
            matching = [name for name, labels in self.pods() if selector.items() <= labels.items()]
            self.assertEqual(len(matching), 1, selector)

    def test_ports_are_those_of_the_container(self) -> None:
        """Services, probes and rules mean ports that containers have, by name."""
        ports = {
            port["name"]
            for each in self.objects
            for container in each["spec"].get("template", {}).get("spec", {}).get("containers", [])
            for port in container["ports"]
        }
        for kind, name in (("Service", "metro-backend"), ("Service", "metro-redis")):
            for port in self.find(kind, name)["spec"]["ports"]:
                self.assertIn(port["targetPort"], ports)
        (rule,) = self.find("Ingress")["spec"]["rules"]
        service = rule["http"]["paths"][0]["backend"]["service"]
        self.assertIn(
            service["port"]["name"],
            [port["name"] for port in self.find("Service", service["name"])["spec"]["ports"]],
        )

    def test_probes_ask_routes_that_exist(self) -> None:
        """A pod lives while it answers, and gets requests while it is ready."""
        (container,) = self.find("Deployment")["spec"]["template"]["spec"]["containers"]
        paths = {
            name: container[f"{name}Probe"]["httpGet"]["path"]
            for name in ("startup", "liveness", "readiness")
        }
        self.assertLessEqual(set(paths.values()), routes())
        # A pod that only has no list yet is not to be killed for that.
        self.assertEqual(
            paths, {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
        )

    def test_nobody_is_missed_during_an_update(self) -> None:
        """A pod goes only when another one is ready, and finishes what it has begun."""
        spec = self.find("Deployment")["spec"]
        self.assertEqual(spec["strategy"]["rollingUpdate"]["maxUnavailable"], 0)
        pod = spec["template"]["spec"]
        (container,) = pod["containers"]
        pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
        drain = int(self.settings()["MOSMETRO_DRAIN"])
        self.assertGreater(pod["terminationGracePeriodSeconds"], pause + drain + 2)
        self.assertEqual(self.find("HorizontalPodAutoscaler")["spec"]["minReplicas"], 2)

    def settings(self) -> dict[str, str]:
        """Return what the generated map holds."""
        (generator,) = self.kustomization["configMapGenerator"]
        return dict(each.split("=", 1) for each in generator["literals"])

    def test_settings_are_known(self) -> None:
        """Every setting is one of the server's, and none is a secret."""
        public = {key.variable for key in KEYS if not key.secret}
        self.assertLessEqual(set(self.settings()), public)
        self.assertEqual(self.settings()["MOSMETRO_REDIS"], "metro-redis")

    def test_pods_are_hardened(self) -> None:
        """No pod is root, writes to its image, or gains a privilege."""
        for each in self.objects:
            pod = each["spec"].get("template", {}).get("spec")
            if pod:
                self.assertTrue(pod["securityContext"]["runAsNonRoot"])
                self.assertFalse(pod["automountServiceAccountToken"])
                for container in pod["containers"]:
                    context = container["securityContext"]
                    self.assertTrue(context["readOnlyRootFilesystem"])
                    self.assertFalse(context["allowPrivilegeEscalation"])
                    self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
                    self.assertIn("memory", container["resources"]["limits"])


class AlarmTests(SynchronousTestCase):
    """``docs/operating.md``."""

    def test_every_counter_is_explained(self) -> None:
        """Whatever the server counts about itself, its operator can look up."""
        text = (ROOT / "docs" / "operating.md").read_text()
        names = {
            name
            for path in (ROOT / "metro_backend").rglob("*.py")
            for name in re.findall(r'"server\.([a-z_]+\.[a-z_0-9]+)"', path.read_text())
        }
        self.assertGreater(len(names), 30)
        self.assertEqual({name for name in names if f"`{name}`" not in text}, set())


class CommandLine(Options):
    """The options alone, without a look at what systemd passes on."""

    def postOptions(self) -> None:
        """Leave the values as they are."""


class SystemdTests(SynchronousTestCase):
    """The units."""

    def read(self, name: str) -> configparser.ConfigParser:
        """Read a unit."""
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        parser.optionxform = str  # type: ignore[assignment, method-assign]
        parser.read(SYSTEMD / name)
        return parser

    def test_command_is_understood(self) -> None:
        """The server takes the command line, and the socket has the name that it asks for."""
        unit = self.read("metro-backend.service")
        command = shlex.split(unit["Service"]["ExecStart"])
        self.assertEqual(command[1:4], ["--nodaemon", "--pidfile=", "metro-backend"])
        options = CommandLine({})
        options.parseOptions(command[4:])
        name = self.read("metro-backend.socket")["Socket"]["FileDescriptorName"]
        self.assertEqual(options["listen"], f"systemd:domain=INET6:name={name}")

    def test_sources_can_be_asked(self) -> None:
        """Nothing forbids the memory that pyOpenSSL's callbacks need."""
        service = self.read("metro-backend.service")["Service"]
        self.assertNotIn("MemoryDenyWriteExecute", service)

    def test_a_stop_is_longer_than_the_drain(self) -> None:
        """Nobody is killed while requests may still finish."""
        service = self.read("metro-backend.service")["Service"]
        drain = next(int(key.default) for key in KEYS if key.name == "drain")
        self.assertGreater(int(service["TimeoutStopSec"]), drain + 2)
        self.assertRegex(service["SuccessExitStatus"], re.compile(r"\b143\b"))
