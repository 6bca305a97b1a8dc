"""What a run is told by flags and environment, and what TensorFlow's S3 plugin is told in turn (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from s3sync_job.batches import DEFAULT_BYTES, DEFAULT_FILES
from s3sync_job.compare import Prune
from s3sync_job.filters import EVERYTHING, Filter
from s3sync_job.outcome import Reason, SyncError
from s3sync_job.plan import SOLE_WORKER, OnInvalidPath, Worker

PLACEHOLDER_KEY = "s3sync-unauthenticated"
"""Signs requests where no keys are given: Pachyderm without auth takes any pair in which the two are equal, but its
proxy routes S3 by the Authorization header, so requests must be signed all the same."""

DEFAULT_PROJECT = "default"
DEFAULT_BRANCH = "master"
PACHD_SCHEMES = {"grpc": False, "http": False, "grpcs": True, "https": True}
"""The schemes of pachd's address, and whether they mean TLS."""

MAX_MINIO_BUCKET = 63
MAX_WORKERS = 10_000
"""The MinIO client takes no longer names, TensorFlow and botocore do."""

MEBIBYTE = 1024 * 1024
MAX_SINGLE_PUT = 512 * MEBIBYTE
"""The largest file that file_io sends in one PUT. The plugin holds a whole part in memory, so this bounds the process's
size; the other clients stream, and send up to Pachyderm's limit of 4 GiB."""

PART_SIZE = 64 * MEBIBYTE
PARTS_AT_ONCE = 3
MAX_PARTS = 10_000
"""Larger files go in parts; Pachyderm makes a commit a part, and the plugin holds PARTS_AT_ONCE + 1 of them."""

MIN_REQUEST_TIMEOUT_MSEC = 60_000
MAX_REQUEST_TIMEOUT_MSEC = 300_000
"""Pachyderm streams a whole file for each HEAD and range of it, and gives up on a request after five minutes."""

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_BUCKET = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9_-])?")
_COMMIT = re.compile(r"[0-9a-f]{32}")
_BRANCH = re.compile(r"[A-Za-z0-9_-]{1,63}")
_NOT_SENDABLE = "it has white space or a line break at an end, or is not ASCII"
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


class Client(StrEnum):
    """Which client library moves the files."""

    FILE_IO = "file_io"
    MINIO = "minio"
    PFS = "pfs"


class Verify(StrEnum):
    """How it is proved that the repo holds what the input holds."""

    FULL = "Full"
    CHECKSUM = "Checksum"
    NONE = "None"


@dataclass(frozen=True)
class ClientPair:
    """The PEM files of a client certificate and its private key."""

    certificate: str
    key: str


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
    client_pair: ClientPair | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be printed. Pachyderm's access key is its auth token, hence secret too."""
        given = (self.access_key, self.secret_key, self.session_token)
        return tuple({secret for secret in given if secret and secret != PLACEHOLDER_KEY})


@dataclass(frozen=True)
class Pachd:
    """How to reach pachd's gRPC API. ``address`` is host:port; the token is kept out of ``repr``."""

    address: str
    tls: bool = False
    verify_tls: bool = True
    ca_file: str | None = None
    client_pair: ClientPair | None = None
    token: str | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        """The address without its port, and an IPv6 address without its brackets."""
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The address's port."""
        return int(self.address.rpartition(":")[2])


@dataclass(frozen=True)
class RepoBranch:
    """What a bucket is in Pachyderm's terms."""

    project: str
    repo: str
    branch: str

    def bucket(self, branch: str, commit: str | None = None) -> str:
        """Return the name of the bucket that shows another branch of the repo, or one of its commits."""
        parts = (commit, branch, self.repo, self.project if self.project != DEFAULT_PROJECT else None)
        return ".".join(part for part in parts if part)


@dataclass(frozen=True)
class Staging:
    """Where an atomic sync's worker stages, and the commit of the target branch that it builds upon.

    ``base`` is None where that branch has no commit; ``branch`` is this worker's own.
    """

    branch: str
    base: str | None = None
    batch_files: int = DEFAULT_FILES
    batch_bytes: int = DEFAULT_BYTES


