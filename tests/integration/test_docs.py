"""Each YAML of the documents is accepted by the API server, and what they say is seen is seen.

A page of docs/tasks, and each section of docs/spec.md, is a story: its YAML is applied, its commands are run, and what
a `console` block shows below a command must be what that command shows, but for names, times and spans. All stories run
in namespaces of their own, each the `kubeflow` of its story. UPDATE_GOLDEN=1 writes what is seen into the pages.
"""

import itertools
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from pachyderm_standin.process import StandinProcess
from s3sync_local.cluster import LocalCluster
from s3sync_operator.api import KIND, PLURAL, SHORT_NAME
from tests.integration.conftest import QUICK
from tests.support.api import SyncsApi
from tests.support.certificates import Certificates
from tests.support.changes import Changes
from tests.support.cluster import TREES_IMAGE
from tests.support.command_line import s3sync
from tests.support.documents import PAGES, ROOT, Block, Seen, blocks, commands, read_page, seen, settled, shows
from tests.support.operator_process import OperatorProcess
from tests.support.syncs import unique

UPDATE = os.environ.get("UPDATE_GOLDEN") == "1"
SPEC = ROOT / "docs/spec.md"
TASKS = (*sorted((ROOT / "docs/tasks").glob("*.md")), ROOT / "docs/troubleshooting.md")
NAMESPACE, TOKEN = "kubeflow", "a-token-that-is-known"
SEEN_SECONDS, COMMAND_SECONDS, QUIET_SECONDS, BEGUN_SECONDS = 120, 90, 4, 180
READS = re.compile(r"kubectl (?:get|describe|logs) ([\w,]+)|s3sync (?:status|logs) ")
"""Commands that only read, and what of."""

BY_DEFINITION = {
    # What belongs to programs that no test cluster runs: the kinds that the documents use, by their API version.
    "argoproj.io/v1alpha1": {"Application"},
    "kustomize.toolkit.fluxcd.io/v1": {"Kustomization"},
    "source.toolkit.fluxcd.io/v1": {"GitRepository"},
    "monitoring.coreos.com/v1": {"PrometheusRule", "PodMonitor", "ServiceMonitor"},
    "kustomize.config.k8s.io/v1beta1": {"Kustomization"},
    "kustomize.config.k8s.io/v1alpha1": {"Component"},
    "kueue.x-k8s.io/v1beta1": {"LocalQueue", "ClusterQueue", "ResourceFlavor"},
}


def documents(block: Block) -> list[dict[str, Any]]:
    """Return a block's objects; what is only a `spec` is the part of a sync that its section is about."""
    found = [item for item in yaml.safe_load_all(block.text) if item]
    return [_whole(item) if set(item) == {"spec"} else item for item in found]


def _whole(part: dict[str, Any]) -> dict[str, Any]:
    (first, *_) = read_page(SPEC).blocks
    whole = yaml.safe_load(first.text)
    return {**whole, "spec": whole["spec"] | part["spec"]}


@pytest.fixture(scope="module")
def space(installed: LocalCluster) -> Iterator[str]:
    """A namespace in which nothing is left."""
    name = f"docs-dry-run-{unique()}"
    installed.create_namespace(name)
    yield name
    installed.kubectl("delete", "namespace", name, "--wait=false")


@pytest.mark.parametrize("page", [page for page in PAGES if blocks("yaml", of=(page,))], ids=lambda page: page.name)
def test_the_objects_of_a_page_are_such_that_the_api_server_takes_them(
    installed: LocalCluster, space: str, tmp_path: Path, page: Path
) -> None:
    for block in blocks("yaml", of=(page,)):
        for number, item in enumerate(objects_for_dry_run(block)):
            if "namespace" in item["metadata"] or item["kind"] == KIND:
                item["metadata"]["namespace"] = space
            # A refusal names the file, and by that the line of the page.
            (tmp_path / f"line-{block.line}-{number}.yaml").write_text(yaml.safe_dump(item))
    if any(tmp_path.iterdir()):
        installed.kubectl("apply", "--dry-run=server", "-f", str(tmp_path))


def objects_for_dry_run(block: Block) -> Iterator[dict[str, Any]]:
    """Yield what the API server knows; of what it does not, the kind must be one of those that we know."""
    for item in documents(block):
        # A part of something else, such as Helm's values or the data of a ConfigMap, need only be YAML.
        if "apiVersion" not in item:
            continue
        known = BY_DEFINITION.get(item["apiVersion"])
        assert known is None or item["kind"] in known, block
        if known is None:
            yield item


