"""Each YAML of the documents is accepted by the API server, and what they say is seen is seen.

A page of docs/tasks, and each section of docs/spec.md, is a story: its YAML is applied, its commands are run, and what
a `console` block shows below a command must be what that command shows, but for names, times and spans. All stories run
in namespaces of their own, each the `kubeflow` of its story. UPDATE_GOLDEN=1 writes what is seen into the pages.
"""

import itertools
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from pachyderm_standin.process import StandinProcess
from s3sync_local.cluster import LocalCluster
from s3sync_operator.api import KIND
from tests.integration.conftest import QUICK
from tests.support.certificates import Certificates
from tests.support.cluster import TREES_IMAGE
from tests.support.documents import ROOT, Block, Seen, blocks, commands, read_page, seen, settled, shows
from tests.support.operator_process import OperatorProcess

UPDATE = os.environ.get("UPDATE_GOLDEN") == "1"
SPEC = ROOT / "docs/spec.md"
TASKS = (*sorted((ROOT / "docs/tasks").glob("*.md")), ROOT / "docs/troubleshooting.md")
NAMESPACE, TOKEN = "kubeflow", "a-token-that-is-known"
SEEN_SECONDS, COMMAND_SECONDS, QUIET_SECONDS, PAUSE_SECONDS = 120, 90, 4, 0.7
READS = re.compile(r"(kubectl (get|describe|logs)|s3sync (status|logs)) ")
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
    installed.create_namespace("docs-dry-run")
    yield "docs-dry-run"
    installed.kubectl("delete", "namespace", "docs-dry-run", "--wait=false")


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_an_object_is_one_that_the_api_server_takes(installed: LocalCluster, space: str, block: Block) -> None:
    for item in documents(block):
        if "apiVersion" not in item:
            # A part of something else, such as Helm's values or the data of a ConfigMap, need only be YAML.
            continue
        known = BY_DEFINITION.get(item["apiVersion"])
        if known is not None:
            assert item["kind"] in known
            continue
        if "namespace" in item["metadata"] or item["kind"] == KIND:
            item["metadata"]["namespace"] = space
        installed.kubectl("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(item))


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


def stories() -> list[Story]:
    numbers = itertools.count(1)
    sections: dict[str, list[Block]] = {}
    for block in read_page(SPEC).blocks:
        sections.setdefault(block.heading, []).append(block)
    found = list(sections.items())
    found += [(path.stem, read_page(path).blocks) for path in TASKS]
    return [
        Story(name, parts, f"docs-{next(numbers)}")
        for name, parts in found
        if any(block.kind in ("console", "sh") for block in parts)
    ]


STORIES = stories()
OF_SPEC = {block.heading for block in read_page(SPEC).blocks}


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
    shelf.parent.mkdir(parents=True)
    shelf.write_bytes((trees / "library/Moby Dick/Chapter 1 Loomings.txt").read_bytes())
    (trees / "odd").mkdir()
    (trees / "odd/letter.txt").write_text("Dear reader,")
    (trees / "odd/what?.txt").write_text("Pachyderm refuses the name.")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The stand-ins of all stories."""
    made = Certificates(tmp_path_factory.mktemp("certificates"))
    with StandinProcess() as process, StandinProcess(tokens=[TOKEN], tls=(made.certificate, made.key)) as guarded:
        yield Servers(process, guarded, made.authority)


@pytest.fixture(scope="module")
def playing(
    installed: LocalCluster,
    served: Servers,
    trees: Path,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[LocalCluster]:
    """The operator at work in the stories' namespaces; the examples of the spec's page are applied at once."""
    plant_trees(trees)
    wanted = {str(item.callspec.params.get("story")) for item in request.session.items if hasattr(item, "callspec")}
    chosen = [story for story in STORIES if str(story) in wanted]
    for story in chosen:
        story.folder = tmp_path_factory.mktemp(story.namespace)
        story.meanings = served.meanings
        (story.folder / "ca.crt").write_bytes(served.authority.read_bytes())
        (story.folder / "deploy").symlink_to(ROOT / "deploy")
    spaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": story.namespace}} for story in chosen]
    installed.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(spaces))
    # As an installation of Argo CD has it.
    argocd = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm", "namespace": "argocd"}}
    installed.create_namespace("argocd")
    installed.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(argocd))
    settings = QUICK | {
        "job_image": TREES_IMAGE,
        "default_endpoint": served.open.endpoint,
        "default_pachd_address": served.open.pachd_address,
        "namespaces": ",".join(story.namespace for story in chosen),
    }
    log = tmp_path_factory.mktemp("docs-operator") / "log"
    with OperatorProcess(installed, log, **settings):
        for story in chosen:
            if story.name in OF_SPEC:
                play_yaml(installed, story)
        yield installed
        # A sync that is cleaned up after goes only while an operator is there.
        for story in chosen:
            if any("deletionPolicy" in block.text for block in story.blocks):
                installed.kubectl("delete", "ps3", "--all", "-n", story.namespace, "--timeout=50s")
    installed.kubectl("delete", "namespaces", "--wait=false", *(story.namespace for story in chosen))


def play_yaml(cluster: LocalCluster, story: Story) -> None:
    manifests = [story.manifest(block) for block in story.blocks if block.kind == "yaml"]
    cluster.kubectl("apply", "-f", "-", stdin="\n---\n".join(manifests))


@pytest.mark.parametrize("story", STORIES, ids=str)
def test_what_a_document_says_is_seen_is_seen(playing: LocalCluster, story: Story) -> None:
    if not any(item.get("kind") == KIND for block in story.blocks if block.kind == "yaml" for item in documents(block)):
        # A page that applies nothing speaks of the spec's example.
        keep_or_apply(playing, story, read_page(SPEC).blocks[0])
        playing.kubectl("wait", "--for=condition=Ready", "ps3", "--all", "-n", story.namespace, "--timeout=60s")
    for block in story.blocks:
        if block.kind == "yaml" and story.name not in OF_SPEC:
            keep_or_apply(playing, story, block)
        if block.kind == "sh":
            for line in commands(block):
                assert run(playing, story, line).ok, line
        if block.kind == "console":
            play(playing, story, block)


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
    """Run a command line of the documents."""
    programs = (str(Path(sys.executable).parent), str(cluster.kubectl_path.parent), os.environ["PATH"])
    environment = os.environ | {
        "KUBECONFIG": str(cluster.kubeconfig),
        "PATH": os.pathsep.join(programs),
        "PACHYDERM_TOKEN": TOKEN,
    }
    ran = subprocess.run(
        ["bash", "-c", story.played(line)],
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
    """Run a command; one that only reads is run until it shows what it should, for things take their time."""
    printed = run(cluster, story, step.command).printed
    if not READS.match(step.command):
        return printed
    deadline = quiet = time.monotonic()
    while not is_seen(printed, step) and time.monotonic() - deadline < SEEN_SECONDS:
        time.sleep(PAUSE_SECONDS)
        before, printed = printed, run(cluster, story, step.command).printed
        quiet = quiet if settled(before) == settled(printed) else time.monotonic()
        if UPDATE and printed.strip() and time.monotonic() - quiet > QUIET_SECONDS:
            break
    return printed


def rewrite(block: Block, step: Seen, printed: str) -> None:
    """Put what is seen into the page."""
    text = block.page.read_text()
    start = text.index(f"# {block.heading}\n")
    shown = "".join(f"{line.rstrip()}\n" for line in printed.rstrip().splitlines())
    asked = re.compile(re.escape(f"$ {step.command}\n").replace(r"\ \ ", r"\s*\\?\s*") + re.escape(step.output))
    changed = asked.sub(lambda found: found.group().removesuffix(step.output) + shown, text[start:], count=1)
    block.page.write_text(text[:start] + changed)