@dataclass(frozen=True)
class Settings:
    """All that a run is told: ``prefix`` is the key prefix that the files get, without slashes at its ends; ``writer``
    is for whom, by which a commit that a dead run left open is known, ``""`` where nobody says."""

    bucket: str
    input_path: str
    prefix: str
    gateway: Gateway
    worker: Worker = SOLE_WORKER
    threads: int = 16
    print_contents: bool = False
    allow_empty: bool = False
    client: Client = Client.FILE_IO
    verify: Verify = Verify.FULL
    pachd: Pachd | None = None
    staging: Staging | None = None
    writer: str = ""
    filter: Filter = EVERYTHING
    on_invalid_path: OnInvalidPath = OnInvalidPath.FAIL
    prune: Prune | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be printed."""
        token = self.pachd.token if self.pachd else None
        return (*self.gateway.secrets, *((token,) if token and token != PLACEHOLDER_KEY else ()))

    @property
    def target(self) -> RepoBranch:
        """The repo and the branch that the bucket is."""
        return parse_repo_branch(self.bucket)


def parse_gateway(environment: Mapping[str, str]) -> Gateway:
    """Return the gateway that the variables of ``s3sync-job --help`` describe.

    Raises:
        SyncError: InvalidArguments naming the variable; a secret's value is never part of the message.
    """
    https = _flag(environment, "S3_USE_HTTPS")
    access_key, secret_key = _keys(environment)
    return Gateway(
        endpoint=_endpoint(environment.get("S3_ENDPOINT", "").strip(), https),
        verify_tls=verifies_tls(environment),
        ca_file=_ca_file(environment.get("S3_CA_FILE", "")),
        region=environment.get("AWS_REGION") or environment.get("S3_REGION") or "us-east-1",
        access_key=access_key,
        secret_key=secret_key,
        session_token=environment.get("AWS_SESSION_TOKEN") or None,
        max_attempts=_number(environment, "AWS_MAX_ATTEMPTS", 1, 10) or 3,
        request_timeout_msec=_number(environment, "S3_REQUEST_TIMEOUT_MSEC", 1_000, 3_600_000),
        client_pair=_client_pair(environment),
    )


def verifies_tls(environment: Mapping[str, str]) -> bool:
    """Tell whether certificates are to be checked: not with either of the two variables that say so."""
    skipped = _flag(environment, "S3SYNC_INSECURE_SKIP_VERIFY") is True
    return _flag(environment, "S3_VERIFY_SSL") is not False and not skipped


def parse_pachd(address: str, gateway: Gateway, environment: Mapping[str, str]) -> Pachd | None:
    """Return how to reach pachd, with the gateway's TLS files and, without a token of its own, its access key.

    ``address`` is host:port, grpc://host:port, or grpcs://host:port for TLS; empty means that there is none.

    Raises:
        SyncError: InvalidArguments naming the flag or the variable.
    """
    if not address:
        return None
    scheme, _, netloc = address.rpartition("://")
    if scheme not in ("", *PACHD_SCHEMES) or not _is_endpoint(netloc) or not _has_port(netloc):
        raise _invalid(
            "--pachd-address", f"{address!r} is not an address", "give host:port, or grpcs://host:port for TLS"
        )
    token = environment.get("PACHYDERM_TOKEN", "")
    if not _is_sendable(token):
        raise _invalid("PACHYDERM_TOKEN", _NOT_SENDABLE, "store the token without")
    tls = PACHD_SCHEMES.get(scheme, False)
    return Pachd(
        address=netloc.rstrip("/"),
        tls=tls,
        verify_tls=gateway.verify_tls,
        ca_file=gateway.ca_file,
        client_pair=gateway.client_pair,
        token=token or gateway.access_key,
    )


def parse_repo_branch(bucket: str) -> RepoBranch:
    """Return the repo and branch that a bucket's name means: ``[branch.]repo`` or ``branch.repo.project``."""
    parts = bucket.split(".")
    if len(parts) == 1:
        return RepoBranch(DEFAULT_PROJECT, parts[0], DEFAULT_BRANCH)
    if len(parts) > 3 or not all(parts):
        raise _invalid("-b/--bucket", f"{bucket!r} is no branch of a repo", "give <branch>.<repo>[.<project>]")
    return RepoBranch(parts[2] if len(parts) == 3 else DEFAULT_PROJECT, parts[1], parts[0])


def parse_writer(environment: Mapping[str, str]) -> str:
    """Return S3SYNC_WRITER; raises SyncError InvalidArguments where it is no name."""
    writer = environment.get("S3SYNC_WRITER", "")
    if writer and not _BRANCH.fullmatch(writer):
        raise _invalid("S3SYNC_WRITER", f"{writer!r} is no name", "use up to 63 letters, digits, _ and -")
    return writer


def parse_staging(branch: str, base: str, worker: Worker, batch_files: int, batch_bytes: int) -> Staging:
    """Return this worker's staging branch, ``branch`` with ``-w<index>`` behind it, and the base commit, if any."""
    if not _BRANCH.fullmatch(branch):
        raise _invalid("--staging-branch", f"{branch!r} is no branch's name", "give letters, digits, - and _")
    if base and not _COMMIT.fullmatch(base):
        raise _invalid("--base-commit", f"{base!r} is no commit's ID", "give the 32 hexadecimal digits")
    return Staging(f"{branch}-w{worker.index}", base or None, batch_files, batch_bytes)


