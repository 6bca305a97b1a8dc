"""The mutation check's list must not rot: each fault still fits the tree, and the tests that are to find it exist."""

from pathlib import Path

import pytest

from tests.mutation.faults import Fault, FaultError, chosen, has_test, read_faults

ROOT = Path(__file__).parents[2]
FAULTS = read_faults()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_a_fault_fits_the_tree(fault: Fault) -> None:
    assert fault.file_in(ROOT) in fault.files
    assert fault.missing_tests(ROOT) == []
    assert fault.tests


def test_there_are_faults_of_each_part_of_the_product() -> None:
    assert len(FAULTS) >= 40
    assert {fault.file_in(ROOT).split("/")[0] for fault in FAULTS} == {"operator", "job_image", "pachyderm", "deploy"}


@pytest.mark.parametrize("text", ["", "a = 1\na = 1\n"], ids=["gone", "twice"])
def test_a_text_that_does_not_occur_once_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "product.py").write_text(text)
    fault = Fault(id="other", area="x", files=("product.py", "gone.py"), old="a = 1", new="a = 2", harm="x", tests=())
    with pytest.raises(FaultError, match=r"other: its text occurs [02] times in product\.py, gone\.py"):
        fault.file_in(tmp_path)


def test_a_fault_that_changes_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="changes nothing"):
        Fault(id="same", area="x", files=("product.py",), old="a", new="a", harm="x", tests=())


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(FaultError, match="no-such-fault: there is no such fault"):
        chosen(FAULTS, ["no-such-fault", FAULTS[0].id])


def test_a_test_is_known_by_its_path_or_node_id(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text("async def test_one() -> None: ...\n")
    assert has_test(tmp_path, "test_x.py")
    assert has_test(tmp_path, "test_x.py::test_one[a]")
    assert not has_test(tmp_path, "test_x.py::test_on")
    assert not has_test(tmp_path, "test_y.py")
