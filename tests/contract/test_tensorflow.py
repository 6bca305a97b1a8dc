"""The client that matters: TensorFlow's own S3 plugin, in a process of its own."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import tensorflow_client

CLIENT_SECONDS = 240
SMALL = {
    "Moby Dick/Chapter 1 Loomings.txt": b"Call me Ishmael.\n" * 700,
    "A Tale of Two Cities/Chapter 1 The Period.txt": b"It was the best of times\n" * 100,
    "empty": b"",
    "binary": bytes(range(256)),
}
LARGE_BYTES = 52 * 1024 * 1024


@pytest.fixture
def seen(target: Any, bucket: str, tmp_path: Path) -> dict[str, Any]:
    """What the client saw after copying small files and one that goes up in parts."""
    if importlib.util.find_spec("tensorflow_io") is None:
        pytest.skip("needs tensorflow-cpu and tensorflow-io")
    folder = tmp_path / "testdata"
    for name, content in SMALL.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    with (folder / "large").open("wb") as stream:
        stream.truncate(LARGE_BYTES)
    environment = {
        **os.environ,
        "S3_ENDPOINT": target.endpoint,
        "AWS_ACCESS_KEY_ID": target.access_key,
        "AWS_SECRET_ACCESS_KEY": target.secret_key,
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_RETRY_MODE": "standard",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [sys.executable, tensorflow_client.__file__, bucket, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=CLIENT_SECONDS, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_tensorflow_copies_lists_and_reads_back_a_tree(seen: dict[str, Any], s3: Any, bucket: str) -> None:
    names = sorted([*SMALL, "large"])
    assert seen["equal"] == names
    assert seen["walked"] == names
    assert seen["sizes"] == {**{name: len(content) for name, content in SMALL.items()}, "large": LARGE_BYTES}
    assert {name.rstrip("/") for name in seen["top"]} == {name.partition("/")[0] for name in names}
    assert (seen["exists"], seen["missing_exists"]) == (True, False)
    assert seen["refused"] != ""
    assert seen["missing_bucket"] != ""
    listed = [item["Key"] for item in s3.list_objects(Bucket=bucket)["Contents"]]
    assert listed == [f"testdata/{name}" for name in names]
