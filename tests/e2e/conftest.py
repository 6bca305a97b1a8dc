"""What the end-to-end tests share: the target, the operator in it, namespaces, and what to show when one fails.

They run side by side, in as many workers as `-n` says; the process that starts these owns cluster and Pachyderm.
A test that is marked as `alone` runs while no other does.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from s3sync_local.errors import LocalClusterError
from tests.e2e import explain
from tests.e2e.sharing import Faults, Shared, write_facts
from tests.e2e.target import (
    DEFINITION,
    Given,
    Progress,
    Target,
    attached_target,
    found,
    given_target,
    install_operator,
    own_target,
    uninstall_operator,
)
from tests.support.s3 import empty_and_delete
from tests.support.syncs import Syncs

# What takes longest begins first, so that nothing is waited for in the end but what must run alone. Of that, what takes
# the operator away comes last: before it, no test has to install the operator again.
ORDER = (
    "test_runs",
    "test_access",
    "test_sources",
    "test_seed",
    "test_atomic",
    "test_deletion",
    "test_customised",
    "test_failures",
    "test_pods",
    "test_interruptions",
    "test_pod_template",
    "test_timing",
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


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "alone: the test disturbs others, or is disturbed, so it runs while none does")
    given = getattr(config, "workerinput", None)
    if given is not None:
        config.stash[SHARED] = Shared(Path(given["shared"]))
        return
    owner = Owner(config, Shared(Path(tempfile.mkdtemp(prefix="s3sync-e2e-"))))
    config.stash[SHARED], config.stash[OWNER] = owner.shared, owner


def pytest_unconfigure(config: pytest.Config) -> None:
    if owner := config.stash.get(OWNER, None):
        owner.end()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker that is about to start where the owner of the cluster will write what it needs to know."""
    node.workerinput["shared"] = str(node.config.stash[SHARED].folder)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:
    """Start the cluster before the first worker gets its first test, where there is any test to be run."""
    if ids and not node.config.option.collectonly:
        node.config.stash[OWNER].begin()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if item.path.parent == Path(__file__).parent]
    ours.sort(key=lambda item: (_is_alone(item), ORDER.index(item.path.stem)))
    items[:] = [item for item in items if item not in ours] + ours
    for item in filter(_is_alone, ours):
        item.add_marker(pytest.mark.xdist_group("alone"))


def _is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test wait for its turn, outside of its own time limit."""
    with item.config.stash[SHARED].cluster_use(alone=_is_alone(item)):
        return (yield)


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
SHARED = pytest.StashKey[Shared]()
TIMELINE = "from kubectl apply to Ready"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for report in terminalreporter.stats.get("passed", ()):
        for name, text in report.user_properties:
            if name == TIMELINE:
                terminalreporter.section(TIMELINE)
                terminalreporter.write_line(text)


@dataclass
class Owner:
    """The process that owns the cluster: it starts it where a test needs one, and stops it when all have ended."""

    config: pytest.Config
    shared: Shared
    _ending: ExitStack = field(default_factory=ExitStack)
    _target: Target | None = None

    def begin(self) -> Target:
        """Return the target, made at the first call; all workers learn of it."""
        if self._target is None:
            show = self.config.get_terminal_writer().line
            try:
                self._target = self._ending.enter_context(self._make(lambda text: show(f"==> {text}")))
            except LocalClusterError as error:
                pytest.exit(f"the cluster cannot be used: {error}", returncode=1)
            write_facts(self.shared.facts, self._target.facts())
        return self._target

    def end(self) -> None:
        """Remove what was made: of a cluster that is somebody's the operator, else all."""
        try:
            with self._ending:
                if self._target and not self._target.node:
                    uninstall_operator(self._target, self.shared.kustomization)
        finally:
            shutil.rmtree(self.shared.folder, ignore_errors=True)

    def _make(self, progress: Progress) -> AbstractContextManager[Target]:
        option = self.config.getoption
        if not option("--kubeconfig"):
            return own_target(self.shared.folder / "cluster", progress)
        given = Given(
            option("--kubeconfig"),
            s3_endpoint=option("--s3-endpoint"),
            s3_endpoint_here=option("--s3-endpoint-here"),
            operator_image=option("--operator-image"),
            job_image=option("--job-image"),
            pachd_address=option("--pachd-address"),
            token=_token(),
        )
        return nullcontext(given_target(given))


