"""From flags and environment to settings, and from settings to what TensorFlow's plugin reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3sync_job.cli import build_parser, parse_settings, termination_log
from s3sync_job.outcome import Reason, SyncError
from s3sync_job.plan import SOLE_WORKER, Worker
from s3sync_job.settings import (
    MAX_SINGLE_PUT,
    PLACEHOLDER_KEY,
    Gateway,
    parse_bucket,
    parse_gateway,
    parse_worker,
    plugin_environment,
    request_timeout_msec,
    upload_parts,
)

ENDPOINT = {"S3_ENDPOINT": "pachd.pachyderm:30600"}


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({"S3_ENDPOINT": "pachd.pachyderm:600"}, "http://pachd.pachyderm:600"),
        ({"S3_ENDPOINT": "pachd.pachyderm:600", "S3_USE_HTTPS": "0"}, "http://pachd.pachyderm:600"),
        ({"S3_ENDPOINT": "pachd.pachyderm:600", "S3_USE_HTTPS": "1"}, "https://pachd.pachyderm:600"),
        ({"S3_ENDPOINT": "pachyderm.example.com", "S3_USE_HTTPS": "true"}, "https://pachyderm.example.com"),
        ({"S3_ENDPOINT": "http://10.0.0.1:30600/"}, "http://10.0.0.1:30600"),
        ({"S3_ENDPOINT": "https://[::1]:443", "S3_USE_HTTPS": "1"}, "https://[::1]:443"),
    ],
)
def test_the_endpoint_is_always_a_url_for_the_plugin(environment: dict[str, str], url: str) -> None:
    assert plugin_environment(parse_gateway(environment), 0, 16)["S3_ENDPOINT"] == url


def test_what_is_given_reaches_the_plugin(tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.crt"
    ca_file.touch()
    given = {
        **ENDPOINT,
        "S3_VERIFY_SSL": "0",
        "S3_CA_FILE": str(ca_file),
        "AWS_REGION": "eu-north-1",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "session",
        "AWS_MAX_ATTEMPTS": "5",
        "S3_REQUEST_TIMEOUT_MSEC": "1234",
    }
    plugin = plugin_environment(parse_gateway(given), 0, 16)
    assert {name: plugin[name] for name in given if name != "S3_ENDPOINT"} == {
        name: value for name, value in given.items() if name != "S3_ENDPOINT"
    }
    assert plugin["AWS_RETRY_MODE"] == "standard"
    assert plugin["AWS_EC2_METADATA_DISABLED"] == "true"


def test_requests_are_signed_by_two_equal_words_without_keys() -> None:
    gateway = parse_gateway(ENDPOINT)
    assert gateway.access_key == gateway.secret_key == PLACEHOLDER_KEY
    assert gateway.secrets == ()


def test_keys_are_secrets_and_no_part_of_the_repr() -> None:
    gateway = parse_gateway({**ENDPOINT, "AWS_ACCESS_KEY_ID": "token", "AWS_SECRET_ACCESS_KEY": "token"})
    assert gateway.secrets == ("token",)
    assert "token" not in repr(gateway).replace("session_token", "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("S3_ENDPOINT", ""),
        ("S3_ENDPOINT", "two words"),
        ("S3_ENDPOINT", "host:port"),
        ("S3_ENDPOINT", "host:99999"),
        ("S3_ENDPOINT", "[::1"),
        ("S3_ENDPOINT", "https://[::1"),
        ("S3_ENDPOINT", "ftp://host"),
        ("S3_ENDPOINT", "http://host/path"),
        ("S3_ENDPOINT", "http://user:hunter2@host"),
        ("S3_USE_HTTPS", "maybe"),
        ("S3_VERIFY_SSL", "2"),
        ("S3_CA_FILE", "/no/such/file"),
        ("AWS_MAX_ATTEMPTS", "0"),
        ("AWS_MAX_ATTEMPTS", "many"),
        ("S3_REQUEST_TIMEOUT_MSEC", "1.5"),
        ("AWS_ACCESS_KEY_ID", "hunter2"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(name: str, value: str) -> None:
    with pytest.raises(SyncError) as refused:
        parse_gateway({**ENDPOINT, name: value})
    assert refused.value.reason is Reason.INVALID_ARGUMENTS
    assert name in refused.value.message
    assert "hunter2" not in refused.value.message


@pytest.mark.parametrize("broken", ["hunter2\n", "hünter2 hunter2"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(broken: str) -> None:
    with pytest.raises(SyncError, match="AWS_ACCESS_KEY_ID") as refused:
        parse_gateway({**ENDPOINT, "AWS_ACCESS_KEY_ID": broken, "AWS_SECRET_ACCESS_KEY": "hunter2"})
    assert "hunter2" not in refused.value.message


@pytest.mark.parametrize(("scheme", "https"), [("http", "1"), ("https", "0")])
def test_a_scheme_that_contradicts_the_flag_is_refused(scheme: str, https: str) -> None:
    with pytest.raises(SyncError, match="S3_USE_HTTPS"):
        parse_gateway({"S3_ENDPOINT": f"{scheme}://host:1", "S3_USE_HTTPS": https})


@pytest.mark.parametrize("given", ["master.testrepo", "s3://master.testrepo", "s3://master.testrepo/"])
def test_the_bucket_may_be_a_name_or_the_seeds_url(given: str) -> None:
    assert parse_bucket(given) == "master.testrepo"


@pytest.mark.parametrize("given", ["", "s3://", "s3://master.testrepo/path", "a b", "ü", "gs://x"])
def test_what_is_no_bucket_is_refused(given: str) -> None:
    with pytest.raises(SyncError, match="-b/--bucket"):
        parse_bucket(given)


def test_a_process_without_tf_config_is_the_sole_worker() -> None:
    assert parse_worker({}) == SOLE_WORKER == Worker(0, 1)


def test_tf_config_tells_the_place_among_the_workers() -> None:
    config = {
        "cluster": {"worker": ["a:1", "b:1", "c:1"]},
        "task": {"type": "worker", "index": 2},
        "environment": "cloud",
    }
    assert parse_worker({"TF_CONFIG": json.dumps(config)}) == Worker(2, 3)


@pytest.mark.parametrize(
    "config",
    [
        "not json",
        "[]",
        "{}",
        '{"cluster":{"worker":["a"]}}',
        '{"cluster":{"worker":["a"]},"task":{"type":"worker","index":1}}',
        '{"cluster":{"worker":["a"]},"task":{"type":"ps","index":0}}',
        '{"cluster":{"worker":["a"]},"task":{"type":"worker","index":1e999}}',
    ],
)
def test_a_tf_config_that_names_no_worker_is_refused(config: str) -> None:
    with pytest.raises(SyncError, match="TF_CONFIG"):
        parse_worker({"TF_CONFIG": config})


def test_the_index_of_a_job_tells_the_place_among_its_workers() -> None:
    assert parse_worker({"JOB_COMPLETION_INDEX": "2", "S3SYNC_WORKERS": "3"}) == Worker(2, 3)
    assert parse_worker({"JOB_COMPLETION_INDEX": "0"}) == SOLE_WORKER
    assert parse_worker({"S3SYNC_WORKERS": "3"}) == SOLE_WORKER, "outside of a Job there is one process"


@pytest.mark.parametrize(
    ("index", "count", "named"),
    [
        ("3", "3", "S3SYNC_WORKERS"),
        ("1", "", "S3SYNC_WORKERS"),
        ("-1", "3", "JOB_COMPLETION_INDEX"),
        ("x", "3", "JOB_COMPLETION_INDEX"),
        ("0", "none", "S3SYNC_WORKERS"),
    ],
)
def test_an_index_that_is_not_among_the_workers_is_refused(index: str, count: str, named: str) -> None:
    with pytest.raises(SyncError, match=named):
        parse_worker({"JOB_COMPLETION_INDEX": index, "S3SYNC_WORKERS": count})


@given(st.integers(0, MAX_SINGLE_PUT - 1), st.integers(1, 128))
@settings(deadline=None)
def test_a_file_goes_in_one_put_wherever_memory_allows(largest: int, threads: int) -> None:
    part_size, at_once = upload_parts(largest, threads)
    assert part_size > largest
    assert part_size >= 5 * 1024 * 1024
    assert at_once == threads


@given(st.integers(MAX_SINGLE_PUT, 5 * 1024**4), st.integers(1, 128))
@settings(deadline=None)
def test_a_larger_file_goes_in_parts_that_s3_and_memory_allow(largest: int, threads: int) -> None:
    part_size, at_once = upload_parts(largest, threads)
    assert part_size * 10_000 >= largest
    assert 1 <= at_once <= threads
    if largest <= 500 * 1024**3:
        assert part_size * (at_once + 1) <= 256 * 1024 * 1024


@given(st.integers(0, 5 * 1024**4))
@settings(deadline=None)
def test_a_silent_gateway_is_waited_for_no_longer_than_pachyderm_works_on_a_request(largest: int) -> None:
    assert 60_000 <= request_timeout_msec(largest) <= 300_000


def test_flags_and_environment_make_the_settings() -> None:
    arguments = build_parser().parse_args(["-b", "s3://master.testrepo", "-i", "./testdata", "--threads", "4"])
    settings = parse_settings(arguments, ENDPOINT)
    assert (settings.bucket, settings.prefix, settings.threads) == ("master.testrepo", "testdata", 4)
    assert settings.gateway == Gateway(endpoint="http://pachd.pachyderm:30600")


@pytest.mark.parametrize(
    ("arguments", "environment", "path"),
    [
        (["--termination-log", "/flag"], {"S3SYNC_TERMINATION_LOG": "/variable"}, "/flag"),
        (["--termination-log=/flag", "--nonsense"], {}, "/flag"),
        (["--nonsense"], {"S3SYNC_TERMINATION_LOG": "/variable"}, "/variable"),
        (["--termination-log"], {"S3SYNC_TERMINATION_LOG": "/variable"}, "/variable"),
    ],
)
def test_the_termination_log_is_found_even_if_other_flags_are_wrong(
    arguments: list[str], environment: dict[str, str], path: str
) -> None:
    assert termination_log(arguments, environment) == Path(path)
