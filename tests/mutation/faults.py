"""The faults, as tests/mutation/faults.yaml has them (pure, except for reading the files)."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from tests.support.yaml_text import load

FAULTS = Path(__file__).with_name("faults.yaml")


class FaultError(Exception):
    """A fault does not fit the tree; the text says which one and why."""


class Fault(BaseModel):
    """A fault: `old` occurs exactly once in all `files` together, and is replaced by `new`.

    `harm` says what would go wrong for a user. `tests` are paths or node IDs of pytest, the cheapest first. After a
    fault that changes what is generated (`generate`), `make generate` is run, as whoever made the fault would.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    area: str
    files: tuple[str, ...]
    old: str
    new: str = ""
    harm: str
    tests: tuple[str, ...]
    generate: bool = False

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.old or self.old == self.new:
            raise ValueError(f"{self.id}: it changes nothing")
        return self

    def file_in(self, tree: Path) -> str:
        """Return the file that the text is in; raises FaultError unless it is there exactly once."""
        counts = {name: (tree / name).read_text().count(self.old) for name in self.files if (tree / name).is_file()}
        found = [name for name, count in counts.items() if count]
        if sum(counts.values()) != 1:
            where = ", ".join(self.files)
            raise FaultError(f"{self.id}: its text occurs {sum(counts.values())} times in {where}, not once")
        return found[0]

    def missing_tests(self, tree: Path) -> list[str]:
        """Return those of its tests that the tree does not have."""
        return [test for test in self.tests if not has_test(tree, test)]


def has_test(tree: Path, test: str) -> bool:
    """Tell whether the tree has a test by its path, or by its node ID without parameters."""
    path, _, name = test.partition("::")
    file = tree / path
    return file.exists() and (not name or f"def {name.partition('[')[0]}(" in file.read_text())


def read_faults(file: Path = FAULTS) -> tuple[Fault, ...]:
    """Return all faults; raises FaultError where two have one name."""
    faults = tuple(Fault.model_validate(item) for item in load(file.read_text()))
    names = [fault.id for fault in faults]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise FaultError(f"{', '.join(twice)}: there are several of that name")
    return faults


def chosen(faults: Sequence[Fault], only: Collection[str]) -> list[Fault]:
    """Return the faults by their names, all of them for none; raises FaultError for a name that none has."""
    if unknown := sorted(set(only) - {fault.id for fault in faults}):
        raise FaultError(f"{', '.join(unknown)}: there is no such fault")
    return [fault for fault in faults if not only or fault.id in only]
