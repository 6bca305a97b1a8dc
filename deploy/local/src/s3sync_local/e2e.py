"""`make e2e`: the end-to-end tests on a cluster made on this machine, or on a given cluster and Pachyderm."""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from s3sync_local import sandbox
from s3sync_local.errors import LocalClusterError, MissingToolError
from s3sync_local.gobuild import Progress
from s3sync_local.images import JOB, OPERATOR, build_images
from s3sync_local.images.commands import missing_packages as missing_packages_of_images
from s3sync_local.realnode import ensure_programs
from s3sync_local.realnode import missing_packages as missing_packages_of_node

ROOT = Path(__file__).resolve().parents[4]
TESTS = "tests/e2e"
SANDBOX_TESTS = ("tests/sandbox", "-k", "ready or termination or end_of")
"""That a kill leaves nothing, at the stage where there is most to leave; `make sandbox` shows it for all."""
APT_SECONDS = 900
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
        code = _on_given(options, pytest_arguments) if options.kubeconfig else _on_own(pytest_arguments)
    except LocalClusterError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m s3sync_local.e2e", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, help="run on this cluster instead of one made here")
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
    _install_packages(say)
    ensure_programs(say)
    build_images(say)
    code = sandbox.run(_pytest([TESTS, *arguments]), cwd=ROOT)
    # What was asked for in particular is all that is run.
    return code or (0 if arguments else sandbox.run(_pytest(SANDBOX_TESTS), cwd=ROOT))


def _install_packages(progress: Progress) -> None:
    """Install what is missing of Debian's packages; raises MissingToolError where that takes rights we lack."""
    packages = sorted({*missing_packages_of_node(), *missing_packages_of_images()})
    if os.geteuid() != 0:
        wanted = f", and apt-get install {' '.join(packages)}" if packages else ""
        raise MissingToolError(f"the end-to-end tests run a kubelet, which takes root{wanted}; run `make e2e` as root")
    if not packages:
        return
    progress(f"apt-get install {' '.join(packages)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        ran = subprocess.run(
            ["apt-get", "-q", *command],
            env=environment,
            capture_output=True,
            text=True,
            timeout=APT_SECONDS,
            check=False,
        )
        if ran.returncode:
            raise MissingToolError(f"apt-get {command[0]} failed: {ran.stderr.strip()[-2000:]}")


if __name__ == "__main__":
    main()
