"""Auth and TLS: what is right works with all three clients, what is wrong has its own reason within seconds."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from pachyderm_standin.process import StandinProcess
from s3sync_local import pki
from s3sync_local.pki import Authority
from tests.job.conftest import CLIENTS, STAGING, Ended, Job
from tests.support.job_server import JobServer
from tests.support.pachd import Pachd

pytestmark = pytest.mark.xdist_group("job access")
"""Their three stand-ins are started once."""

TOKEN = "a-token-of-pachyderm"
FILES = {"in/a": b"x" * 1000, "in/large": bytes(range(250)) * 40_000}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    authority = Authority.create("tests")
    authority.pair().write(folder, "ca")
    Authority.create("others").pair().write(folder, "other-ca")
    return authority


@pytest.fixture(scope="module")
def secure(folder: Path, authority: Authority) -> Iterator[StandinProcess]:
    """A stand-in with auth and TLS on."""
    pair = authority.server("localhost", ["localhost", "127.0.0.1"]).write(folder, "server")
    with StandinProcess(tls=pair, tokens=[TOKEN]) as standin:
        yield standin


@pytest.fixture(scope="module")
def expired(folder: Path, authority: Authority) -> Iterator[StandinProcess]:
    """A stand-in whose certificate is of yesterday."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pki, "SLACK", timedelta(days=2))
        patch.setattr(pki, "VALIDITY", timedelta(days=-1))
        pair = authority.server("localhost", ["localhost", "127.0.0.1"]).write(folder, "expired")
    with StandinProcess(tls=pair) as standin:
        yield standin


@pytest.fixture(scope="module")
def misnamed(folder: Path, authority: Authority) -> Iterator[StandinProcess]:
    """A stand-in whose certificate is for another host."""
    with StandinProcess(tls=authority.server("elsewhere", ["elsewhere.example"]).write(folder, "misnamed")) as standin:
        yield standin


@pytest.fixture
def sync(folder: Path, tmp_path: Path, job_server: JobServer) -> Callable[..., Ended]:
    """Stages FILES on a stand-in, to a repo that is there already, with more variables."""

    def run(standin: StandinProcess, client: str, *arguments: str, ca: str = "ca", **variables: str) -> Ended:
        job = Job(job_server.program, standin, "master.testrepo", tmp_path)
        job.write(FILES)
        keys = {"AWS_ACCESS_KEY_ID": TOKEN, "AWS_SECRET_ACCESS_KEY": TOKEN, "S3_CA_FILE": str(folder / f"{ca}.crt")}
        flags = ("-i", "in", "--client", client, "--staging-branch", STAGING)
        return job.run(*flags, *arguments, **{"PACHD_ADDRESS": standin.pachd_address, **keys, **variables})

    return run


@pytest.fixture(autouse=True)
def repo(secure: StandinProcess, folder: Path) -> None:
    """The repo that all syncs are for."""
    pachd = Pachd(secure.pachd_address, TOKEN, (folder / "ca.crt").read_bytes())
    branch = pachd.branch("testrepo")
    pachd.api.create_repo(repo=branch.repo, update=True)
    pachd.api.create_branch(branch=branch)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("level", ["Full", "Checksum"])
def test_an_own_ca_and_a_token_are_all_it_takes(
    sync: Callable[..., Ended], secure: StandinProcess, client: str, level: str
) -> None:
    run = sync(secure, client, "--verify", level)
    assert (run.code, run.reason, run.errors) == (0, "Verified", "")
    assert TOKEN.encode() not in run.output


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("server", ["secure", "expired", "misnamed"])
def test_any_certificate_will_do_where_verification_is_skipped(
    sync: Callable[..., Ended], request: pytest.FixtureRequest, client: str, server: str
) -> None:
    target: StandinProcess = request.getfixturevalue(server)
    run = sync(target, client, "--insecure-skip-verify", S3_CA_FILE="")
    # Only the first has the repo; to be told that it is missing is to have been let in.
    assert run.reason == ("Verified" if server == "secure" else "BucketNotFound"), run.report["message"]
    assert run.errors == ""


