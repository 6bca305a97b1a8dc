"""The command line: its flags, its help, and the settings that flags and environment make together."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from s3sync_job.batches import DEFAULT_BYTES, DEFAULT_FILES
from s3sync_job.compare import Prune
from s3sync_job.filters import Filter
from s3sync_job.keys import destination_prefix
from s3sync_job.outcome import Reason, SyncError, exit_code_table
from s3sync_job.plan import OnInvalidPath, Worker
from s3sync_job.settings import (
    Client,
    Gateway,
    Settings,
    Staging,
    Verify,
    check_together,
    parse_bucket,
    parse_gateway,
    parse_pachd,
    parse_staging,
    parse_worker,
    parse_writer,
)

DEFAULT_THREADS = 16
MAX_THREADS = 128
TERMINATION_LOG_VARIABLE = "S3SYNC_TERMINATION_LOG"
KUBERNETES_TERMINATION_LOG = Path("/dev/termination-log")

DESCRIPTION = """\
Copies a directory tree into a Pachyderm repo through its S3 gateway with TensorFlow file_io, reads every file back,
compares it byte for byte, and ends with one line of JSON that says how it went.

The files under PATH get the keys PATH/..., so `-b master.testrepo -i testdata` fills s3://master.testrepo/testdata/. A
leading / or ./ is left out; with `-i .` the files lie at the bucket's top level; --destination-path names another
directory. The directory there is to equal PATH: a file that only the bucket has fails the run. Symbolic links are
followed. Empty directories are left out.

With --staging-branch nothing is written to the bucket's branch. What differs from --base-commit is copied to a branch
of its own, verified there, and left for the operator to publish in one commit.
"""

EPILOG = f"""\
environment:
  S3_ENDPOINT                 the gateway: host:port, http://host:port or https://host (required)
  S3_USE_HTTPS                1 makes a bare host:port https (default 0)
  S3_VERIFY_SSL               0 trusts any certificate (default 1)
  S3_CA_FILE                  PEM file with the CA to trust, for pachd too
  S3SYNC_CLIENT_CERT          PEM files of a client certificate and its key (minio, pfs, and gRPC)
  S3SYNC_CLIENT_KEY
  S3SYNC_INSECURE_SKIP_VERIFY 1 trusts any certificate, as --insecure-skip-verify does
  PACHD_ADDRESS               see --pachd-address
  PACHYDERM_TOKEN             pachd's auth token (default: the access key)
  AWS_ACCESS_KEY_ID           both a Pachyderm auth token, or both unset where Pachyderm's auth is off
  AWS_SECRET_ACCESS_KEY
  AWS_SESSION_TOKEN           passed on where set
  AWS_REGION                  the region that requests are signed for (default us-east-1)
  AWS_MAX_ATTEMPTS            tries a request, 1 to 10 (default 3)
  S3_REQUEST_TIMEOUT_MSEC     how long a silent gateway is waited for (default 60000, more for large files)
  TF_CONFIG                   set by the training-operator: with N workers each takes its share of files and bytes
  JOB_COMPLETION_INDEX        set by Kubernetes in an indexed Job, the same; S3SYNC_WORKERS tells how many there are
  S3SYNC_WRITER               a name for the sync: without staging, pfs removes a commit that a dead run of it left open
  {TERMINATION_LOG_VARIABLE}      see --termination-log

exit codes (a retry may mend those from 128 on):
{exit_code_table()}

examples:
  S3_ENDPOINT=pachd.pachyderm:30600 s3sync-job -b master.testrepo -i testdata
  S3_ENDPOINT=localhost:30600 s3sync-job --bucket s3://master.testrepo --inputpath /data/books --print
  S3_ENDPOINT=https://pachyderm.example.com S3_CA_FILE=/tls/ca.crt s3sync-job -b staging.images.team-a -i images
  S3_ENDPOINT=pachd:30600 PACHD_ADDRESS=pachd:30650 s3sync-job -b master.images -i /data --client pfs --verify Checksum
