"""Each example of README.md, run as it stands there."""

import os
import re
import shlex
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pachyderm_standin.process import StandinProcess
from s3sync_local.cluster import LocalCluster
from s3sync_local.demo import NAME, NAMESPACE
from tests.integration.conftest import QUICK, Syncs, conditions
from tests.support.operator_process import ROOT, OperatorProcess
from tests.support.pachd import Pachd

README = (ROOT / "README.md").read_text()
FENCED = re.compile(r"(?ms)^ *```(\w+)\n(.*?)^ *```")
BLOCKS = [(kind, textwrap.dedent(text)) for kind, text in FENCED.findall(README)]
YAML = [text for kind, text in BLOCKS if kind == "yaml"]
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines() if line.strip()]
BOOKS = {str(path.relative_to(ROOT)): path.read_bytes() for path in (ROOT / "testdata").rglob("*") if path.is_file()}
BUCKET = "master.testrepo"


@pytest.fixture(autouse=True)
def no_repo(standin: StandinProcess) -> Iterator[None]:
    """The examples all name one repo, which is not there before each of them."""
    yield
    pachd = Pachd(standin.pachd_address)
    pachd.api.delete_repo(repo=pachd.branch("testrepo").repo, force=True)


def of(program: str) -> list[list[str]]:
    """Return the README's commands of a program, in their order, as arguments."""
    words = [shlex.split(os.path.expandvars(line)) for line in COMMANDS]
    return [found for found in words if any(word.endswith(program) for word in found[:2])]


def test_every_command_is_run_by_some_test() -> None:
    assert sum(len(of(program)) for program in ("kubectl", "s3sync", "s3sync-job", "make")) == len(COMMANDS)
    assert [found[1] for found in of("make")] == ["demo", "test"], "these two are run by .ci/run"


def test_the_sample_is_the_readmes_first_example() -> None:
    assert yaml.safe_load(YAML[0]) == yaml.safe_load((ROOT / "deploy/samples/s3-gateway-example.yaml").read_text())


def test_the_kubectl_commands_lead_from_install_to_ready_and_the_books_arrive(
    installed: LocalCluster, standin: StandinProcess, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    if not installed.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found"):
        installed.create_namespace(NAMESPACE)
    settings = QUICK | {"default_endpoint": standin.endpoint, "namespaces": NAMESPACE}
    with OperatorProcess(installed, tmp_path / "log", **settings) as operator:
        printed = [installed.kubectl(*found[1:], timeout=120) for found in of("kubectl")]
    operator.assert_no_traceback()
    assert "condition met" in printed[2]
    assert "Verified" in printed[3]
    assert "TFJobCreated" in printed[4]
    assert_the_books_have_arrived(Syncs(installed, NAMESPACE, standin.endpoint), s3)
    installed.kubectl("delete", "-f", "deploy/samples/s3-gateway-example.yaml")
    installed.kubectl("delete", "deployment", "s3sync-operator", "-n", "s3sync-system")


def assert_the_books_have_arrived(syncs: Syncs, s3: Any) -> None:
    """The repo holds them, and the status tells so."""
    listed = s3.list_objects(Bucket=BUCKET)["Contents"]
    assert {item["Key"]: s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read() for item in listed} == BOOKS
    status = syncs.get(NAME)["status"]
    size = sum(len(content) for content in BOOKS.values())
    assert status["counts"] == {"files": 2, "bytes": size, "verified": 2, "failed": 0}
    assert status["phase"] == "Succeeded"
    assert status["destination"] == f"s3://{BUCKET}/testdata"
    assert status["manifestDigest"].startswith("sha256:")
    assert status["podNames"] == [f"{status['tfJobName']}-worker-0"]
    assert status["duration"].endswith("s")
    assert 0 < len(status["logTail"].encode()) <= 1024
    assert "s3syncReport" not in status["logTail"]
    assert list(conditions(status)) == ["Ready"]
    assert syncs.events(NAME, until="Verified") == ["BranchCreated", "TFJobCreated", "Verified"]


def test_the_job_runs_without_a_cluster(standin: StandinProcess, s3: Any) -> None:
    (found,) = of("s3sync-job")
    variable, program, *flags = found
    assert variable == "S3_ENDPOINT=http://localhost:30600"
    s3.create_bucket(Bucket=BUCKET)
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
