"""`s3sync render`: the objects that the operator would apply, for reviews and CI."""

from dataclasses import replace

import click
import yaml

from s3sync_cli.checking import check
from s3sync_cli.documents import Document
from s3sync_cli.errors import CliError, MisusedError
from s3sync_cli.files import read_documents
from s3sync_cli.options import Kept, address, files, namespace_here
from s3sync_cli.rendering import NO_UID, rendered, sync_of
from s3sync_operator import rules
from s3sync_operator.access import ACCESS_KEY, CA_KEY, CERTIFICATE_KEY, PRIVATE_KEY, SECRET_KEY, TOKEN_KEY
from s3sync_operator.api import Spec, Sync
from s3sync_operator.settings import Settings
from s3sync_operator.staging import is_atomic

KEY_PAIR = "key-pair"

HELP = """Show the TFJob, or the Job, that the operator would create for each sync in files; no cluster is needed.

It comes from the operator's own code, and the same input gives the same bytes. What only the cluster knows is assumed
and told in comments: which keys the Secrets have, and for an atomic publish the commit that is built upon. An object's
name holds a hash of the sync's uid, so it is the real one for a sync from `kubectl get -o yaml`.

\b
Examples:
  s3sync render -f deploy/samples/s3-gateway-example.yaml
  s3sync render -f sync.yaml --job-image registry.example.com/s3sync-job:0.1.0 --default-pachd-address pachd:30650
  kubectl get ps3 s3-gateway-example -n kubeflow -o yaml | s3sync render -f -
  s3sync render -f sync.yaml | kubectl diff -f -

\b
Exit codes:
  0  every sync is rendered
  1  some sync is not valid; see s3sync validate
  2  a file cannot be read, or holds no sync
"""


@click.command(help=HELP)
@files
@namespace_here
@click.option(
    "--job-image", metavar="IMAGE", type=Kept("image", rules.IMAGE), help="The operator's setting of that name."
)
@click.option(
    "--default-endpoint",
    metavar="URL",
    type=Kept("endpoint", rules.ENDPOINT),
    help="The operator's setting of that name.",
)
@address
@click.option(
    "--secret-keys",
    type=click.Choice([TOKEN_KEY, KEY_PAIR]),
    default=TOKEN_KEY,
    show_default=True,
    help=f"What the Secret of spec.secretRef holds: '{TOKEN_KEY}', or '{ACCESS_KEY}' and '{SECRET_KEY}'.",
)
@click.option("--client-certificate", is_flag=True, help="The Secret of spec.certSecretRef holds a client certificate.")
def render(
    filenames: tuple[str, ...],
    namespace: str,
    job_image: str | None,
    default_endpoint: str | None,
    default_pachd_address: str | None,
    secret_keys: str,
    client_certificate: bool,
) -> None:
    """Render the syncs in files."""
    settings = settings_of(job_image, default_endpoint, default_pachd_address)
    keys = [TOKEN_KEY] if secret_keys == TOKEN_KEY else [ACCESS_KEY, SECRET_KEY]
    certificates = [CA_KEY, CERTIFICATE_KEY, PRIVATE_KEY] if client_certificate else [CA_KEY]
    parts = []
    for document in syncs_in(filenames):
        sync, spec = valid_sync(document, namespace, default_pachd_address or "")
        comments = assumed(document, sync, spec, settings, keys, certificates)
        shown = yaml.dump(rendered(sync, spec, settings, keys, certificates), Dumper=_Plain, sort_keys=False, width=120)
        parts.append("".join(f"# {line}\n" for line in comments) + shown)
    click.echo("---\n".join(parts), nl=False)


class _Plain(yaml.CSafeDumper):
    """Writes what is equal in two places twice, not as an alias."""

    def ignore_aliases(self, data: object) -> bool:
        """Alias nothing."""
        del data
        return True


def syncs_in(filenames: tuple[str, ...]) -> list[Document]:
    """Return the syncs in files; raises MisusedError where there is none."""
    found = [item for item in read_documents(filenames) if item.is_sync]
    if not found:
        raise MisusedError(f"{', '.join(filenames)}: holds no PachydermS3Sync")
    return found


def valid_sync(document: Document, namespace: str, pachd_address: str, uid: str = NO_UID) -> tuple[Sync, Spec]:
    """Return a sync with its spec; raises CliError with what is wrong where it is not valid."""
    verdict = check(document, pachd_address)
    if not verdict.valid(strict=False):
        first, *more = [problem for problem in verdict.problems if problem.severity == "error"]
        others = f" (and {len(more)} more; see s3sync validate)" if more else ""
        raise CliError(f"{document.file}:{first.line}: {verdict.name}: {first.field}: {first.message}{others}")
    sync = sync_of(document, namespace, uid)
    assert sync.spec is not None  # noqa: S101 - it was checked.
    return sync, sync.spec


def settings_of(job_image: str | None, endpoint: str | None, pachd_address: str | None) -> Settings:
    """Return the operator's settings with those that are given."""
    operator = Settings()
    return replace(
        operator,
        job_image=job_image or operator.job_image,
        default_endpoint=endpoint or operator.default_endpoint,
        default_pachd_address=pachd_address or operator.default_pachd_address,
    )


def assumed(
    document: Document, sync: Sync, spec: Spec, settings: Settings, keys: list[str], certificates: list[str]
) -> list[str]:
    """Return what was assumed, a sentence each."""
    lines = [f"For {sync.namespace}/{sync.name} of {document.where}."]
    if sync.uid == NO_UID:
        lines.append("The names stand for a sync that is not applied yet: its uid is not known.")
    if spec.secret_ref:
        lines.append(f"Assumed: Secret '{spec.secret_ref.name}' holds {', '.join(keys)}.")
    if spec.cert_secret_ref:
        lines.append(f"Assumed: Secret '{spec.cert_secret_ref.name}' holds {', '.join(certificates)}.")
    if is_atomic(spec, settings):
        lines.append("Assumed: the branch has no commit yet. If it has one, --base-commit=<its ID> is added.")
    return lines