# --- Stories. --------------------------------------------------------------------------------------------------------


@dataclass
class Story:
    """Blocks that belong together, and where they are played: a namespace, a folder, and what names mean there."""

    name: str
    blocks: list[Block]
    namespace: str
    folder: Path = Path()
    meanings: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    def played(self, text: str) -> str:
        """Return a text of the documents as it is here."""
        for word, meaning in self.meanings.items():
            text = text.replace(word, meaning)
        return re.sub(rf"\b{NAMESPACE}\b(?!\.org)", self.namespace, text)

    def told(self, text: str) -> str:
        """Return an output as the documents would show it."""
        lines = text.splitlines()
        starts = [found.start() for found in re.finditer(r"(?<=   )[A-Z]|^[A-Z]", lines[0])] if lines else []
        if len(starts) < 3 or lines[0].upper() != lines[0]:
            return self._told(text)
        # A table's columns fit what they hold, which is shorter in the documents.
        places = list(zip(starts, [*starts[1:], None], strict=True))
        rows = [[self._told(line[start:end].rstrip()) for start, end in places] for line in lines]
        widths = [max(map(len, column)) + 3 for column in zip(*rows, strict=True)]
        return "".join("".join(map(str.ljust, row, widths)).rstrip() + "\n" for row in rows)

    def _told(self, text: str) -> str:
        text = text.replace(f"-{self.namespace}", "").replace(self.namespace, NAMESPACE)
        addresses = {meaning: word for word, meaning in self.meanings.items() if "://" in word}
        bare = {meaning.partition("://")[2]: word.partition("://")[2] for meaning, word in addresses.items()}
        for meaning, word in (addresses | bare).items():
            text = text.replace(meaning, word)
        return text

    def manifest(self, block: Block) -> str:
        """Return a block's objects as they are applied here: each story has repos of its own."""
        found = documents(block)
        for item in found:
            if item["kind"] == KIND:
                item["spec"]["repo"] += f"-{self.namespace}"
        return self.played(yaml.safe_dump_all(found))


def stories() -> dict[str, list[Story]]:
    """Return the stories by the groups that one process of a session plays, with an operator for each group."""
    numbers = itertools.count(1)
    sections: dict[str, list[Block]] = {}
    for block in read_page(SPEC).blocks:
        sections.setdefault(block.heading, []).append(block)
    found = {"spec": sections, "tasks": {path.stem: read_page(path).blocks for path in TASKS}}
    return {
        group: [
            Story(name, parts, f"docs-{next(numbers)}")
            for name, parts in named.items()
            if any(block.kind in ("console", "sh") for block in parts)
        ]
        for group, named in found.items()
    }


STORIES = stories()

ENDPOINT, PACHD = "http://pachd.pachyderm:30600", "grpc://pachd.pachyderm:30650"
GUARDED_ENDPOINT, GUARDED_PACHD = "https://pachd.pachyderm:30600", "grpcs://pachd.pachyderm:30650"
OLD_GATEWAY = "pachd.pachyderm:600"


@dataclass(frozen=True)
class Servers:
    """A stand-in without auth, and one with auth, behind TLS of an authority of its own."""

    open: StandinProcess
    guarded: StandinProcess
    authority: Path

    @property
    def meanings(self) -> dict[str, str]:
        """What the documents' addresses stand for."""
        return {
            ENDPOINT: self.open.endpoint,
            PACHD: self.open.pachd_address,
            GUARDED_ENDPOINT: self.guarded.endpoint,
            GUARDED_PACHD: self.guarded.pachd_address,
            OLD_GATEWAY: self.open.endpoint.removeprefix("http://"),
        }


def plant_trees(trees: Path) -> None:
    """Put the trees where the documents' input paths find them."""
    for path in (ROOT / "testdata").rglob("*.txt"):
        for tree in ("testdata", "library"):
            target = trees / tree / path.relative_to(ROOT / "testdata")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    shelf = trees / "shelf/Moby Dick/Chapter 1 Loomings.txt"
    shelf.parent.mkdir(parents=True, exist_ok=True)
    shelf.write_bytes((trees / "library/Moby Dick/Chapter 1 Loomings.txt").read_bytes())
    (trees / "odd").mkdir(exist_ok=True)
    (trees / "odd/letter.txt").write_text("Dear reader,")
    (trees / "odd/what?.txt").write_text("Pachyderm refuses the name.")