OWNER = pytest.StashKey[Owner]()


def _token() -> str:
    return os.environ.get("PACHYDERM_TOKEN", "")


@pytest.fixture(scope="session")
def shared(request: pytest.FixtureRequest) -> Shared:
    """What this process has in common with the others of the run."""
    return request.config.stash[SHARED]


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest, shared: Shared) -> Target:
    """The cluster and the Pachyderm under test."""
    owner = request.config.stash.get(OWNER, None)
    found = owner.begin() if owner else attached_target(json.loads(shared.facts.read_text()), _token())
    request.session.stash[TARGET] = found
    return found


@pytest.fixture
def operator(target: Target, shared: Shared) -> Path:
    """The operator as installed by kustomize; the folder of the kustomization."""
    with shared.installing() as done:
        if not done:
            install_operator(target, shared.kustomization)
    return shared.kustomization


@pytest.fixture
def no_operator(target: Target, shared: Shared) -> None:
    """A cluster without the operator that the other tests share."""
    shared.taken_away()
    if found(target):
        uninstall_operator(target, shared.kustomization)


def create_secret(target: Target, namespace: str, name: str, token: str) -> None:
    """Put a Pachyderm token into a Secret; it goes through standard input, so that no process list shows it."""
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"token": token}}
    target.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(manifest))


@pytest.fixture
def namespace(target: Target) -> Iterator[str]:
    """A namespace for one test, where the restricted Pod Security Standard is enforced."""
    name = target.unique("s3sync-e2e")
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
    """Syncs of one test, which remembers what it applies and which faults it sets."""

    def __init__(self, target: Target, shared: Shared, namespace: str) -> None:
        super().__init__(target, namespace, target.endpoint)
        self.target, self._shared = target, shared
        self.buckets: list[str] = []
        self.names_made: list[str] = []
        self._faults: dict[str, Faults] = {}

    def new_name(self) -> str:
        """Return a name for a sync and for its repo."""
        return self.target.unique("sync")

    def apply(self, name: str | None = None, **spec: Any) -> str:
        """Apply a sync and return its name, which its repo has too."""
        name = name or self.new_name()
        if self.target.token:
            spec = {"secretRef": {"name": SECRET}} | spec
        parts = (spec.get("branch", "master"), spec.get("repo", name), spec.get("project", ""))
        self.buckets.append(".".join(filter(None, parts)))
        self.names_made.append(name)
        return super().apply(name, **spec)

    def faults(self, repo: str) -> Faults:
        """Return the faults of a repo, which end with the test; only where the gateway is ours."""
        assert self.target.control, "only a gateway of our own has faults on demand"
        return self._faults.setdefault(repo, self._shared.faults_of(self.target.control, repo))

    def clear_faults(self) -> None:
        """Take the faults that the test has set out of force."""
        for faults in self._faults.values():
            faults.clear()

    def remove(self, s3: Any) -> None:
        """Delete the syncs, then the repos in a Pachyderm that is somebody's."""
        # A sync that is still there would write its repo again.
        if self.names_made and self.target.kubectl("get", "crd", DEFINITION, "--ignore-not-found"):
            self.kubectl("delete", "ps3", *self.names_made, "--ignore-not-found", "--cascade=foreground", timeout=120)
        if self.target.token:
            self.kubectl("delete", "secret", SECRET, "--ignore-not-found")
        for bucket in self.buckets:
            empty_and_delete(s3, bucket)


@pytest.fixture
def syncs_in(target: Target, shared: Shared, s3: Any) -> Iterator[Callable[[str], OwnSyncs]]:
    """Makes the syncs of a namespace; in the end no fault is left, nor a repo in a Pachyderm that is somebody's."""
    made: list[OwnSyncs] = []

    def syncs_of(namespace: str) -> OwnSyncs:
        if target.token:
            create_secret(target, namespace, SECRET, target.token)
        made.append(OwnSyncs(target, shared, namespace))
        return made[-1]

    yield syncs_of
    for each in made:
        each.clear_faults()
        if not target.control:
            each.remove(s3)


@pytest.fixture
def syncs(operator: Path, namespace: str, syncs_in: Callable[[str], OwnSyncs]) -> OwnSyncs:
    """Syncs of one test in a namespace of its own, with the operator installed."""
    return syncs_in(namespace)