def check_together(settings: Settings) -> Settings:
    """Return the settings once it is known that they fit each other; raises SyncError InvalidArguments."""
    gateway, pachd = settings.gateway, settings.pachd
    if settings.staging and not pachd:
        raise _invalid("--staging-branch", "there is no pachd to stage with", "give --pachd-address")
    if settings.prune and not settings.staging:
        raise _invalid("--prune", "it needs an atomic sync", "give --staging-branch and --pachd-address, or leave it")
    if settings.client is Client.PFS and not pachd:
        raise _invalid("--client", "pfs speaks gRPC with pachd", "give --pachd-address, or choose file_io or minio")
    if settings.client is Client.FILE_IO and gateway.client_pair and gateway.endpoint.startswith("https"):
        raise _invalid(
            "S3SYNC_CLIENT_CERT", "TensorFlow's S3 plugin cannot show a client certificate", "use --client minio or pfs"
        )
    if pachd:
        parse_repo_branch(settings.bucket)
    staged = settings.staging and settings.target.bucket(settings.staging.branch)
    for bucket in (settings.bucket, staged):
        if settings.client is Client.MINIO and bucket and not 3 <= len(bucket) <= MAX_MINIO_BUCKET:
            raise _invalid(
                "--client",
                f"minio takes no bucket name of {len(bucket)} characters ({bucket})",
                "use --client file_io or pfs",
            )
    return settings


def _client_pair(environment: Mapping[str, str]) -> ClientPair | None:
    """Return the client certificate and its key, both known to exist, or None."""
    names = ("S3SYNC_CLIENT_CERT", "S3SYNC_CLIENT_KEY")
    paths = tuple(environment.get(name, "") for name in names)
    if not any(paths):
        return None
    for name, path, other in zip(names, paths, reversed(names), strict=True):
        if not path:
            raise _invalid(name, f"it is not set but {other} is", "set both or neither")
        if not Path(path).is_file():
            raise _invalid(name, f"{path!r} is not a file", "mount it there, in PEM")
    return ClientPair(*paths)


def plugin_environment(gateway: Gateway, largest: int, threads: int) -> dict[str, str]:
    """Return the variables that make the plugin reach ``gateway`` and carry a file of ``largest`` bytes within bounds.

    The plugin takes a bare host:port for https and ignores S3_USE_HTTPS and S3_REGION. Its retry mode must be
    ``standard``: a refused connection fails after 10 s then, instead of 153 s. Its way of reading in parts asks for a
    HEAD before each GET. (Measured, tensorflow-io 0.37.1.)
    """
    part_size, parts_at_once = upload_parts(largest, threads)
    variables = {
        "S3_ENDPOINT": gateway.endpoint,
        "S3_VERIFY_SSL": "1" if gateway.verify_tls else "0",
        "S3_CONNECT_TIMEOUT_MSEC": "5000",
        "S3_REQUEST_TIMEOUT_MSEC": str(gateway.request_timeout_msec or request_timeout_msec(largest)),
        "S3_DISABLE_MULTI_PART_DOWNLOAD": "1",
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


def parse_worker(environment: Mapping[str, str]) -> Worker:
    """Return this process's place among the workers of a TFJob or of an indexed Job; one of one where neither tells.

    Raises:
        SyncError: InvalidArguments naming the variable that is not as its controller writes it.
    """
    if tf_config := environment.get("TF_CONFIG", ""):
        return _worker_of_tfjob(tf_config)
    index = _number(environment, "JOB_COMPLETION_INDEX", 0, MAX_WORKERS - 1)
    if index is None:
        return SOLE_WORKER
    count = _number(environment, "S3SYNC_WORKERS", 1, MAX_WORKERS) or 1
    if index >= count:
        what = f"JOB_COMPLETION_INDEX {index} is not among {count} workers"
        raise _invalid("S3SYNC_WORKERS", what, "give the Job's completions")
    return Worker(index, count)


def _worker_of_tfjob(tf_config: str) -> Worker:
    try:
        config: Any = json.loads(tf_config)
        count, kind, index = len(config["cluster"]["worker"]), config["task"]["type"], int(config["task"]["index"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
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
    url = _split(value if has_scheme else f"{'https' if https else 'http'}://{value}")
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


def _has_port(netloc: str) -> bool:
    return _split(f"//{netloc}").port is not None


def _split(url: str) -> SplitResult:
    """Return the URL's parts, none where it is not one, as with half of an IPv6 address's brackets."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _is_endpoint(value: str) -> bool:
    """Tell whether ``value`` is a host, with a port or without, after http:// or https:// or nothing, and no path."""
    url = _split(value if "://" in value else f"http://{value}")
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
        if not _is_sendable(value):
            raise _invalid(name, _NOT_SENDABLE, "store the key without, e.g. by printf %s")
    return access_key or PLACEHOLDER_KEY, secret_key or PLACEHOLDER_KEY


def _is_sendable(secret: str) -> bool:
    """Tell whether a header, or gRPC's metadata, can carry the secret."""
    return secret == secret.strip() and secret.isprintable() and secret.isascii()


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