@pytest.fixture(scope="module")
def served(session_standin: StandinProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The stand-ins of all stories."""
    made = Certificates(tmp_path_factory.mktemp("certificates"))
    with StandinProcess(tokens=[TOKEN], tls=(made.certificate, made.key)) as guarded:
        yield Servers(session_standin, guarded, made.authority)


Play = Callable[[str], AbstractContextManager[LocalCluster]]


@pytest.fixture(scope="module")
def play_group(
    installed: LocalCluster,
    served: Servers,
    trees: Path,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Play:
    """Begin to play a group of stories: a context manager."""
    plant_trees(trees)

    @contextmanager
    def begin(group: str) -> Iterator[LocalCluster]:
        chosen = chosen_of(group, request.session)
        for story in chosen:
            story.folder = tmp_path_factory.mktemp(story.namespace)
            story.meanings = served.meanings
            (story.folder / "ca.crt").write_bytes(served.authority.read_bytes())
            (story.folder / "deploy").symlink_to(ROOT / "deploy")
        spaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": story.namespace}} for story in chosen]
        installed.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(spaces))
        settings = QUICK | {
            "job_image": TREES_IMAGE,
            "default_endpoint": served.open.endpoint,
            "default_pachd_address": served.open.pachd_address,
            "namespaces": ",".join(story.namespace for story in chosen),
        }
        with OperatorProcess(installed, tmp_path_factory.mktemp("docs-operator") / "log", **settings):
            yield installed
            # A sync that is cleaned up after goes only while an operator is there.
            for story in chosen:
                if any("deletionPolicy" in block.text for block in story.blocks):
                    installed.kubectl("delete", "ps3", "--all", "-n", story.namespace, "--timeout=50s")
        installed.kubectl("delete", "namespaces", "--wait=false", *(story.namespace for story in chosen))

    return begin


@pytest.fixture(scope="module")
def spec_page(play_group: Play, request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    """The operator at work in the namespaces of the spec's sections, whose examples are all applied at once."""
    with play_group("spec") as cluster:
        chosen = chosen_of("spec", request.session)
        manifests = [story.manifest(block) for story in chosen for block in story.blocks if block.kind == "yaml"]
        cluster.kubectl("apply", "-f", "-", stdin="\n---\n".join(manifests))
        # All run at once, and so for longer than a reader's one, for which a `kubectl wait` of the page has time.
        for story in chosen:
            if any("kubectl wait" in block.text for block in story.blocks):
                changes = SyncsApi(cluster.kubeconfig, story.namespace).changes("books", BEGUN_SECONDS)
                any(raw["status"].get("phase") == "Succeeded" for raw in changes)
        yield cluster


@pytest.fixture(scope="module")
def task_pages(play_group: Play) -> Iterator[LocalCluster]:
    """The operator at work in the namespaces of the pages of tasks."""
    with play_group("tasks") as cluster:
        yield cluster


def chosen_of(group: str, session: pytest.Session) -> list[Story]:
    """Return the stories of a group that are to be played."""
    wanted = {str(item.callspec.params.get("story")) for item in session.items if hasattr(item, "callspec")}
    return [story for story in STORIES[group] if str(story) in wanted]


@pytest.mark.xdist_group("docs-spec")
@pytest.mark.parametrize("story", STORIES["spec"], ids=str)
def test_what_a_section_of_the_spec_says_is_seen_is_seen(spec_page: LocalCluster, story: Story) -> None:
    tell(spec_page, story)


@pytest.mark.xdist_group("docs-tasks")
@pytest.mark.parametrize("story", STORIES["tasks"], ids=str)
def test_what_a_page_of_tasks_says_is_seen_is_seen(task_pages: LocalCluster, story: Story) -> None:
    if story.name == "argocd":
        as_argocd_is_installed(task_pages)
    if not any(item.get("kind") == KIND for block in story.blocks if block.kind == "yaml" for item in documents(block)):
        # A page that applies nothing speaks of the spec's example.
        keep_or_apply(task_pages, story, read_page(SPEC).blocks[0])
        task_pages.kubectl("wait", "--for=condition=Ready", "ps3", "--all", "-n", story.namespace, "--timeout=60s")
    tell(task_pages, story)


def tell(cluster: LocalCluster, story: Story) -> None:
    """Apply a page's YAML, and run its commands, in their order."""
    for block in story.blocks:
        if block.kind == "yaml" and story not in STORIES["spec"]:
            keep_or_apply(cluster, story, block)
        if block.kind == "sh":
            for line in commands(block):
                assert run(cluster, story, line).ok, line
        if block.kind == "console":
            play(cluster, story, block)


def as_argocd_is_installed(cluster: LocalCluster) -> None:
    argocd = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm", "namespace": "argocd"}}
    cluster.create_namespace("argocd")
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(argocd))


