"""The documents hold together: each link leads somewhere, each field has its section, each command is taken."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from s3sync_cli.app import COMMANDS
from s3sync_operator import api
from s3sync_operator.desired import ANNOTATION_ATTEMPT, ANNOTATION_SYNC, LABEL_SYNC, LABEL_UID
from tests.support.documents import PAGES, ROOT, blocks, commands, read_page
from tests.support.fields import fields
from tests.unit.test_cli_app import command

SPEC = ROOT / "docs/spec.md"
S3SYNC = re.compile(r"(?:^|[|(] ?|kubectl )s3sync ([^|)>]+)")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_each_link_within_the_project_leads_to_a_file_and_a_heading(path: Path) -> None:
    page, lost = read_page(path), []
    for link in page.links:
        file, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", file):
            continue
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (anchor and anchor not in read_page(target).anchors):
            lost.append(link)
    assert lost == []


def test_each_field_of_the_spec_has_its_section_and_each_section_its_field() -> None:
    sections = [text for _, text in read_page(SPEC).headings if text.startswith("spec.")]
    assert sorted(sections) == sorted(field.path for field in fields())


@pytest.mark.parametrize("section", sorted(field.path for field in fields()))
def test_each_section_of_a_field_shows_an_example_of_it(section: str) -> None:
    examples = [block.text for block in read_page(SPEC).blocks if block.heading == section and block.kind == "yaml"]
    leaf = section.rpartition(".")[2]
    groups = {field.path for field in fields() if field.group}
    assert section in groups or any(f"{leaf}:" in text for text in examples)


@pytest.mark.parametrize("section", sorted(field.path for field in fields()))
def test_each_section_of_a_field_says_how_it_is_seen_or_leads_to_where_it_is(section: str) -> None:
    text = SPEC.read_text().split(f"\n### {section}\n")[1].split("\n### ")[0]
    leaf = section not in {field.path for field in fields() if field.group}
    assert "```console\n$ " in text or "](tasks/" in text or not leaf


@pytest.mark.parametrize("block", blocks("sh", "console"), ids=str)
def test_each_s3sync_command_is_one_that_the_program_takes(
    block: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in commands(block):  # type: ignore[arg-type]
        for found in S3SYNC.findall(line):
            verb, *arguments = shlex.split(found)
            for word in arguments:
                if word.endswith((".yaml", "/samples")):
                    (tmp_path / word).parent.mkdir(parents=True, exist_ok=True)
                    (tmp_path / word).touch()
            assert verb in COMMANDS
            command(verb).make_context(verb, arguments).close()


def test_each_name_in_the_operators_group_is_one_that_it_knows() -> None:
    known = {api.ANNOTATION_RUN_REQUESTED, api.ANNOTATION_SKIP_CLEANUP, api.FINALIZER, f"{api.GROUP}/{api.VERSION}"}
    known |= {LABEL_SYNC, LABEL_UID, ANNOTATION_SYNC, ANNOTATION_ATTEMPT}
    name = re.compile(rf"(?<![\w.]){re.escape(api.GROUP)}/[a-z0-9-]+")
    assert {found for path in PAGES for found in name.findall(path.read_text())} - known == set()


def test_the_page_on_monitoring_names_each_alert_that_there_is() -> None:
    rules = yaml.safe_load((ROOT / "deploy/monitoring/rules.yaml").read_text())
    alerts = [rule["alert"] for group in rules["groups"] for rule in group["rules"]]
    page = (ROOT / "docs/tasks/monitoring.md").read_text()
    assert re.findall(r"(?m)^\| `(\w+)` \|", page) == alerts


def test_the_page_on_flux_shows_the_kustomization_that_is_tested() -> None:
    (shown,) = blocks("yaml", of=(ROOT / "docs/tasks/flux.md",))
    assert yaml.safe_load(shown.text) == yaml.safe_load((ROOT / "deploy/gitops/flux/syncs.yaml").read_text())


def test_the_page_on_moving_over_names_all_that_the_seeds_manifest_sets() -> None:
    page = (ROOT / "docs/tasks/moving-from-a-tfjob.md").read_text()
    there = (
        "S3_ENDPOINT",
        "S3_USE_HTTPS",
        "S3_VERIFY_SSL",
        "-b master.testrepo",
        "-i testdata",
        "replicas",
        "namespace",
    )
    assert {word for word in there if word not in page} == set()
