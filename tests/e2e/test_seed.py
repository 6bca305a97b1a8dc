"""The steps that the example's document gave, on the operator that came of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from tests.e2e.conftest import OwnSyncs
from tests.e2e.target import ROOT, Target
from tests.support.syncs import Syncs

SAMPLE = ROOT / "deploy/samples/s3-gateway-example.yaml"
BOOKS = {str(path.relative_to(ROOT)): path.read_bytes() for path in (ROOT / "testdata").rglob("*") if path.is_file()}


def stored(s3: Any, bucket: str) -> dict[str, bytes]:
    """Return all that a bucket holds, as a plain S3 client reads it."""
    pages = s3.get_paginator("list_objects").paginate(Bucket=bucket)
    keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
    return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


@pytest.fixture
def kubeflow(operator: Path, syncs_in: Callable[[str], OwnSyncs]) -> OwnSyncs:
    """Syncs in the namespace of the example, which the cluster has."""
    return syncs_in("kubeflow")


@pytest.mark.fields("spec.repo", "spec.branch", "spec.inputPath")
def test_the_seeds_steps_lead_from_nothing_to_two_books_in_the_repo(
    kubeflow: OwnSyncs, target: Target, s3: Any
) -> None:
    sample = yaml.safe_load(SAMPLE.read_text())
    name, repo = sample["metadata"]["name"] + target.suffix, sample["spec"]["repo"] + target.suffix
    bucket = f"{sample['spec']['branch']}.{repo}"
    with pytest.raises(ClientError) as missing:
        s3.head_bucket(Bucket=bucket)
    assert missing.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404

    kubeflow.apply(name, **(sample["spec"] | {"repo": repo}))

    job = kubeflow.wait_for(name, lambda status: "tfJobName" in status, "started")["tfJobName"]
    kubeflow.kubectl("wait", "--for=condition=Succeeded", f"tfjob/{job}", "--timeout=120s", timeout=150)
    log = kubeflow.kubectl("logs", f"{job}-worker-0")
    assert "copying 2 files" in log
    assert "Verified (exit code 0)" in log
    kubeflow.kubectl("wait", "--for=condition=Ready", f"pachydermsyncs/{name}", "--timeout=60s")
    assert stored(s3, bucket) == BOOKS
    assert s3.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 200

    status = kubeflow.get(name)["status"]
    assert status["counts"] == {"files": 2, "bytes": sum(map(len, BOOKS.values())), "verified": 2, "failed": 0}
    assert status["podNames"] == [f"{job}-worker-0"]
    row = kubeflow.kubectl("get", "pachydermsyncs", name).splitlines()[1].split()
    assert row[:6] == [name, repo, sample["spec"]["branch"], "True", "Verified", "2"]
    kubeflow.kubectl("delete", "ps3", name)
    kubeflow.kubectl("wait", "--for=delete", f"tfjob/{job}", "--timeout=60s", timeout=90)
    assert stored(s3, bucket) == BOOKS, "deleting a sync never touches data"


def test_the_sample_as_it_stands_is_accepted(kubeflow: Syncs) -> None:
    answer = kubeflow.kubectl("apply", "--dry-run=server", "-o", "json", "-f", str(SAMPLE))
    assert json.loads(answer)["spec"] == yaml.safe_load(SAMPLE.read_text())["spec"]
