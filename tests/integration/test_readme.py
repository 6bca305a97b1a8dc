"""Each example of README.md, run as it stands there."""

import os
import re
import shlex
import subprocess
import textwrap
from pathlib import Path

import pytest
import yaml

from pachyderm_standin.process import StandinProcess
from s3sync_local.cluster import LocalCluster
from tests.integration.conftest import QUICK
from tests.support.operator_process import ROOT, OperatorProcess

README = (ROOT / "README.md").read_text()
FENCED = re.compile(r"(?ms)^ *```(\w+)\n(.*?)^ *```")
BLOCKS = [(kind, textwrap.dedent(text)) for kind, text in FENCED.findall(README)]
YAML = [text for kind, text in BLOCKS if kind == "yaml"]
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines() if line.strip()]


def of(program: str) -> list[list[str]]:
    """Return the README's commands of a program, in their order, as arguments."""
    words = [shlex.split(os.path.expandvars(line)) for line in COMMANDS]
    return [found for found in words if any(word.endswith(program) for word in found[:2])]


def test_every_command_is_run_by_some_test() -> None:
    assert sum(len(of(program)) for program in ("kubectl", "s3sync", "s3sync-job", "make")) == len(COMMANDS)
    assert [found[1] for found in of("make")] == ["demo", "test"], "these two are run by .ci/run"


def test_the_sample_is_the_readmes_first_example() -> None:
    assert yaml.safe_load(YAML[0]) == yaml.safe_load((ROOT / "deploy/samples/s3-gateway-example.yaml").read_text())


def test_the_kubectl_commands_lead_from_install_to_ready(
    installed: LocalCluster, standin: StandinProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    if not installed.kubectl("get", "namespace", "kubeflow", "--ignore-not-found"):
        installed.create_namespace("kubeflow")
    settings = QUICK | {"default_endpoint": standin.endpoint, "namespaces": "kubeflow"}
    with OperatorProcess(installed, tmp_path / "log", **settings):
        printed = [installed.kubectl(*found[1:], timeout=120) for found in of("kubectl")]
    assert "condition met" in printed[2]
    assert "Verified" in printed[3]
    assert "TFJobCreated" in printed[4]
    installed.kubectl("delete", "-f", "deploy/samples/s3-gateway-example.yaml")
    installed.kubectl("delete", "deployment", "s3sync-operator", "-n", "s3sync-system")


def test_the_job_runs_without_a_cluster(standin: StandinProcess, s3: object) -> None:
    (found,) = of("s3sync-job")
    variable, program, *flags = found
    assert variable == "S3_ENDPOINT=http://localhost:30600"
    s3.create_bucket(Bucket="master.testrepo")  # type: ignore[attr-defined]
    ran = subprocess.run(
        [ROOT / program, *flags],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "S3_ENDPOINT": standin.endpoint},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Verified" in ran.stdout


def test_the_command_line_checks_and_runs_the_sample(standin: StandinProcess) -> None:
    validate, run = of("s3sync")
    assert (validate[1], run[1]) == ("validate", "run")
    here = [standin.endpoint if word == "localhost:30600" else word for word in run]
    for found in (validate, here):
        ran = subprocess.run(found, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Verified" in ran.stdout
