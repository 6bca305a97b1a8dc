"""What a run is told by flags and environment, and what TensorFlow's S3 plugin is told in turn (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from s3sync_job.outcome import Reason, SyncError
from s3sync_job.plan import SOLE_WORKER, Worker

PLACEHOLDER_KEY = "s3sync-unauthenticated"
"""Signs requests where no keys are given: Pachyderm without auth takes any pair in which the two are equal, but its
proxy routes S3 by the Authorization header, so requests must be signed all the same."""

MEBIBYTE = 1024 * 1024
MAX_SINGLE_PUT = 256 * MEBIBYTE
"""The largest file sent in one PUT. The plugin holds a whole part in memory, so this bounds the process's size."""

PART_SIZE = 64 * MEBIBYTE
PARTS_AT_ONCE = 3
MAX_PARTS = 10_000
"""Larger files go in parts; Pachyderm makes a commit a part, and the plugin holds PARTS_AT_ONCE + 1 of them."""

MIN_REQUEST_TIMEOUT_MSEC = 60_000
MAX_REQUEST_TIMEOUT_MSEC = 300_000
"""Pachyderm streams a whole file for each HEAD and range of it, and gives up on a request after five minutes."""

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_BUCKET = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9_-])?")
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


@dataclass(frozen=True)
class Gateway:
    """How to reach the S3 gateway. The keys are kept out of ``repr`` and with it out of logs."""

    endpoint: str
    verify_tls: bool = True
    ca_file: str | None = None
    region: str = "us-east-1"
    access_key: str = field(default=PLACEHOLDER_KEY, repr=False)
    secret_key: str = field(default=PLACEHOLDER_KEY, repr=False)
    session_token: str | None = field(default=None, repr=False)
    max_attempts: int = 3
    request_timeout_msec: int | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be printed. Pachyderm's access key is its auth token, hence secret too."""
        given = (self.access_key, self.secret_key, self.session_token)
        return tuple({secret for secret in given if secret and secret != PLACEHOLDER_KEY})


@dataclass(frozen=True)
class Settings:
    """All that a run is told: ``prefix`` is the key prefix that ``input_path`` gives, without slashes at its ends."""

    bucket: str
    input_path: str
    prefix: str
    gateway: Gateway
    worker: Worker = SOLE_WORKER
    threads: int = 16
    print_contents: bool = False
    allow_empty: bool = False


def parse_gateway(environment: Mapping[str, str]) -> Gateway:
    """Return the gateway that the variables of ``s3sync-job --help`` describe.

    Raises:
        SyncError: InvalidArguments naming the variable; a secret's value is never part of the message.
    """
    https = _flag(environment, "S3_USE_HTTPS")
    access_key, secret_key = _keys(environment)
    return Gateway(
        endpoint=_endpoint(environment.get("S3_ENDPOINT", "").strip(), https),
        verify_tls=_flag(environment, "S3_VERIFY_SSL") is not False,
        ca_file=_ca_file(environment.get("S3_CA_FILE", "")),
        region=environment.get("AWS_REGION") or environment.get("S3_REGION") or "us-east-1",
        access_key=access_key,
        secret_key=secret_key,
        session_token=environment.get("AWS_SESSION_TOKEN") or None,
        max_attempts=_number(environment, "AWS_MAX_ATTEMPTS", 1, 10) or 3,
        request_timeout_msec=_number(environment, "S3_REQUEST_TIMEOUT_MSEC", 1_000, 3_600_000),
    )


def plugin_environment(gateway: Gateway, largest: int, threads: int) -> dict[str, str]:
    """Return the variables that make the plugin reach ``gateway`` and carry a file of ``largest`` bytes within bounds.

    The plugin takes a bare host:port for https and ignores S3_USE_HTTPS and S3_REGION. Its retry mode must be
    ``standard``: a refused connection fails after 10 s then, instead of 153 s. (Measured, tensorflow-io 0.37.1.)
    """
    part_size, parts_at_once = upload_parts(largest, threads)
    variables = {
        "S3_ENDPOINT": gateway.endpoint,
        "S3_VERIFY_SSL": "1" if gateway.verify_tls else "0",
        "S3_CONNECT_TIMEOUT_MSEC": "5000",
        "S3_REQUEST_TIMEOUT_MSEC": str(gateway.request_timeout_msec or request_timeout_msec(largest)),
        "S3_MULTI_PART_UPLOAD_CHUNK_SIZE": str(part_size),
        "S3_EXECUTOR_POOL_SIZE": str(parts_at_once),
        "AWS_REGION": gateway.region,
        "AWS_ACCESS_KEY_ID": gateway.access_key,
        "AWS_SECRET_ACCESS_KEY": gateway.secret_key,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_RETRY_MODE": "standard",
        "AWS_MAX_ATTEMPTS": str(gateway.max_attempts),
    }
    if gateway.session_token:
        variables["AWS_SESSION_TOKEN"] = gateway.session_token
    if gateway.ca_file:
        variables["S3_CA_FILE"] = gateway.ca_file
    return variables


