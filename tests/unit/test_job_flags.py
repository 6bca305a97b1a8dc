"""The flags of transports, selection and atomic syncs, and which of them fit together."""

from __future__ import annotations

from pathlib import Path

import pytest

from s3sync_job.cli import build_parser, parse_settings
from s3sync_job.compare import Prune
from s3sync_job.filters import Filter
from s3sync_job.outcome import Reason, SyncError
from s3sync_job.plan import OnInvalidPath
from s3sync_job.settings import (
    PLACEHOLDER_KEY,
    Client,
    Pachd,
    RepoBranch,
    Settings,
    Staging,
    Verify,
    parse_repo_branch,
)

ENDPOINT = {"S3_ENDPOINT": "https://pachd:30600"}
ATOMIC = ("--pachd-address", "pachd:30650", "--staging-branch", "s3sync-1")


def settings(*arguments: str, **environment: str) -> Settings:
    basics = ["-b", "master.testrepo", "-i", "in"]
    return parse_settings(build_parser().parse_args([*basics, *arguments]), {**ENDPOINT, **environment})


def test_without_new_flags_all_is_as_it_was() -> None:
    plain = settings()
    assert (plain.client, plain.verify, plain.pachd, plain.staging) == (Client.FILE_IO, Verify.FULL, None, None)
    assert (plain.filter, plain.on_invalid_path, plain.prune) == (Filter(), OnInvalidPath.FAIL, None)


def test_every_flag_reaches_the_settings() -> None:
    given = settings(
        *ATOMIC,
        *("--client", "pfs", "--verify", "Checksum", "--base-commit", "0" * 32, "--destination-path", "/a/b/"),
        *("--include", "*.txt", "--include", "*.md", "--exclude", "x/", "--on-invalid-path", "Skip"),
        *("--prune", "--max-delete-percent", "20", "--batch-files", "7", "--batch-bytes", "8"),
        TF_CONFIG='{"cluster":{"worker":["a","b"]},"task":{"type":"worker","index":1}}',
    )
    assert (given.client, given.verify, given.prefix) == (Client.PFS, Verify.CHECKSUM, "a/b")
    assert given.staging == Staging("s3sync-1-w1", "0" * 32, 7, 8)
    assert (given.filter, given.on_invalid_path) == (Filter(("*.txt", "*.md"), ("x/",)), OnInvalidPath.SKIP)
    assert given.prune == Prune(dry_run=False, max_delete_percent=20)
    assert settings(*ATOMIC, "--prune-dry-run").prune == Prune(dry_run=True)


@pytest.mark.parametrize(("path", "prefix"), [("/", ""), (".", ""), ("a//b/", "a/b")])
def test_the_destination_is_a_directory_of_the_repo(path: str, prefix: str) -> None:
    assert settings("--destination-path", path).prefix == prefix


@pytest.mark.parametrize(
    ("address", "tls"),
    [
        ("pachd:30650", False),
        ("grpc://pachd:30650", False),
        ("http://pachd:30650", False),
        ("grpcs://pachd:30650", True),
    ],
)
def test_pachds_address_is_plain_unless_its_scheme_says_tls(address: str, tls: bool) -> None:
    expected = Pachd("pachd:30650", tls=tls, token=PLACEHOLDER_KEY)
    assert settings("--pachd-address", address).pachd == settings(PACHD_ADDRESS=address).pachd == expected


def test_pachds_address_of_half_a_version_6_is_refused() -> None:
    with pytest.raises(SyncError, match="--pachd-address"):
        settings(PACHD_ADDRESS="grpc://[::1")


def test_pachds_address_may_be_of_version_6() -> None:
    pachd = settings(PACHD_ADDRESS="grpcs://[::1]:443").pachd
    assert pachd is not None
    assert (pachd.host, pachd.port) == ("::1", 443)


def test_pachds_token_is_its_own_else_the_access_key_and_a_secret_either_way() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "access", "AWS_SECRET_ACCESS_KEY": "access", "PACHD_ADDRESS": "pachd:1"}
    shared, own = settings(**keys), settings(**keys, PACHYDERM_TOKEN="own")
    assert shared.pachd
    assert own.pachd
    assert (shared.pachd.token, own.pachd.token) == ("access", "own")
    assert set(own.secrets) == {"access", "own"}
    assert "own" not in repr(own.pachd).replace("unknown", "")
    assert settings(PACHD_ADDRESS="pachd:1").secrets == ()


