"""The table of fields: what it takes from models and tests, and that it notices what is missing."""

from pathlib import Path

from tests.support.fields import Field, Shown, complaints, fields, marked, page

KNOWN = {field.path: field for field in fields()}
TEST = """
import pytest

@pytest.mark.fields("spec.repo", "spec.nothing")
@pytest.mark.parametrize("client", ["pfs"])
def test_a_repo_is_made(client: str) -> None: ...

@pytest.mark.skip
def test_of_no_field() -> None: ...
"""


def test_a_field_tells_apart_what_it_is_and_what_its_absence_means() -> None:
    workers = KNOWN["spec.workers"]
    assert (workers.type, workers.absent, workers.meaning) == ("number", "1", "Pods that share the files among them.")
    assert KNOWN["spec.repo"].absent == "required"
    assert KNOWN["spec.publish"].absent == "Atomic where absent and a pachd address is known, else Direct"
    assert KNOWN["spec.source"].absent == "The files are in the image"


def test_a_type_of_kubernetes_is_one_field_and_one_of_ours_a_group_of_them() -> None:
    assert KNOWN["spec.podTemplate.affinity"].type == "Affinity"
    assert KNOWN["spec.podTemplate.tolerations"].type == "list of Toleration"
    assert not [path for path in KNOWN if path.startswith("spec.podTemplate.affinity.")]
    assert (KNOWN["spec.filter"].group, KNOWN["spec.filter.include"].group) == (True, False)
    assert KNOWN["spec.podTemplate.resources.limits"].type == "map of texts"


def test_marks_are_read_from_the_tests_without_running_them(tmp_path: Path) -> None:
    (tmp_path / "test_of_repos.py").write_text(TEST)
    assert marked(tmp_path) == [Shown("test_of_repos.py", "test_a_repo_is_made", ("spec.repo", "spec.nothing"))]


def test_a_field_without_a_test_and_a_mark_without_a_field_are_told() -> None:
    group = Field("spec.filter", "group", "", required=False, group=True)
    shown = [Shown("test_of_repos.py", "test_a_repo_is_made", ("spec.repo", "spec.nothing"))]
    assert complaints([KNOWN["spec.repo"], KNOWN["spec.workers"], group], shown) == [
        "spec.workers: no end-to-end test is marked with it; write one in tests/e2e",
        "test_of_repos.py::test_a_repo_is_made: there is no field spec.nothing",
    ]


def test_a_row_names_the_test_that_shows_the_field() -> None:
    shown = [Shown("test_of_repos.py", "test_a_repo_is_made", ("spec.repo",))]
    row = page([KNOWN["spec.repo"]], shown).splitlines()[-1]
    assert row.startswith("| `repo` | text | required | Pachyderm repo that receives the files")
    assert row.endswith("| [a repo is made](../tests/e2e/test_of_repos.py) |")


def test_each_field_of_the_spec_has_an_end_to_end_test() -> None:
    assert complaints(fields(), marked()) == []