def keep_or_apply(cluster: LocalCluster, story: Story, block: Block) -> None:
    """A block that begins with a file's name becomes that file, for the commands below it; any other is applied."""
    named = re.match(r"# (\S+\.yaml)\n", block.text)
    if named:
        (story.folder / named.group(1)).write_text(story.manifest(block))
    elif not any(item["apiVersion"] in BY_DEFINITION for item in documents(block)):
        cluster.kubectl("apply", "-n", story.namespace, "-f", "-", stdin=story.manifest(block))


@dataclass(frozen=True)
class Ran:
    """What a command printed, as the documents would show it, and whether it ended well."""

    printed: str
    ok: bool


def run(cluster: LocalCluster, story: Story, line: str) -> Ran:
    """Run a command line of the documents; s3sync by itself runs in this process."""
    text = story.played(line)
    if text.startswith("s3sync "):
        words = shlex.split(text)[1:]
        # Those that work in a cluster name a namespace.
        words += ["--kubeconfig", str(cluster.kubeconfig)] if "-n" in words else []
        here = s3sync(*words, folder=story.folder)
        return Ran(story.told(here.shown), here.code == 0)
    programs = (str(Path(sys.executable).parent), str(cluster.kubectl_path.parent), os.environ["PATH"])
    environment = os.environ | {
        "KUBECONFIG": str(cluster.kubeconfig),
        "PATH": os.pathsep.join(programs),
        "PACHYDERM_TOKEN": TOKEN,
    }
    ran = subprocess.run(
        ["bash", "-c", text],
        cwd=story.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=COMMAND_SECONDS, check=False,
    )  # fmt: skip
    return Ran(story.told(ran.stdout), ran.returncode == 0)


def play(cluster: LocalCluster, story: Story, block: Block) -> None:
    for step in seen(block):
        printed = printed_by(cluster, story, step)
        if is_seen(printed, step):
            continue
        if not UPDATE:
            pytest.fail(f"{block}: $ {step.command}\nshows:\n{settled(printed)}\nnot:\n{settled(step.output)}")
        rewrite(block, step, printed)


def is_seen(printed: str, step: Seen) -> bool:
    """Tell whether a command shows what it should; nothing is what a status shows that nobody has written yet."""
    return bool(step.output.strip()) and shows(printed, step.output)


def printed_by(cluster: LocalCluster, story: Story, step: Seen) -> str:
    """Run a command; one that only reads is run at each change, and at the end of quiet seconds, until it shows what it
    should."""
    printed = run(cluster, story, step.command).printed
    reads = READS.match(step.command)
    if not reads or is_seen(printed, step):
        return printed
    deadline = time.monotonic() + SEEN_SECONDS
    with Changes(cluster, story.namespace, watched(reads)) as changes:
        while time.monotonic() < deadline:
            changed = changes.wait(QUIET_SECONDS)
            printed = run(cluster, story, step.command).printed
            if is_seen(printed, step) or (UPDATE and printed.strip() and not changed):
                break
    return printed


def watched(reads: re.Match[str]) -> str:
    """Return the resource whose changes a command shows; of several, what goes last."""
    resource = (reads.group(1) or PLURAL).rpartition(",")[2]
    return PLURAL if resource == SHORT_NAME else resource


def rewrite(block: Block, step: Seen, printed: str) -> None:
    """Put what is seen into the page."""
    text = block.page.read_text()
    start = text.index(f"# {block.heading}\n")
    shown = "".join(f"{line.rstrip()}\n" for line in printed.rstrip().splitlines())
    asked = re.compile(re.escape(f"$ {step.command}\n").replace(r"\ \ ", r"\s*\\?\s*") + re.escape(step.output))
    changed = asked.sub(lambda found: found.group().removesuffix(step.output) + shown, text[start:], count=1)
    block.page.write_text(text[:start] + changed)
