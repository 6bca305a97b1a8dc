"""`s3sync run`: a sync on this machine, without a cluster."""

import asyncio
import importlib.util
import json
import os
import sys
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from s3sync_cli.documents import Document
from s3sync_cli.errors import MisusedError
from s3sync_cli.files import read_documents
from s3sync_cli.local_secrets import (
    CERTIFICATE_VARIABLES,
    TOKEN_VARIABLE,
    BadSecretError,
    LocalSecrets,
    local_secrets,
)
from s3sync_cli.options import Kept, address, namespace_here
from s3sync_cli.render import settings_of, syncs_in, valid_sync
from s3sync_operator import rules
from s3sync_operator.api import Spec
from s3sync_operator.models import plain

MOST_PEM_BYTES = 1024 * 1024

HELP = f"""Run a sync on this machine, without a cluster: s3sync-job with the flags that its pod would get, and for an
atomic publish the operator's own steps before and after it. Repo and branch are made if they are missing.

The sync runs as one process, whatever spec.workers says. A relative input path starts at the working directory;
--input-path names another directory, whose files keep their place in the repo. Where the sync names a Secret, its
values come from --secret-file, else from {TOKEN_VARIABLE}, else from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY;
certificates come from --secret-file, else from the files that S3_CA_FILE, S3SYNC_CLIENT_CERT and S3SYNC_CLIENT_KEY
name. No credential is ever a flag. Ctrl-C ends it: nothing of an atomic publish is left, or it is said what is.

\b
Examples:
  s3sync run -f deploy/samples/s3-gateway-example.yaml --default-endpoint localhost:30600
  s3sync run -f sync.yaml --input-path ./data --secret-file secret.yaml
  s3sync run -f sync.yaml --default-pachd-address grpc://localhost:30650 -o json

\b
Exit codes: those of s3sync-job (see s3sync-job --help); a retry may mend what ends with 128 or more. Among them:
  0    Verified, Copied or Unchanged
  1    files differ, or the publish failed for good
  2    a flag, a file or a Secret is at fault
  7    Pachyderm refuses the credentials
  130  ended by Ctrl-C
  165  a commit failed, or the target is busy or moved
"""


@click.command(help=HELP)
@click.option(
    "-f",
    "--filename",
    required=True,
    metavar="FILE",
    type=click.Path(exists=True, allow_dash=True),
    help="A file with one sync, or - for standard input.",
)
@click.option(
    "--secret-file",
    "secret_files",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True),
    help="Manifests of the Secrets that the sync names; may be given again.",
)
@click.option(
    "--input-path",
    metavar="DIRECTORY",
    type=click.Path(),
    help="Where the files are on this machine; spec.inputPath where absent.",
)
@click.option(
    "--default-endpoint",
    metavar="URL",
    type=Kept("endpoint", rules.ENDPOINT),
    help="The S3 gateway of a sync that names none.",
)
@address
@namespace_here
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="The report's format.",
)
def run(
    filename: str,
    secret_files: tuple[str, ...],
    input_path: str | None,
    default_endpoint: str | None,
    default_pachd_address: str | None,
    namespace: str,
    output: str,
) -> None:
    """Run one sync."""
    _must_be_installed()
    # They need s3sync-job, which may not be there.
    from s3sync_cli.local_run import LocalRun, Wanted  # noqa: PLC0415
    from s3sync_job.console import nobody_listening  # noqa: PLC0415

    document = _only(syncs_in((filename,)), filename)
    sync, spec = valid_sync(document, namespace, default_pachd_address or "", str(uuid.uuid4()))
    settings = settings_of(None, default_endpoint, default_pachd_address)
    say = _speaker(output)
    _tell(spec, say, os.environ)
    wanted = Wanted(sync, spec, settings, _secrets(secret_files, os.environ), _input(spec, input_path), os.environ)
    ended = asyncio.run(LocalRun(wanted, say).run())
    told = ended.told
    text = json.dumps(told, indent=2) if output == "json" else f"{told['result']} ({ended.reason}): {ended.message}"
    with nobody_listening():
        click.echo(text)
        sys.stdout.flush()
        sys.stderr.flush()
    # Threads that still wait for a server must not hold up the end.
    os._exit(ended.code)


def _must_be_installed() -> None:
    if importlib.util.find_spec("s3sync_job") is None:
        raise MisusedError("s3sync-job is not installed here; install it with: pip install 's3sync-operator[run]'")


def _only(found: list[Document], filename: str) -> Document:
    if len(found) > 1:
        raise MisusedError(f"-f {filename}: holds {len(found)} syncs; give a file with the one that is to run")
    return found[0]


def _speaker(output: str) -> Callable[[str], None]:
    """In JSON, standard output holds the report alone."""
    from s3sync_job.console import nobody_listening  # noqa: PLC0415

    def say(text: str) -> None:
        with nobody_listening():
            click.echo(text, err=output == "json")

    return say


def _tell(spec: Spec, say: Callable[[str], None], environment: Mapping[str, str]) -> None:
    if spec.effective_workers > 1:
        say(f"spec.workers: {spec.effective_workers}; here, one process does it all")
    if spec.secret_ref is None and environment.get(TOKEN_VARIABLE):
        say(f"spec.secretRef is not set, so {TOKEN_VARIABLE} is not used")
    for item in plain(spec.pod_template).get("env", ()) if spec.pod_template else ():
        if "valueFrom" in item:
            name = item["name"]
            here = (
                "it is as this shell has it" if name in environment else f"it is not set; export {name} if it matters"
            )
            say(f"spec.podTemplate.env: {name} has its value from the cluster; here, {here}")


def _input(spec: Spec, input_path: str | None) -> str | None:
    """Return where the files are if not at the spec's input path; a volume is not on this machine."""
    if spec.source is not None and input_path is None:
        raise MisusedError("spec.source is a volume, which this machine does not have; name the files by --input-path")
    if input_path is not None and not Path(input_path).is_dir():
        raise MisusedError(f"--input-path: '{input_path}' is no directory")
    return input_path


def _secrets(files: tuple[str, ...], environment: Mapping[str, str]) -> LocalSecrets:
    try:
        return local_secrets(read_documents(files), environment, _certificates(environment))
    except BadSecretError as error:
        raise MisusedError(str(error)) from None


def _certificates(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the contents of the certificate files that the environment names."""
    found = {}
    for variable, key in CERTIFICATE_VARIABLES.items():
        if path := environment.get(variable):
            try:
                with Path(path).open() as stream:
                    found[key] = stream.read(MOST_PEM_BYTES)
            except (OSError, UnicodeDecodeError) as error:
                raise MisusedError(f"{variable}: '{path}' cannot be read: {error}") from None
    return found
