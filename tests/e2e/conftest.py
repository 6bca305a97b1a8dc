"""What the end-to-end tests share: the target, the operator in it, namespaces, and what to show when one fails."""

import json
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from s3sync_local.errors import LocalClusterError
from tests.e2e import explain
from tests.e2e.target import (
    DEFINITION,
    Given,
    Progress,
    Target,
    given_target,
    install_operator,
    own_target,
    uninstall_operator,
)
from tests.support.s3 import empty_and_delete
from tests.support.syncs import Syncs, unique

# The order matters: what takes the operator away comes last, the other ways to install it after that.
ORDER = (
    "test_seed",
    "test_pods",
    "test_customised",
    "test_sources",
    "test_pod_template",
    "test_access",
    "test_atomic",
    "test_deletion",
    "test_failures",
    "test_runs",
    "test_timing",
    "test_interruptions",
    "test_uninstall",
    "test_namespaced",
    "test_chart",
)
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
SECRET = "pachyderm-token"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("e2e", "a cluster and a Pachyderm of your own; without --kubeconfig, ones are made here")
    group.addoption("--kubeconfig", type=Path, help="the cluster's kubeconfig, with an administrator's rights")
    group.addoption("--s3-endpoint", default="", help="Pachyderm's S3 gateway, as the cluster's pods reach it")
    group.addoption("--s3-endpoint-here", default="", help="the same as this machine reaches it, where that differs")
    group.addoption("--pachd-address", default="", help="Pachyderm's gRPC API, as the cluster's pods reach it")
    group.addoption("--operator-image", default="", help="the operator's image, where the cluster can pull it")
    group.addoption("--job-image", default="", help="the job's image, where the cluster can pull it")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if item.path.parent == Path(__file__).parent]
    ours.sort(key=lambda item: ORDER.index(item.path.stem))
    items[:] = [item for item in items if item not in ours] + ours


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure what explains it: objects, events and logs as they are now."""
    report = yield
    if report.failed and (target := item.session.stash.get(TARGET, None)):
        report.sections.append(("what the cluster holds", explain.everything(target)))
    return report


TARGET = pytest.StashKey[Target]()
TIMELINE = pytest.StashKey[str]()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if text := terminalreporter.config.stash.get(TIMELINE, ""):
        terminalreporter.section("from kubectl apply to Ready")
        terminalreporter.write_line(text)


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The cluster and the Pachyderm under test."""
    show = request.config.get_terminal_writer().line
    try:
        with _target(request.config, tmp_path_factory, lambda text: show(f"==> {text}")) as found:
            request.session.stash[TARGET] = found
            yield found
    except LocalClusterError as error:
        pytest.exit(f"the cluster cannot be used: {error}", returncode=1)


def _target(
    config: pytest.Config, tmp_path_factory: pytest.TempPathFactory, progress: Progress
) -> AbstractContextManager[Target]:
    if not config.getoption("--kubeconfig"):
        return own_target(tmp_path_factory.mktemp("cluster") / "state", progress)
    given = Given(
        config.getoption("--kubeconfig"),
        s3_endpoint=config.getoption("--s3-endpoint"),
        s3_endpoint_here=config.getoption("--s3-endpoint-here"),
        operator_image=config.getoption("--operator-image"),
        job_image=config.getoption("--job-image"),
        pachd_address=config.getoption("--pachd-address"),
        token=os.environ.get("PACHYDERM_TOKEN", ""),
    )
    return nullcontext(given_target(given))


@pytest.fixture(scope="session")
def operator(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The operator as installed by kustomize; the folder of the kustomization."""
    folder = tmp_path_factory.mktemp("install")
    install_operator(target, folder)
    yield folder
    uninstall_operator(target, folder)


def create_secret(target: Target, namespace: str, name: str, token: str) -> None:
    """Put a Pachyderm token into a Secret; it goes through standard input, so that no process list shows it."""
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"token": token}}
    target.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(manifest))


@pytest.fixture
def namespace(target: Target) -> Iterator[str]:
    """A namespace for one test, where the restricted Pod Security Standard is enforced."""
    name = f"s3sync-e2e-{unique()}{target.suffix}"
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}}
    target.kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    target.kubectl("wait", "--for=create", "serviceaccount/default", "-n", name, "--timeout=30s")
    yield name
    target.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def s3(target: Target) -> Iterator[Any]:
    """A plain S3 client of the gateway."""
    client = target.s3()
    yield client
    client.close()


class OwnSyncs(Syncs):
    """Syncs of one test, which remembers what it applies."""

    def __init__(self, target: Target, namespace: str) -> None:
        super().__init__(target, namespace, target.endpoint)
        self.target = target
        self.buckets: list[str] = []
        self.names_made: list[str] = []

    def apply(self, name: str | None = None, **spec: Any) -> str:
        """Apply a sync and return its name, which its repo has too."""
        name = name or f"sync-{unique()}{self.target.suffix}"
        if self.target.token:
            spec = {"secretRef": {"name": SECRET}} | spec
        parts = (spec.get("branch", "master"), spec.get("repo", name), spec.get("project", ""))
        self.buckets.append(".".join(filter(None, parts)))
        self.names_made.append(name)
        return super().apply(name, **spec)


@pytest.fixture
def syncs_in(target: Target, s3: Any) -> Iterator[Callable[[str], OwnSyncs]]:
    """Makes the syncs of a namespace; in the end no fault is left, nor a repo in a Pachyderm that is somebody's."""
    made: list[OwnSyncs] = []

    def syncs_of(namespace: str) -> OwnSyncs:
        if target.token:
            create_secret(target, namespace, SECRET, target.token)
        made.append(OwnSyncs(target, namespace))
        return made[-1]

    yield syncs_of
    if target.control:
        target.control.clear_faults()
        return
    for each in made:
        # A sync that is still there would write its repo again.
        if each.names_made and target.kubectl("get", "crd", DEFINITION, "--ignore-not-found"):
            each.kubectl("delete", "ps3", *each.names_made, "--ignore-not-found", "--cascade=foreground", timeout=120)
        if target.token:
            each.kubectl("delete", "secret", SECRET, "--ignore-not-found")
        for bucket in each.buckets:
            empty_and_delete(s3, bucket)


@pytest.fixture
def syncs(operator: Path, namespace: str, syncs_in: Callable[[str], OwnSyncs]) -> OwnSyncs:
    """Syncs of one test in a namespace of its own, with the operator installed."""
    return syncs_in(namespace)
