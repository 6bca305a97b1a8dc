"""What is generated of the manifests, and what they say."""

import re
from pathlib import Path

import pytest

from s3sync_local import manifests
from s3sync_local.manifests import CHART, DEPLOY, ROOT, differences, roles, table, with_table
from s3sync_operator import __version__
from tests.support import yaml_text
from tests.support.deploy import OPERATOR


def test_a_generated_file_that_was_edited_or_removed_is_told_with_the_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "ROOT", tmp_path)
    (tmp_path / "edited.yaml").write_text("replicas: 2\n")
    found = differences({tmp_path / "edited.yaml": "replicas: 1\n", tmp_path / "gone.yaml": "kind: Service\n"})
    assert "--- edited.yaml" in found
    assert "-replicas: 2\n+replicas: 1\n" in found
    assert "--- gone.yaml" in found


def test_the_chart_has_this_version() -> None:
    chart = yaml_text.load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_the_chart_gets_the_rules_apart_by_whether_a_role_can_have_them() -> None:
    pods = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}
    crds = {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": ["list"]}
    role = {"kind": "ClusterRole", "metadata": {"name": OPERATOR}, "rules": [pods, crds]}
    viewer = {"kind": "ClusterRole", "metadata": {"name": "viewer", "labels": {"to": "view"}}, "rules": [pods]}
    assert roles([role], [viewer]) == {
        "operator": {"namespaced": [pods], "clusterScoped": [crds]},
        "aggregated": {"viewer": {"labels": {"to": "view"}, "rules": [pods]}},
    }


def test_a_value_is_a_row_and_a_group_is_told_value_by_value() -> None:
    image = {"properties": {"tag": {"description": "The tag."}}}
    schema = {"properties": {"image": image, "tolerations": {"description": "Taints."}}}
    rows = table(schema, {"image": {"tag": "1"}, "tolerations": []}).splitlines()[2:]
    assert rows == ['| `image.tag` | The tag. | `"1"` |', "| `tolerations` | Taints. | `[]` |"]


def test_what_has_no_value_by_default_is_shown_with_the_default_of_its_own() -> None:
    settings = {"properties": {"maxAttempts": {"description": "Attempts.", "default": 5}}}
    rows = table({"properties": {"settings": settings}}, {"settings": {}}).splitlines()[2:]
    assert rows == ["| `settings.maxAttempts` | Attempts. | `5` |"]


def test_a_readme_without_the_marks_of_its_table_is_refused() -> None:
    with pytest.raises(ValueError, match="values: generated"):
        with_table("# A chart\n", "| rows |\n")


def test_what_the_overlays_say_of_a_file_is_true() -> None:
    texts = [path.read_text() for path in DEPLOY.glob("**/*.yaml") if "local" not in path.relative_to(DEPLOY).parts[:1]]
    named = {name for text in texts for name in re.findall(r"\b(?:deploy|tests)/[\w./-]+\.(?:yaml|py)", text)}
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_argo_cd_gets_its_scripts_as_they_are() -> None:
    folder = DEPLOY / "gitops/argocd"
    data = yaml_text.load((folder / "argocd-cm-patch.yaml").read_text())["data"]
    actions = yaml_text.load(data["resource.customizations.actions.sync.pachyderm.io_PachydermS3Sync"])
    health = data["resource.customizations.health.sync.pachyderm.io_PachydermS3Sync"]
    assert health == (folder / "health.lua").read_text()
    assert actions["discovery.lua"] == (folder / "actions/discovery.lua").read_text()
    assert {item["name"]: item["action.lua"] for item in actions["definitions"]} == {
        name: (folder / f"actions/{name}/action.lua").read_text() for name in ("re-run", "suspend", "resume")
    }
