"""The operator's settings, read once from flags and environment."""

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any

from s3sync_operator import __version__, rules


@dataclass(frozen=True)
class Settings:
    """How this operator works; each field is a flag (`--job-image`) and an environment variable (`S3SYNC_JOB_IMAGE`).

    Times are in seconds. `namespaces` empty means all of them.
    """

    namespaces: tuple[str, ...] = field(
        default=(), metadata={"help": "namespaces to serve, separated by commas; all where empty"}
    )
    job_image: str = field(
        default=f"pachyderm-s3-sync/job:{__version__}", metadata={"help": "image of jobs whose spec names none"}
    )
    default_endpoint: str = field(
        default="http://pachd.pachyderm:30600", metadata={"help": "S3 gateway of syncs whose spec names none"}
    )
    default_pachd_address: str = field(
        default="", metadata={"help": "pachd's gRPC API of syncs whose spec names none; these then publish atomically"}
    )
    max_attempts: int = field(default=5, metadata={"help": "attempts of a run before it is given up (Stalled)"})
    retry_delay: int = field(default=10, metadata={"help": "seconds before the second attempt; doubles each time"})
    retry_delay_max: int = field(default=300, metadata={"help": "most seconds between two attempts"})
    start_deadline: int = field(
        default=600, metadata={"help": "seconds in which a job's pod must run before the attempt fails"}
    )
    run_deadline: int = field(default=86400, metadata={"help": "seconds in which an attempt's job must end"})
    publish_deadline: int = field(
        default=1800, metadata={"help": "seconds after its job's end in which an attempt must be published"}
    )
    sweep_interval: int = field(
        default=600, metadata={"help": "seconds between two searches for what dead runs left staged in Pachyderm"}
    )
    stray_age: int = field(
        default=172800,
        metadata={"help": "seconds after which staging branches of no sync that this operator knows are removed"},
    )
    deletion_deadline: int = field(
        default=3600,
        metadata={"help": "seconds after which a deleted sync goes, whatever of its deletionPolicy is not done"},
    )
    # Seen: s3sync-job peaks at 535 MB with 1,000 small files and one of 200 MB, most of it TensorFlow itself. There are
    # no limits: what a job needs depends on its files, and it should not die of a guess.
    job_memory_request: str = field(
        default="600Mi", metadata={"help": "memory that a job's pod asks the scheduler for; empty asks for none"}
    )
    job_cpu_request: str = field(
        default="100m", metadata={"help": "CPU that a job's pod asks the scheduler for; empty asks for none"}
    )
    allow_host_path: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "directories of nodes, separated by commas, that syncs may mount with all below them; / is all, "
            "and none where empty"
        },
    )
    gateway_timeout: int = field(
        default=10, metadata={"help": "seconds for each connection to and answer from the S3 gateway and pachd"}
    )
    api_timeout: int = field(default=30, metadata={"help": "seconds for each request to the Kubernetes API server"})
    resync_interval: int = field(
        default=60, metadata={"help": "seconds between two comparisons of all syncs with what the watch delivered"}
    )
    progress_interval: int = field(
        default=10, metadata={"help": "seconds between two looks at the progress of a running sync"}
    )
    max_concurrent_runs: int = field(
        default=0,
        metadata={"help": "runs under way at once, most; further ones wait in a queue; 0 sets no limit", "least": 0},
    )
    max_concurrent_runs_per_endpoint: int = field(
        default=0, metadata={"help": "the same for runs that use one S3 gateway; 0 sets no limit", "least": 0}
    )
    concurrency: int = field(default=64, metadata={"help": "syncs that are reconciled at the same time"})
    health_address: str = field(
        default="0.0.0.0:8080",
        metadata={"help": "host:port of /healthz and /readyz; empty serves none"},
    )
    metrics_address: str = field(
        default="0.0.0.0:8081", metadata={"help": "host:port of /metrics, for Prometheus; empty serves none"}
    )
    metrics_syncs: int = field(
        default=1000,
        metadata={
            "help": "syncs that /metrics shows by name, most; others are but counted; 0 names none",
            "least": 0,
        },
    )
    log_format: str = field(default="plain", metadata={"help": "plain, full or json"})
    log_level: str = field(default="info", metadata={"help": "debug, info, warning or error"})

    def retry_after(self, attempt: int) -> timedelta:
        """Return how long a run waits after its attempt number `attempt` (from 1) has failed."""
        return timedelta(seconds=min(self.retry_delay_max, self.retry_delay * 2 ** min(attempt - 1, 20)))