"""


class _Parser(argparse.ArgumentParser):
    """Reports bad arguments as any other failure, with a report line, where argparse would exit."""

    def error(self, message: str) -> NoReturn:
        raise SyncError(Reason.INVALID_ARGUMENTS, f"{message}; see s3sync-job --help.")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of s3sync-job's flags."""
    parser = _Parser(
        prog="s3sync-job",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "-b",
        "--bucket",
        required=True,
        help="<branch>.<repo> or <branch>.<repo>.<project>, with s3:// before it or not",
    )
    parser.add_argument("-i", "--inputpath", required=True, metavar="PATH", help="the directory to copy")
    parser.add_argument("--print", action="store_true", help="print each file's contents as read back")
    parser.add_argument(
        "--threads",
        default=DEFAULT_THREADS,
        type=_number(1, MAX_THREADS),
        metavar="N",
        help="files at once (default %(default)s)",
    )
    parser.add_argument("--allow-empty", action="store_true", help="a PATH without files is verified, not an error")
    _add_transfer(parser)
    _add_selection(parser)
    _add_atomic(parser)
    parser.add_argument(
        "--termination-log",
        metavar="FILE",
        help="where to write the report for Kubernetes, in at most 4096 bytes "
        f"(default ${TERMINATION_LOG_VARIABLE}, else {KUBERNETES_TERMINATION_LOG} if it exists)",
    )
    parser.add_argument("--version", action="version", version=f"s3sync-job {version('s3sync-job')}")
    return parser


