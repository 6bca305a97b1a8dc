import pytest

from s3sync_operator.settings import Settings, read_settings


def test_without_flags_and_environment_all_is_at_its_default() -> None:
    assert read_settings([], {}) == Settings()


def test_a_flag_wins_over_its_variable() -> None:
    settings = read_settings(["--job-image", "flag:1"], {"S3SYNC_JOB_IMAGE": "env:1", "S3SYNC_MAX_ATTEMPTS": "7"})
    assert (settings.job_image, settings.max_attempts) == ("flag:1", 7)


def test_no_limit_of_runs_at_once_is_a_limit_of_zero() -> None:
    assert read_settings(["--max-concurrent-runs=0"], {}).max_concurrent_runs == 0
    assert read_settings([], {"S3SYNC_MAX_CONCURRENT_RUNS_PER_ENDPOINT": "3"}).max_concurrent_runs_per_endpoint == 3
    assert read_settings(["--metrics-syncs=0"], {}).metrics_syncs == 0


def test_namespaces_are_separated_by_commas() -> None:
    assert read_settings(["--namespaces", "a, b,"], {}).namespaces == ("a", "b")


def test_directories_of_nodes_are_allowed_one_by_one_and_none_by_default() -> None:
    assert read_settings([], {}).allow_host_path == ()
    assert read_settings(["--allow-host-path=/data, /mnt/in"], {}).allow_host_path == ("/data", "/mnt/in")


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"S3SYNC_MAX_ATTEMPTS": "many"}, "--max-attempts (S3SYNC_MAX_ATTEMPTS): 'many' is not a whole number"),
        ({"S3SYNC_RETRY_DELAY": "0"}, "--retry-delay (S3SYNC_RETRY_DELAY): '0' is not a whole number of at least 1"),
        (
            {"S3SYNC_MAX_CONCURRENT_RUNS": "-1"},
            "--max-concurrent-runs (S3SYNC_MAX_CONCURRENT_RUNS): '-1' is not a whole",
        ),
        ({"S3SYNC_LOG_FORMAT": "xml"}, "--log-format (S3SYNC_LOG_FORMAT): 'xml' is none of plain, full, json"),
        ({"S3SYNC_DEFAULT_ENDPOINT": "ftp://x"}, "--default-endpoint (S3SYNC_DEFAULT_ENDPOINT): 'ftp://x' must be"),
        ({"S3SYNC_NAMESPACES": "team-*"}, "--namespaces (S3SYNC_NAMESPACES): 'team-*' is not the name of a namespace"),
        ({"S3SYNC_JOB_MEMORY_REQUEST": "much"}, "--job-memory-request (S3SYNC_JOB_MEMORY_REQUEST): 'much' is not a"),
        ({"S3SYNC_JOB_IMAGE": ""}, "--job-image (S3SYNC_JOB_IMAGE): '' must be an image reference"),
        ({"S3SYNC_HEALTH_ADDRESS": "h:99999"}, "--health-address (S3SYNC_HEALTH_ADDRESS): 'h:99999' is not host:port"),
        (
            {"S3SYNC_METRICS_ADDRESS": ":8081"},
            "--metrics-address (S3SYNC_METRICS_ADDRESS): ':8081' is not host:port",
        ),
        ({"S3SYNC_ALLOW_HOST_PATH": "data"}, "--allow-host-path (S3SYNC_ALLOW_HOST_PATH): 'data' is not an absolute"),
        ({"S3SYNC_ALLOW_HOST_PATH": "/a/.."}, "--allow-host-path (S3SYNC_ALLOW_HOST_PATH): '/a/..' is not an absolute"),
        ({"S3SYNC_HEALTH_ADDRESS": "8080"}, "--health-address (S3SYNC_HEALTH_ADDRESS): '8080' is not host:port"),
    ],
)
def test_a_wrong_value_ends_with_a_line_that_names_flag_and_variable(
    environment: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        read_settings([], environment)
    assert end.value.code == 2
    assert said in capsys.readouterr().err


def test_help_names_each_setting_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_settings(["--help"], {})
    shown = capsys.readouterr().out
    assert "--default-endpoint" in shown
    assert "http://pachd.pachyderm:30600" in shown
