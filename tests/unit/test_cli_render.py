"""`s3sync render`: the operator's own object, from a file."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from s3sync_cli.app import app
from s3sync_operator.api import parse_sync
from s3sync_operator.staging import owner_and_run

CASES = Path(__file__).parent.parent / "golden" / "cases"
SAMPLE = {
    "apiVersion": "sync.pachyderm.io/v1alpha1",
    "kind": "PachydermS3Sync",
    "metadata": {"name": "books"},
    "spec": {"repo": "testrepo"},
}


def render(raw: Any, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["render", "-f", "-", *arguments], input=yaml.safe_dump(raw))


def sync(**spec: Any) -> dict[str, Any]:
    return SAMPLE | {"spec": {"repo": "testrepo", **spec}}


def container(rendered: str) -> Any:
    return yaml.safe_load(rendered)["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"][0]


def golden_without_retry() -> list[Path]:
    """Cases at whose attempt no other is due, and which build upon no commit: these a file alone tells."""
    found = []
    for case in sorted(CASES.iterdir()):
        cluster = yaml.safe_load((case / "cluster.yaml").read_text())
        stored = parse_sync(yaml.safe_load((case / "resource.yaml").read_text())).status
        if not cluster.get("staging") and not stored.next_attempt_time:
            found.append(case)
    return found


@pytest.mark.parametrize("case", golden_without_retry(), ids=lambda case: case.name)
def test_what_is_rendered_is_what_the_operator_would_apply(case: Path) -> None:
    resource = yaml.safe_load((case / "resource.yaml").read_text())
    keys = yaml.safe_load((case / "cluster.yaml").read_text()).get("secretKeys", ["token"])
    flags = ["--secret-keys", "token" if "token" in keys else "key-pair"]
    result = render(resource, *flags)
    assert result.exit_code == 0, result.output
    assert yaml.safe_load(result.output) == yaml.safe_load(next(case.glob("*job.yaml")).read_text())


def test_the_same_file_gives_the_same_bytes() -> None:
    assert render(SAMPLE).output == render(SAMPLE).output


def test_the_settings_that_are_given_are_the_operators() -> None:
    shown = render(
        SAMPLE, "--job-image", "registry.example.com/job:1", "--default-endpoint", "https://s3", "-n", "team"
    ).output
    assert yaml.safe_load(shown)["metadata"]["namespace"] == "team"
    assert container(shown)["image"] == "registry.example.com/job:1"
    assert {"name": "S3_ENDPOINT", "value": "https://s3"} in container(shown)["env"]


def test_what_only_the_cluster_knows_is_assumed_and_told() -> None:
    shown = render(sync(secretRef={"name": "s"}, certSecretRef={"name": "c"}, pachdAddress="p:1")).output
    comments = [line for line in shown.splitlines() if line.startswith("#")]
    assert "# Assumed: Secret 's' holds token." in comments
    assert "# Assumed: Secret 'c' holds ca.crt." in comments
    assert any("--base-commit=" in line for line in comments)
    (staging,) = [flag for flag in container(shown)["args"] if flag.startswith("--staging-branch=")]
    assert owner_and_run(staging.removeprefix("--staging-branch=") + "-w0")


def test_an_operators_pachd_address_makes_the_publish_atomic() -> None:
    atomic = container(render(SAMPLE, "--default-pachd-address", "pachd:30650").output)
    assert any(flag.startswith("--staging-branch=") for flag in atomic["args"])
    assert not any(flag.startswith("--staging-branch=") for flag in container(render(SAMPLE).output)["args"])


def test_what_the_operator_may_allow_is_rendered_and_a_plain_job_where_that_runs_it() -> None:
    result = render(sync(runner="Job", source={"hostPath": {"path": "/data"}}))
    assert result.exit_code == 0, result.output
    shown = yaml.safe_load(result.output)
    assert (shown["apiVersion"], shown["kind"]) == ("batch/v1", "Job")
    volumes = shown["spec"]["template"]["spec"]["volumes"]
    assert [volume["hostPath"]["path"] for volume in volumes if "hostPath" in volume] == ["/data"]


def test_several_syncs_are_several_documents(tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(yaml.safe_dump_all([SAMPLE, SAMPLE | {"metadata": {"name": "other"}}]))
    shown = CliRunner().invoke(app, ["render", "-f", str(tmp_path)]).output
    names = [item["metadata"]["annotations"]["sync.pachyderm.io/sync"] for item in yaml.safe_load_all(shown)]
    assert names == ["books", "other"]


@pytest.mark.parametrize("spec", [{"repo": "a b"}, {"client": "pfs"}, {"branch": "b", "bogus": 1}])
def test_a_sync_that_is_not_valid_is_not_rendered(spec: dict[str, Any]) -> None:
    result = render(sync(**spec))
    assert (result.exit_code, "apiVersion" in result.output) == (1, False)
    assert "standard input:6: books: spec." in result.output or "standard input:5: books: spec." in result.output


@pytest.mark.parametrize(
    "flag", ["--default-endpoint=ftp://x", "--job-image=two words", "--default-pachd-address=pachd"]
)
def test_a_setting_that_the_operator_would_refuse_is_refused(flag: str) -> None:
    result = render(SAMPLE, flag)
    assert result.exit_code == 2
    assert f"'{flag.partition('=')[0]}': '{flag.partition('=')[2]}' must be" in result.output
