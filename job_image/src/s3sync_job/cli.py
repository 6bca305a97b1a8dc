"""The command line: its flags, its help, and the settings that flags and environment make together."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from s3sync_job.keys import destination_prefix
from s3sync_job.outcome import Reason, SyncError, exit_code_table
from s3sync_job.settings import Settings, parse_bucket, parse_gateway, parse_worker

DEFAULT_THREADS = 16
MAX_THREADS = 128
TERMINATION_LOG_VARIABLE = "S3SYNC_TERMINATION_LOG"
KUBERNETES_TERMINATION_LOG = Path("/dev/termination-log")

DESCRIPTION = """\
Copies a directory tree into a Pachyderm repo through its S3 gateway with TensorFlow file_io, reads every file back,
compares it byte for byte, and ends with one line of JSON that says how it went.

The files under PATH get the keys PATH/..., so `-b master.testrepo -i testdata` fills s3://master.testrepo/testdata/. A
leading / or ./ is left out; with `-i .` the files lie at the bucket's top level. The directory there is to equal PATH:
a file that only the bucket has fails the run. Symbolic links are followed. Empty directories are left out.
"""

EPILOG = f"""\
environment:
  S3_ENDPOINT                 the gateway: host:port, http://host:port or https://host (required)
  S3_USE_HTTPS                1 makes a bare host:port https (default 0)
  S3_VERIFY_SSL               0 trusts any certificate (default 1)
  S3_CA_FILE                  PEM file with the CA to trust
  AWS_ACCESS_KEY_ID           both a Pachyderm auth token, or both unset where Pachyderm's auth is off
  AWS_SECRET_ACCESS_KEY
  AWS_SESSION_TOKEN           passed on where set
  AWS_REGION                  the region that requests are signed for (default us-east-1)
  AWS_MAX_ATTEMPTS            tries a request, 1 to 10 (default 3)
  S3_REQUEST_TIMEOUT_MSEC     how long a silent gateway is waited for (default 60000, more for large files)
  TF_CONFIG                   set by the training-operator: with N workers each takes every Nth file
  {TERMINATION_LOG_VARIABLE}      see --termination-log

exit codes (a retry may mend those from 128 on):
{exit_code_table()}

examples:
  S3_ENDPOINT=pachd.pachyderm:30600 s3sync-job -b master.testrepo -i testdata
  S3_ENDPOINT=localhost:30600 s3sync-job --bucket s3://master.testrepo --inputpath /data/books --print
  S3_ENDPOINT=https://pachyderm.example.com S3_CA_FILE=/tls/ca.crt s3sync-job -b staging.images.team-a -i images
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
        "--threads", default=DEFAULT_THREADS, type=_threads, metavar="N", help="files at once (default %(default)s)"
    )
    parser.add_argument("--allow-empty", action="store_true", help="a PATH without files is verified, not an error")
    parser.add_argument(
        "--termination-log",
        metavar="FILE",
        help="where to write the report for Kubernetes, in at most 4096 bytes "
        f"(default ${TERMINATION_LOG_VARIABLE}, else {KUBERNETES_TERMINATION_LOG} if it exists)",
    )
    parser.add_argument("--version", action="version", version=f"s3sync-job {version('s3sync-job')}")
    return parser


def parse_settings(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Settings:
    """Return the settings; raises SyncError InvalidArguments naming the flag or variable that is wrong."""
    return Settings(
        bucket=parse_bucket(arguments.bucket),
        input_path=arguments.inputpath,
        prefix=destination_prefix(arguments.inputpath),
        gateway=parse_gateway(environment),
        worker=parse_worker(environment.get("TF_CONFIG", "")),
        threads=arguments.threads,
        print_contents=arguments.print,
        allow_empty=arguments.allow_empty,
    )


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


def _threads(value: str) -> int:
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= MAX_THREADS):
        raise argparse.ArgumentTypeError(f"{value!r} is not a whole number from 1 to {MAX_THREADS}")
    return int(value)
