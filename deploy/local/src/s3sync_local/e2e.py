"""`make e2e`: the end-to-end tests on a cluster made on this machine, or on a given cluster and Pachyderm."""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from s3sync_local import sandbox
from s3sync_local.errors import LocalClusterError, MissingToolError
from s3sync_local.images import JOB, OPERATOR
from s3sync_local.sandbox.needs import NODE, provide

ROOT = Path(__file__).resolve().parents[4]
TESTS = "tests/e2e"
SANDBOX_TESTS = "tests/sandbox"
SANDBOX_CHOICE = ("-k", "(kill and ready) or termination or end_of")
"""That a kill leaves nothing, at the stage where there is most to leave; `make sandbox` shows it for all."""
SANDBOX_NEEDS = (NODE, "standin-image")
SANDBOXES = 3
NEEDS = (NODE, "helm", "operator-image", "job-image", "standin-image")
SIDE_BY_SIDE = ("-n3", "--dist=loadgroup", "--no-loadscope-reorder")
"""Most tests wait half of the time, so that three keep two processors busy; tests/e2e/conftest.py orders them."""
GIVEN = {"s3_endpoint": "", "s3_endpoint_here": "", "pachd_address": "", "operator_image": OPERATOR, "job_image": JOB}
"""What can be given besides a kubeconfig, with what is taken where it is not."""
ANNOUNCEMENT = """\
The end-to-end tests run on the cluster of {kubeconfig} and the Pachyderm at {s3_endpoint}.
They create, and remove in the end:
  in the cluster    namespace s3sync-system with the operator ({operator_image}),
                    the definition pachydermsyncs.sync.pachyderm.io, cluster roles named s3sync-*,
                    namespaces s3sync-e2e-*, and syncs with their TFJobs ({job_image}) there,
                    in namespace kubeflow and in namespace default
  in Pachyderm      repos whose names end in a random suffix
They stop before they begin where the definition or namespace s3sync-system is there already.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the tests and exit as they do; what is missing is told in one line."""
    options, pytest_arguments = _parser().parse_known_args(arguments)
    try:
        code = _run(options, pytest_arguments)
    except LocalClusterError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(code)


def _run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    if options.sandbox:
        return _on_sandboxes(arguments)
    return _on_given(options, arguments) if options.kubeconfig else _on_own(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m s3sync_local.e2e", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, help="run on this cluster instead of one made here")
    parser.add_argument("--sandbox", action="store_true", help="run the tests of what the others run in instead")
    for name in GIVEN:
        parser.add_argument(f"--{name.replace('_', '-')}", default="", help=argparse.SUPPRESS)
    return parser


def say(text: str) -> None:
    """Write one progress line."""
    sys.stdout.write(f"==> {text}\n")
    sys.stdout.flush()


def _pytest(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "pytest", *arguments]


def _on_given(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    values = {name: getattr(options, name) or default for name, default in GIVEN.items()}
    if not options.kubeconfig.is_file():
        raise MissingToolError(f"KUBECONFIG is {options.kubeconfig}, which is no file; name the cluster's kubeconfig")
    if not values["s3_endpoint"]:
        raise MissingToolError(
            "`make e2e KUBECONFIG=…` needs S3_ENDPOINT too, the gateway as the cluster's pods reach it"
        )
    sys.stdout.write(ANNOUNCEMENT.format(kubeconfig=options.kubeconfig, **values))
    sys.stdout.flush()
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in values.items() if value]
    command = _pytest([TESTS, f"--kubeconfig={options.kubeconfig.resolve()}", *flags, *arguments])
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def _on_own(arguments: Sequence[str]) -> int:
    if os.geteuid() != 0:
        raise MissingToolError("the end-to-end tests run a kubelet, which takes root; run `make e2e` as root")
    provide(NEEDS, say)
    code = sandbox.run(_pytest([TESTS, *SIDE_BY_SIDE, *arguments]), cwd=ROOT)
    # What was asked for in particular is all that is run.
    return code or (0 if arguments else _on_sandboxes(SANDBOX_CHOICE))


def _on_sandboxes(arguments: Sequence[str]) -> int:
    """Run the tests of the sandbox, each of their workers in a sandbox of its own, where it sees nothing of others."""
    provide(SANDBOX_NEEDS, say)
    worker = f"{sys.executable} -m s3sync_local.sandbox -- {sys.executable}"
    command = _pytest([SANDBOX_TESTS, f"--tx={SANDBOXES}*popen//python={worker}", "--dist=loadgroup", *arguments])
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    main()
