"""What `s3sync run` gives its job: flags, environment and Secrets, without a cluster."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from s3sync_cli.documents import documents
from s3sync_cli.local_job import command, write_certificates
from s3sync_cli.local_secrets import BadSecretError, LocalSecrets, local_secrets
from s3sync_cli.rendering import container_of, rendered
from s3sync_operator.errors import TemporarySyncError
from s3sync_operator.settings import Settings
from tests.support.objects import sync

FOLDER = Path("/somewhere")


def container(**spec: Any) -> dict[str, Any]:
    found = sync(**spec)
    assert found.spec
    return container_of(rendered(found, found.spec, Settings(), ["token"], ["ca.crt"]))


def secrets(*manifests: dict[str, Any], **environment: str) -> LocalSecrets:
    text = yaml.safe_dump_all({"apiVersion": "v1", "kind": "Secret", **manifest} for manifest in manifests)
    return local_secrets(list(documents(text, "s.yaml")), environment, {})


def read(found: LocalSecrets, field: str = "spec.secretRef") -> dict[str, str]:
    return asyncio.run(found.get_secret("ns", "s", field))


def test_the_job_gets_the_flags_that_its_pod_would_get() -> None:
    given = container(client="minio", verify="Checksum", filter={"exclude": ["*.tmp"]})
    what = command(given, {}, FOLDER, {}, None, "testdata")
    assert list(what.arguments) == given["args"]


def test_another_input_path_keeps_the_directory_in_the_repo() -> None:
    given = container(inputPath="/data/in", destinationPath="books")
    flags = command(given, {}, FOLDER, {}, "here", "books").arguments
    assert flags == ("--bucket=master.testrepo", "--inputpath=here", "--destination-path=books")
    top = command(container(destinationPath="/"), {}, FOLDER, {}, "here", "").arguments
    assert top[-1] == "--destination-path=/"


def test_references_to_the_secret_become_its_values_in_the_environment_alone() -> None:
    what = command(container(secretRef={"name": "s"}), {"token": "t0ken"}, FOLDER, {}, None, "testdata")
    assert (what.environment["AWS_ACCESS_KEY_ID"], what.environment["AWS_SECRET_ACCESS_KEY"]) == ("t0ken", "t0ken")
    assert "t0ken" not in " ".join(what.arguments) + repr(what)


def test_what_this_shell_has_set_for_another_s3_does_not_reach_the_job() -> None:
    here = {"PATH": "/bin", "AWS_SESSION_TOKEN": "x", "S3_VERIFY_SSL": "0", "TF_CONFIG": "{}", "PACHD_ADDRESS": "p"}
    given = command(container(), {}, FOLDER, here, None, "testdata").environment
    assert {name for name in given if name in here} == {"PATH"}


def test_the_certificates_lie_in_a_folder_of_this_machine(tmp_path: Path) -> None:
    what = command(container(certSecretRef={"name": "c"}), {}, tmp_path, {}, None, "testdata")
    write_certificates(tmp_path, {"ca.crt": "the CA"})
    assert Path(what.environment["S3_CA_FILE"]).read_text() == "the CA"
    assert Path(what.environment["S3_CA_FILE"]).stat().st_mode & 0o777 == 0o600


def test_a_secrets_manifest_goes_before_the_environment_and_a_token_before_keys() -> None:
    data = {"token": base64.b64encode(b"from-a-file").decode()}
    assert read(secrets({"metadata": {"name": "s"}, "data": data}, PACHYDERM_TOKEN="t")) == {"token": "from-a-file"}
    plain = {"metadata": {"name": "s"}, "data": data, "stringData": {"token": "plain"}}
    assert read(secrets(plain)) == {"token": "plain"}
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    assert read(secrets(PACHYDERM_TOKEN="t", **keys)) == {"token": "t"}
    assert read(secrets(**keys)) == keys


@pytest.mark.parametrize(
    ("field", "remedy"), [("spec.secretRef", "set PACHYDERM_TOKEN"), ("spec.certSecretRef", "S3_CA_FILE")]
)
def test_a_secret_that_is_nowhere_is_asked_for_by_its_field(field: str, remedy: str) -> None:
    with pytest.raises(TemporarySyncError, match=remedy) as error:
        read(secrets({"metadata": {"name": "another"}, "stringData": {"token": "t"}}), field)
    assert error.value.reason == "SecretNotFound"
    assert f"{field} names Secret 's'" in error.value.message


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ({"metadata": {"name": "s"}, "data": {"token": "not base64: s3cret"}}, "data.token is not text in base64"),
        ({"metadata": {"name": "s"}, "data": {"token": "/w=="}}, "data.token is not text in base64"),
        ({"metadata": {"name": "s"}, "stringData": {"token": 5}}, "stringData must hold texts alone"),
        ({"metadata": {}, "stringData": {}}, "has no metadata.name"),
    ],
)
def test_a_manifest_that_is_no_secret_is_refused_without_its_values(manifest: dict[str, Any], said: str) -> None:
    with pytest.raises(BadSecretError, match=said) as error:
        secrets(manifest)
    assert str(error.value).startswith("s.yaml:")
    assert "s3cret" not in str(error.value)