def test_tls_files_hold_for_pachd_as_for_the_gateway(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("S3_CA_FILE", "S3SYNC_CLIENT_CERT", "S3SYNC_CLIENT_KEY")}
    for file in files.values():
        file.touch()
    given = settings("--client", "minio", *ATOMIC, **{name: str(file) for name, file in files.items()})
    assert given.pachd
    assert given.gateway.client_pair == given.pachd.client_pair is not None
    assert given.gateway.ca_file == given.pachd.ca_file == str(files["S3_CA_FILE"])


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [(["--insecure-skip-verify"], {}), ([], {"S3SYNC_INSECURE_SKIP_VERIFY": "1"}), ([], {"S3_VERIFY_SSL": "0"})],
)
def test_certificates_go_unchecked_on_demand_for_both(arguments: list[str], environment: dict[str, str]) -> None:
    given = settings(*ATOMIC, *arguments, **environment)
    assert given.pachd
    assert (given.gateway.verify_tls, given.pachd.verify_tls) == (False, False)


@pytest.mark.parametrize(
    ("bucket", "expected"),
    [
        ("repo", RepoBranch("default", "repo", "master")),
        ("dev.repo", RepoBranch("default", "repo", "dev")),
        ("dev.repo.team", RepoBranch("team", "repo", "dev")),
    ],
)
def test_a_bucket_is_a_branch_of_a_repo(bucket: str, expected: RepoBranch) -> None:
    assert parse_repo_branch(bucket) == expected


def test_a_branch_and_a_commit_of_it_have_buckets_of_their_own() -> None:
    assert RepoBranch("default", "repo", "master").bucket("staging") == "staging.repo"
    assert RepoBranch("team", "repo", "master").bucket("staging", "c0ffee") == "c0ffee.staging.repo.team"


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        (["--client", "rclone"], {}, "--client"),
        (["--verify", "full"], {}, "--verify"),
        (["--client", "pfs"], {}, "--client"),
        (["--on-invalid-path", "Ignore"], {}, "--on-invalid-path"),
        (["--staging-branch", "s"], {}, "--staging-branch"),
        (["--base-commit", "0" * 32], {}, "--base-commit"),
        ([*ATOMIC, "--base-commit", "master"], {}, "--base-commit"),
        ([*ATOMIC, "--staging-branch", "a.b"], {}, "--staging-branch"),
        (["--prune"], {}, "--prune"),
        (["--prune-dry-run", "--pachd-address", "pachd:1"], {}, "--prune"),
        ([*ATOMIC, "--prune", "--max-delete-percent", "101"], {}, "--max-delete-percent"),
        ([*ATOMIC, "--batch-files", "0"], {}, "--batch-files"),
        (["--include", ""], {}, "--include"),
        (["--destination-path", ""], {}, "--destination-path"),
        (["--destination-path", "../up"], {}, "--destination-path"),
        (["--pachd-address", "pachd"], {}, "--pachd-address"),
        (["--pachd-address", "s3://pachd:1"], {}, "--pachd-address"),
        (["--pachd-address", "grpc://pachd:1/path"], {}, "--pachd-address"),
        (["--pachd-address", "pachd:99999"], {}, "--pachd-address"),
        ([*ATOMIC, "-b", "a.b.c.d"], {}, "--bucket"),
        ([*ATOMIC, "--client", "minio", "-b", f"master.{'r' * 60}"], {}, "--client"),
        (["--client", "minio", "-b", "r" * 64], {}, "--client"),
        ([], {"S3SYNC_CLIENT_CERT": __file__}, "S3SYNC_CLIENT_KEY"),
        ([], {"S3SYNC_CLIENT_CERT": "/nowhere", "S3SYNC_CLIENT_KEY": __file__}, "S3SYNC_CLIENT_CERT"),
        ([], {"S3SYNC_CLIENT_CERT": __file__, "S3SYNC_CLIENT_KEY": __file__}, "S3SYNC_CLIENT_CERT"),
        ([], {"S3SYNC_INSECURE_SKIP_VERIFY": "perhaps"}, "S3SYNC_INSECURE_SKIP_VERIFY"),
        (["--pachd-address", "pachd:1"], {"PACHYDERM_TOKEN": "hunter2\n"}, "PACHYDERM_TOKEN"),
    ],
)
def test_what_is_wrong_or_does_not_fit_together_is_refused_by_its_name(
    arguments: list[str], environment: dict[str, str], named: str
) -> None:
    with pytest.raises(SyncError, match=named) as refused:
        settings(*arguments, **environment)
    assert refused.value.reason is Reason.INVALID_ARGUMENTS
    assert "hunter2" not in refused.value.message
