"""Who may call pachd, and how it is reached: tokens and TLS."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from botocore.exceptions import SSLError
from pachyderm_sdk.errors import AuthServiceNotActivated

from pachyderm_standin.process import StandinProcess
from tests.contract.conftest import TOKEN, Target, auth_is_on, target_client, with_auth
from tests.support.certificates import Certificates
from tests.support.pachd import Pachd, add, refused
from tests.support.s3 import s3_client

pytestmark = with_auth
BAD_TOKEN = "provided auth token is corrupted or has expired (try logging in again)"
NO_TOKEN = "no authentication token (try logging in)"


def every_call(pachd: Pachd) -> list[Any]:
    branch = pachd.branch("no-such-repo")
    commit = pachd.head_of(branch)
    api: Any = pachd.api
    return [
        pachd.client.auth.who_am_i,
        lambda: api.create_repo(repo=branch.repo),
        lambda: api.inspect_repo(repo=branch.repo),
        lambda: list(api.list_repo()),
        lambda: list(api.list_project()),
        lambda: api.inspect_branch(branch=branch),
        lambda: api.start_commit(branch=branch),
        lambda: api.finish_commit(commit=commit),
        lambda: api.inspect_commit(commit=commit),
        lambda: api.drop_commit(commit=commit),
        lambda: pachd.modify(commit, [add("/file", b"x")]),
        lambda: pachd.walk(commit),
        lambda: pachd.read(commit, "/file"),
    ]


@pytest.mark.parametrize(
    ("token", "words"), [("wrong", BAD_TOKEN), ("", BAD_TOKEN), (None, NO_TOKEN)], ids=["wrong", "empty", "none"]
)
def test_without_a_good_token_every_call_is_unauthenticated(
    guarded: Target, token: str | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PACH_PYTHON_AUTH_TOKEN", raising=False)
    for call in every_call(target_client(guarded, token)):
        with refused("UNAUTHENTICATED", words):
            call()


def test_the_version_is_told_to_everybody(guarded: Target) -> None:
    assert target_client(guarded, "wrong").client.get_version() is not None


def test_one_token_opens_both_fronts(guarded: Target) -> None:
    pachd, name = target_client(guarded, guarded.access_key), f"contract-{uuid4().hex[:12]}"
    assert pachd.client.auth.who_am_i().username
    branch = pachd.branch(name)
    pachd.api.create_repo(repo=branch.repo)
    try:
        pachd.commit(branch, {"/file": b"x"})
        s3 = s3_client(guarded.endpoint, guarded.access_key, verify=guarded.ca_file or None)
        assert s3.get_object(Bucket=f"master.{name}", Key="file")["Body"].read() == b"x"
        s3.close()
    finally:
        pachd.api.delete_repo(repo=branch.repo)


def test_with_auth_off_any_token_will_do_and_nobody_has_a_name(target: Target, pachd: Pachd) -> None:
    if auth_is_on(target):
        pytest.skip("auth is on")
    for token in ("anything", None):
        client = target_client(target, token)
        assert list(client.api.list_repo()) is not None
        with pytest.raises(AuthServiceNotActivated, match="the auth service is not activated"):
            client.client.auth.who_am_i()


# TLS.


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def encrypted(target: Target, certificates: Certificates) -> Iterator[Target]:
    """A Pachyderm behind TLS: the one under test if it is a real one, where it is."""
    if target.standin is None:
        if not (target.pachd_address.startswith("grpcs://") and target.endpoint.startswith("https://")):
            pytest.skip("needs a Pachyderm with TLS: https://, grpcs:// and PACHD_CA_FILE")
        yield target
        return
    with StandinProcess(tls=(certificates.certificate, certificates.key)) as standin:
        ca_file = str(certificates.authority)
        yield Target(standin.endpoint, TOKEN, TOKEN, standin.pachd_address, ca_file, standin)


def test_both_fronts_are_reached_over_tls_with_the_right_authority(encrypted: Target) -> None:
    pachd, name = target_client(encrypted, encrypted.access_key), f"contract-{uuid4().hex[:12]}"
    branch, content = pachd.branch(name), bytes(range(256)) * 20_000
    s3 = s3_client(encrypted.endpoint, encrypted.access_key, verify=encrypted.ca_file)
    try:
        s3.create_bucket(Bucket=f"master.{name}")
        s3.put_object(Bucket=f"master.{name}", Key="over-s3", Body=content)
        commit = pachd.start(branch)
        pachd.modify(commit, [add("/over-grpc", content)])
        pachd.finish(commit)
        assert s3.get_object(Bucket=f"master.{name}", Key="over-grpc")["Body"].read() == content
        assert pachd.read(commit, "/over-s3") == content
    finally:
        pachd.api.delete_repo(repo=branch.repo)
        s3.close()


def test_an_unknown_authority_is_not_trusted(encrypted: Target, tmp_path: Path) -> None:
    stranger = Certificates(tmp_path)
    with pytest.raises((grpc.RpcError, ConnectionError)):
        Pachd(encrypted.pachd_address, None, stranger.authority.read_bytes()).client.get_version()
    s3 = s3_client(encrypted.endpoint, TOKEN, verify=str(stranger.authority))
    with pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        s3.list_buckets()
    s3.close()


def test_without_tls_there_is_no_way_in(encrypted: Target) -> None:
    with pytest.raises((grpc.RpcError, ConnectionError)):
        Pachd(encrypted.pachd_address.replace("grpcs://", "grpc://")).client.get_version()
