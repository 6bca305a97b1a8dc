"""Installed, upgraded and uninstalled by Helm."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from s3sync_local.helm import ensure_helm
from s3sync_local.manifests import CHART
from tests.e2e.conftest import RESTRICTED, OwnSyncs
from tests.e2e.target import DEFINITION, OPERATOR_NAMESPACE, Target, wait_for_operator
from tests.e2e.test_seed import BOOKS, stored

RELEASE = "s3sync-operator"
HELM_SECONDS = 180


class Helm:
    """Helm against the target's cluster."""

    def __init__(self, target: Target, home: Path) -> None:
        self._helm, self._target = ensure_helm(print), target
        self._environment = {"KUBECONFIG": str(target.kubeconfig), "HOME": str(home), "PATH": "/usr/bin:/bin"}

    def run(self, *arguments: str) -> str:
        """Run it and return what it prints."""
        command = [str(self._helm), *arguments, "--namespace", OPERATOR_NAMESPACE]
        ran = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=HELM_SECONDS, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def install(self, *flags: str) -> None:
        """Install the release, or upgrade it, and wait for the operator."""
        name, _, tag = self._target.operator_image.rpartition(":")
        job, _, job_tag = self._target.job_image.rpartition(":")
        values = {
            "image.repository": name,
            "image.tag": tag,
            "jobImage.repository": job,
            "jobImage.tag": job_tag,
            "defaultEndpoint": self._target.endpoint,
        }
        sets = [f"--set={key}={value}" for key, value in values.items()]
        self.run("upgrade", RELEASE, str(CHART), "--install", *sets, *flags)
        wait_for_operator(self._target)


@pytest.fixture
def helm(target: Target, no_operator: None, tmp_path: Path) -> Iterator[Helm]:
    """Helm, where nothing is installed yet."""
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": OPERATOR_NAMESPACE, "labels": RESTRICTED},
    }
    target.kubectl("create", "-f", "-", stdin=json.dumps(namespace))
    yield Helm(target, tmp_path)
    target.kubectl("delete", "namespace", OPERATOR_NAMESPACE, "--wait=true", timeout=120)
    target.kubectl("delete", "crd", DEFINITION, "--ignore-not-found", timeout=60)


@pytest.mark.alone
def test_the_chart_installs_upgrades_and_leaves_definition_and_syncs(
    helm: Helm, target: Target, namespace: str, syncs_in: Callable[[str], OwnSyncs], s3: Any
) -> None:
    helm.install()
    syncs = syncs_in(namespace)
    name = syncs.apply()
    status = syncs.wait_ready(name)
    assert stored(s3, f"master.{name}") == BOOKS

    helm.install("--set=logFormat=plain")
    second = syncs.apply()
    syncs.wait_ready(second)
    assert syncs.get(name)["status"] == status

    helm.run("uninstall", RELEASE, "--wait")
    assert syncs.get(name)["status"] == status
    left = target.kubectl("get", "clusterroles,clusterrolebindings", "-o", "name")
    assert "s3sync" not in left