def _add_transfer(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how files are sent and proved."""
    group = parser.add_argument_group("transfer")
    group.add_argument(
        "--client",
        default=Client.FILE_IO.value,
        choices=[client.value for client in Client],
        help="TensorFlow's file_io, the MinIO client, or one gRPC stream, pfs, which many small files need "
        "(default %(default)s)",
    )
    group.add_argument(
        "--verify",
        default=Verify.FULL.value,
        choices=[level.value for level in Verify],
        help="Full reads every byte back; Checksum compares Pachyderm's own hashes, and reads back what they do not "
        "prove; None proves nothing and reports Copied, never Verified (default %(default)s)",
    )
    group.add_argument(
        "--pachd-address",
        metavar="ADDRESS",
        help="pachd's gRPC API: host:port, grpc://host:port, or grpcs://host:port for TLS (default $PACHD_ADDRESS)",
    )
    group.add_argument(
        "--insecure-skip-verify", action="store_true", help="trust any certificate, of the gateway and of pachd"
    )


def _add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what is synced, and where to."""
    group = parser.add_argument_group("selection", "GLOBs are patterns as in .gitignore, relative to PATH.")
    group.add_argument(
        "--destination-path", metavar="PATH", help="the directory in the repo, / for its top level (default: as -i)"
    )
    group.add_argument(
        "--include", action="append", default=[], metavar="GLOB", help="sync only what one of these matches; repeatable"
    )
    group.add_argument(
        "--exclude", action="append", default=[], metavar="GLOB", help="leave out what one of these matches; repeatable"
    )
    group.add_argument(
        "--on-invalid-path",
        default=OnInvalidPath.FAIL.value,
        choices=[policy.value for policy in OnInvalidPath],
        help="what to do about sockets, unreadable files, dangling links and names that Pachyderm refuses; either way "
        "the report names them (default %(default)s)",
    )


def _add_atomic(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a sync that is staged, for the operator to publish."""
    group = parser.add_argument_group("atomic sync")
    group.add_argument("--staging-branch", metavar="NAME", help="stage on the branch NAME-w<this worker's index>")
    group.add_argument("--base-commit", metavar="ID", default="", help="the target's head; absent if it has no commit")
    group.add_argument("--prune", action="store_true", help="have files deleted that PATH does not have")
    group.add_argument("--prune-dry-run", action="store_true", help="only report which files --prune would delete")
    group.add_argument(
        "--max-delete-percent",
        type=_number(0, 100),
        default=100,
        metavar="N",
        help="delete no more (default %(default)s)",
    )
    group.add_argument(
        "--batch-files",
        type=_number(1, 10_000),
        default=DEFAULT_FILES,
        metavar="N",
        help="files a commit, for file_io and minio (default %(default)s)",
    )
    group.add_argument(
        "--batch-bytes",
        type=_number(1, 10**15),
        default=DEFAULT_BYTES,
        metavar="N",
        help="bytes a commit, for file_io and minio (default %(default)s)",
    )


def parse_settings(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Settings:
    """Return the settings; raises SyncError InvalidArguments naming the flag or variable that is wrong."""
    gateway = _gateway(arguments, environment)
    worker = parse_worker(environment)
    settings = Settings(
        bucket=parse_bucket(arguments.bucket),
        input_path=arguments.inputpath,
        prefix=_prefix(arguments),
        gateway=gateway,
        worker=worker,
        threads=arguments.threads,
        print_contents=arguments.print,
        allow_empty=arguments.allow_empty,
        client=Client(arguments.client),
        verify=Verify(arguments.verify),
        pachd=parse_pachd(arguments.pachd_address or environment.get("PACHD_ADDRESS", ""), gateway, environment),
        staging=_staging(arguments, worker),
        writer=parse_writer(environment),
        filter=Filter(tuple(arguments.include), tuple(arguments.exclude)),
        on_invalid_path=OnInvalidPath(arguments.on_invalid_path),
        prune=_prune(arguments),
    )
    return check_together(settings)


def _prefix(arguments: argparse.Namespace) -> str:
    """Return the destination's key prefix; an input path that is not one of a key is fine where another is given."""
    if arguments.destination_path is None:
        return destination_prefix(arguments.inputpath)
    if not arguments.inputpath:
        raise SyncError(Reason.INVALID_ARGUMENTS, "-i/--inputpath is empty; name a directory.")
    return destination_prefix(arguments.destination_path, "--destination-path")


def _staging(arguments: argparse.Namespace, worker: Worker) -> Staging | None:
    if not arguments.staging_branch:
        if arguments.base_commit:
            raise SyncError(Reason.INVALID_ARGUMENTS, "--base-commit: it means nothing without --staging-branch.")
        return None
    return parse_staging(
        arguments.staging_branch, arguments.base_commit, worker, arguments.batch_files, arguments.batch_bytes
    )


def _prune(arguments: argparse.Namespace) -> Prune | None:
    if arguments.prune or arguments.prune_dry_run:
        return Prune(arguments.prune_dry_run, arguments.max_delete_percent)
    return None


def _gateway(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Gateway:
    gateway = parse_gateway(environment)
    return replace(gateway, verify_tls=False) if arguments.insecure_skip_verify else gateway


def termination_log(arguments: Sequence[str], environment: Mapping[str, str]) -> Path | None:
    """Return where the report goes besides standard output, None for nowhere.

    The flag is looked for by itself, so that a run whose other flags are wrong reports that as well.
    """
    finder = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    finder.add_argument("--termination-log", nargs="?")
    flag: str | None = finder.parse_known_args(list(arguments))[0].termination_log
    given = flag or environment.get(TERMINATION_LOG_VARIABLE)
    if given:
        return Path(given)
    return KUBERNETES_TERMINATION_LOG if KUBERNETES_TERMINATION_LOG.exists() else None


def _number(least: int, most: int) -> Callable[[str], int]:
    """Return a parser of whole numbers between ``least`` and ``most``."""

    def parse(value: str) -> int:
        if not (value.isascii() and value.isdigit() and least <= int(value) <= most):
            raise argparse.ArgumentTypeError(f"{value!r} is not a whole number from {least} to {most}")
        return int(value)

    return parse
