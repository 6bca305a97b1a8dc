"""What each program loads until it begins its work: start-up is a user's time, and modules are what it is made of.

Modules are counted, not seconds: seconds differ from machine to machine.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = "deploy/samples/s3-gateway-example.yaml"
REPORT = "import json, sys; sys.stderr.write('\\n' + json.dumps(sorted(sys.modules)))"
CLI = """
from s3sync_cli.app import app
try:
    app.main({arguments!r}, prog_name="s3sync")
except SystemExit:
    pass
"""

HEAVY = {"kopf", "kubernetes", "grpc", "google.protobuf", "botocore", "tensorflow", "numpy", "s3sync_job"}
"""Packages that take from a tenth of a second to seconds to load."""

GENERATED = {"kubernetes.client.api.core_v1_api", "kubernetes.aio.client.api.core_v1_api"}
"""The client library's classes of Kubernetes' calls, 2.5 s."""


def cli(*arguments: str) -> str:
    return CLI.format(arguments=list(arguments))


STARTS: dict[str, tuple[str, set[str], int]] = {
    "s3sync --help": (cli("--help"), HEAVY | {"s3sync_operator", "yaml", "pydantic"}, 150),
    "s3sync validate": (cli("validate", "-f", SAMPLE), HEAVY - {"kubernetes"}, 360),
    "s3sync render": (cli("render", "-f", SAMPLE), HEAVY - {"kubernetes"}, 370),
    "s3sync status": (cli("status", "--kubeconfig", "/nonexistent"), HEAVY - {"kubernetes"}, 600),
    "each command of s3sync": (
        "from s3sync_cli.app import app\nfor name in app.list_commands(None): app.get_command(None, name)\n",
        HEAVY - {"kubernetes"},
        640,
    ),
    "the operator": (
        "import s3sync_operator.__main__\n",
        {"grpc", "google.protobuf", "botocore", "tensorflow", "numpy", "s3sync_job", *GENERATED},
        750,
    ),
    "the job's flags": (
        "from s3sync_job.cli import build_parser\nbuild_parser()\n",
        {"tensorflow", "numpy", "botocore", "grpc", "google.protobuf", "minio"},
        300,
    ),
}
"""Code that starts a program, what it must not load, and how many modules it may; a tenth more than it does now."""


def loaded_by(code: str) -> list[str]:
    """Return the modules that a process has loaded once it has run the code."""
    ran = subprocess.run(
        [sys.executable, "-c", code + REPORT], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    found: list[str] = json.loads(ran.stderr.splitlines()[-1])
    return found


@pytest.mark.parametrize("start", STARTS)
def test_a_start_loads_what_it_needs_and_no_more(start: str) -> None:
    code, absent, bound = STARTS[start]
    loaded = loaded_by(code)
    assert sorted({name for name in loaded if name in absent}) == []
    assert len(loaded) <= bound


def test_what_the_operator_imports_later_is_compiled_in_its_image() -> None:
    recipe = (ROOT / "operator/Dockerfile").read_text().replace("\\\n", " ")
    found = re.search(r"prove\.py (.+)", recipe)
    assert found
    named = found[1].split()
    compiled = set(loaded_by("".join(f"import {name}\n" for name in named)))
    late = (
        "import s3sync_operator.__main__\n"
        "from s3sync_operator.pachyderm import S3Gateway\nfrom s3sync_operator.pachd import GrpcPachd\n"
        "import s3sync_operator.s3_calls, s3sync_operator.pachd_calls\n"
        "from s3sync_operator.api import parse_sync\n"
        f"parse_sync({manifest()!r})\n"
    )
    packages = {"s3sync_operator", "s3sync_pachyderm", "botocore", "grpc", "google", "kubernetes"}
    ours = {name for name in loaded_by(late) if name.split(".")[0] in packages}
    assert sorted(ours - compiled) == []


def manifest() -> dict[str, Any]:
    """Return a sync with parts that are Kubernetes' own."""
    return {
        "apiVersion": "sync.pachyderm.io/v1alpha1",
        "kind": "PachydermS3Sync",
        "metadata": {"name": "books", "namespace": "kubeflow", "uid": "u", "generation": 1, "resourceVersion": "1"},
        "spec": {
            "repo": "books",
            "podTemplate": {"tolerations": [{"key": "a"}], "nodeSelector": {"a": "b"}},
            "source": {"persistentVolumeClaim": {"claimName": "claim"}},
        },
    }