@pytest.mark.parametrize("client", CLIENTS)
def test_a_wrong_token_is_denied(sync: Callable[..., Ended], secure: StandinProcess, client: str) -> None:
    wrong = "a-wrong-token-of-pachyderm"
    run = sync(secure, client, AWS_ACCESS_KEY_ID=wrong, AWS_SECRET_ACCESS_KEY=wrong)
    assert (run.code, run.reason) == (7, "AccessDenied")
    assert wrong not in run.errors + run.output.decode()


def test_a_wrong_token_for_pachd_alone_is_denied_and_named(sync: Callable[..., Ended], secure: StandinProcess) -> None:
    run = sync(secure, "pfs", PACHYDERM_TOKEN="another-wrong-token")
    assert (run.code, run.reason) == (7, "AccessDenied")
    assert "PACHYDERM_TOKEN" in run.report["message"]


@pytest.mark.parametrize("through", ["S3", "gRPC"])
@pytest.mark.parametrize(
    ("server", "ca", "ending", "words"),
    [
        ("secure", "other-ca", (167, "CertificateUntrusted"), "a CA that is not trusted"),
        ("expired", "ca", (168, "CertificateExpired"), "has expired"),
        ("misnamed", "ca", (163, "TLSFailed"), "is for another host"),
    ],
)
def test_each_fault_of_a_certificate_has_its_reason(
    sync: Callable[..., Ended],
    request: pytest.FixtureRequest,
    through: str,
    server: str,
    ca: str,
    ending: tuple[int, str],
    words: str,
) -> None:
    target: StandinProcess = request.getfixturevalue(server)
    if through == "gRPC":
        run = sync(target, "pfs", ca=ca)
    else:
        # Straight to the branch, so that pachd is not asked first.
        run = sync(target, "minio", "--staging-branch", "", ca=ca, PACHD_ADDRESS="")
    assert (run.code, run.reason) == ending, run.report["message"]
    assert words in run.report["message"]
    assert run.errors == ""


def test_a_certificate_that_is_not_trusted_fails_within_seconds(
    sync: Callable[..., Ended], secure: StandinProcess
) -> None:
    report = sync(secure, "pfs", ca="other-ca").report
    assert sum(report["stepSeconds"].get(step, 0) for step in ("probe", "copy")) < 10


def test_tls_towards_a_pachd_without_is_told_by_its_flag(job: Job) -> None:
    job.write(FILES)
    run = job.stage("pfs", "--pachd-address", job.standin.pachd_address.replace("grpc:", "grpcs:"))
    assert (run.code, run.reason) == (163, "TLSFailed")
    assert run.report["message"].startswith("--pachd-address")


@pytest.mark.parametrize("answers", ["nobody", "an S3 gateway", "somebody silent"])
def test_where_no_pachd_answers_it_is_unreachable(job: Job, answers: str) -> None:
    job.write(FILES)
    with socket.create_server(("127.0.0.1", 0)) as server:
        silent = f"127.0.0.1:{server.getsockname()[1]}"
        if answers == "somebody silent":
            run = job.stage("pfs", "--pachd-address", silent)
    if answers != "somebody silent":
        run = job.stage("pfs", "--pachd-address", silent if answers == "nobody" else job.standin.host_port)
    assert (run.code, run.reason) == (164, "PachdUnreachable"), run.report["message"]


def test_a_client_certificate_that_tensorflow_cannot_show_is_refused_before_anything_is_sent(
    sync: Callable[..., Ended], secure: StandinProcess, folder: Path, authority: Authority
) -> None:
    certificate, key = authority.user("worker").write(folder, "client")
    pair: dict[str, Any] = {"S3SYNC_CLIENT_CERT": str(certificate), "S3SYNC_CLIENT_KEY": str(key)}
    run = sync(secure, "file_io", **pair)
    assert (run.code, run.reason) == (2, "InvalidArguments")
    assert "S3SYNC_CLIENT_CERT" in run.report["message"]
    assert [sync(secure, client, **pair).code for client in ("minio", "pfs")] == [0, 0]


def test_the_certificates_of_these_tests_are_what_they_are_said_to_be(folder: Path, expired: StandinProcess) -> None:
    certificate = x509.load_pem_x509_certificate((folder / "expired.crt").read_bytes())
    assert certificate.not_valid_after_utc < datetime.now(UTC)