QUANTITY = r"([0-9]+|[0-9]*\.[0-9]+)(m|[kMGTPE]|[KMGTPE]i|[eE][0-9]+)?"
QUANTITIES = ("job_memory_request", "job_cpu_request")

ENVIRONMENT_PREFIX = "S3SYNC_"
_RULES = {
    "default_endpoint": rules.ENDPOINT,
    "default_pachd_address": rules.PACHD_ADDRESS,
    "job_image": rules.IMAGE,
}
CHOICES = {"log_format": ("plain", "full", "json"), "log_level": ("debug", "info", "warning", "error")}


def variable(name: str) -> str:
    """Return the environment variable of a setting, by its field's name."""
    return ENVIRONMENT_PREFIX + name.upper()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="s3sync-operator",
        description="Operator of PachydermS3Sync: makes repo and branch, runs a TFJob or Job that copies and "
        "verifies, tells the result in the resource's status.",
        epilog="Each flag can be given as an environment variable instead: --job-image as S3SYNC_JOB_IMAGE. "
        "The cluster is the one the pod runs in, else the one of KUBECONFIG.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    for item in fields(Settings):
        shown = item.default if item.default != () else "''"
        parser.add_argument(
            "--" + item.name.replace("_", "-"), dest=item.name, help=f"{item.metadata['help']} (default: {shown})"
        )
    return parser


def read_settings(arguments: Sequence[str] = (), environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of command line and environment; a flag wins over its variable.

    Exits with status 2 and a line that names the flag where a value is wrong.
    """
    parser = _parser()
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    values: dict[str, Any] = {}
    for item in fields(Settings):
        raw = given.get(item.name, environment.get(variable(item.name)))
        if raw is not None:
            try:
                values[item.name] = _converted(item.name, item.default, raw, item.metadata.get("least", 1))
            except ValueError as error:
                parser.error(f"--{item.name.replace('_', '-')} ({variable(item.name)}): {error}")
    return Settings(**values)


def _converted(name: str, default: object, raw: str, least: int) -> object:
    if name == "allow_host_path":
        return _directories(raw)
    if isinstance(default, tuple):
        return _namespaces(raw)
    if isinstance(default, int):
        return _number(raw, least)
    if name in CHOICES and raw not in CHOICES[name]:
        raise ValueError(f"'{raw}' is none of {', '.join(CHOICES[name])}")
    optional = not raw and default == ""
    if name in _RULES and not optional and not _RULES[name].accepts(raw):
        raise ValueError(f"'{raw}' {_RULES[name].message}")
    if name in QUANTITIES and raw and not re.fullmatch(QUANTITY, raw):
        raise ValueError(f"'{raw}' is not a quantity such as 100m, 0.5 or 600Mi")
    if name in ("health_address", "metrics_address") and raw:
        host_and_port(raw)
    return raw


def _namespaces(raw: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in raw.split(",") if part.strip())
    for name in names:
        if not rules.NAMESPACE.accepts(name):
            raise ValueError(f"'{name}' {rules.NAMESPACE.message}")
    return names


def _directories(raw: str) -> tuple[str, ...]:
    paths = tuple(part.strip() for part in raw.split(",") if part.strip())
    for path in paths:
        if not path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"'{path}' is not an absolute path without '..', such as /data")
    return paths


def _number(raw: str, least: int) -> int:
    if not raw.isascii() or not raw.isdigit() or int(raw) < least:
        raise ValueError(f"'{raw}' is not a whole number of at least {least}")
    return int(raw)


def host_and_port(raw: str) -> tuple[str, int]:
    """Return the parts of `host:port`; raises ValueError where it is none."""
    host, _, port = raw.rpartition(":")
    if not host or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise ValueError(f"'{raw}' is not host:port")
    return host, int(port)