def upload_parts(largest: int, threads: int) -> tuple[int, int]:
    """Return the size of an upload's part in bytes and how many the plugin may send at once.

    One PUT wherever memory allows, since Pachyderm makes a commit of every part. The plugin sets aside one part more
    than it sends at once, and what a part has touched stays resident.
    """
    if largest < MAX_SINGLE_PUT:
        return max(5 * MEBIBYTE, largest + 1), threads
    return max(PART_SIZE, -(-largest // MAX_PARTS)), min(threads, PARTS_AT_ONCE)


def request_timeout_msec(largest: int) -> int:
    """Return how long the plugin may wait for a silent gateway: a minute, and 1 s more for each 5 MB of a file."""
    return min(MIN_REQUEST_TIMEOUT_MSEC + largest // 5_000, MAX_REQUEST_TIMEOUT_MSEC)


def parse_bucket(value: str) -> str:
    """Return the bucket's name from ``master.testrepo`` or the seed's ``s3://master.testrepo``.

    Raises:
        SyncError: InvalidArguments where a path follows the name, or the name is none.
    """
    name = value.removeprefix("s3://").rstrip("/")
    if not _BUCKET.fullmatch(name):
        raise _invalid("-b/--bucket", f"{value!r} is not a bucket", "give <branch>.<repo>, such as master.testrepo")
    return name


def parse_worker(tf_config: str) -> Worker:
    """Return this process's place among the TFJob's workers, from ``TF_CONFIG``; one of one where it is not set.

    Raises:
        SyncError: InvalidArguments where TF_CONFIG is not as the training-operator writes it.
    """
    if not tf_config:
        return SOLE_WORKER
    try:
        config: Any = json.loads(tf_config)
        count, kind, index = len(config["cluster"]["worker"]), config["task"]["type"], int(config["task"]["index"])
    except (ValueError, KeyError, TypeError) as error:
        raise _invalid(
            "TF_CONFIG",
            f"it cannot be read ({type(error).__name__}: {error})",
            'unset it or give {"cluster":{"worker":["host:port"]},"task":{"type":"worker","index":0}}',
        ) from None
    if kind != "worker" or not 0 <= index < count:
        raise _invalid("TF_CONFIG", f"task {kind} {index} is not among its {count} workers", "run s3sync-job as Worker")
    return Worker(index, count)


def _endpoint(value: str, https: bool | None) -> str:
    """Return the endpoint's URL; a bare host:port means http unless S3_USE_HTTPS says otherwise."""
    if not value:
        raise _invalid(
            "S3_ENDPOINT", "it is not set", "give the gateway's host:port or URL, e.g. pachd.pachyderm:30600"
        )
    has_scheme = "://" in value
    url = urlsplit(value if has_scheme else f"{'https' if https else 'http'}://{value}")
    if url.username or url.password:
        raise _invalid(
            "S3_ENDPOINT", "it has credentials in it", "give them in AWS_ACCESS_KEY_ID/AWS_SECRET_ACCESS_KEY"
        )
    if not _is_endpoint(value):
        raise _invalid(
            "S3_ENDPOINT", f"{value!r} is not an endpoint", "give host:port, http://host:port or https://host"
        )
    if has_scheme and https is not None and https != (url.scheme == "https"):
        raise _invalid("S3_USE_HTTPS", f"it contradicts S3_ENDPOINT {value!r}", "unset one of the two")
    return f"{url.scheme}://{url.netloc}"


def _is_endpoint(value: str) -> bool:
    """Tell whether ``value`` is a host, with a port or without, after http:// or https:// or nothing, and no path."""
    url = urlsplit(value if "://" in value else f"http://{value}")
    try:
        port_fits = url.port is None or url.port > 0
    except ValueError:
        return False
    is_host = _HOST.fullmatch(url.hostname or "") is not None or url.netloc.startswith("[")
    return url.scheme in ("http", "https") and is_host and port_fits and not (url.path.strip("/") or url.query)


def _keys(environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the access and the secret key, or the placeholder pair."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    access_key, secret_key = (environment.get(name, "") for name in names)
    for name, value, other in zip(names, (access_key, secret_key), reversed(names), strict=True):
        if not value and environment.get(other):
            raise _invalid(name, f"it is not set but {other} is", "set both, or neither where Pachyderm's auth is off")
        if value != value.strip() or not value.isprintable():
            raise _invalid(
                name, "it has white space or a line break at an end", "store the key without, e.g. by printf %s"
            )
    return access_key or PLACEHOLDER_KEY, secret_key or PLACEHOLDER_KEY


def _ca_file(value: str) -> str | None:
    """Return the CA file's path once it is known to exist."""
    if value and not Path(value).is_file():
        raise _invalid("S3_CA_FILE", f"{value!r} is not a file", "mount the CA's certificate there, in PEM")
    return value or None


def _flag(environment: Mapping[str, str], name: str) -> bool | None:
    """Return the variable as a truth value, None where it is not set."""
    value = environment.get(name, "").strip().lower()
    if not value:
        return None
    if value not in _TRUE | _FALSE:
        raise _invalid(name, f"{value!r} is neither yes nor no", "give 1 or 0")
    return value in _TRUE


def _number(environment: Mapping[str, str], name: str, least: int, most: int) -> int | None:
    """Return the variable as a whole number between ``least`` and ``most``, None where it is not set."""
    value = environment.get(name, "").strip()
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and least <= int(value) <= most):
        raise _invalid(name, f"{value!r} is not a whole number from {least} to {most}", "correct or unset it")
    return int(value)


def _invalid(name: str, wrong: str, remedy: str) -> SyncError:
    return SyncError(Reason.INVALID_ARGUMENTS, f"{name}: {wrong}; {remedy}.")
