"""What the processes of one end-to-end run share: a folder, with locks on the cluster and on the stand-in's faults."""

import fcntl
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from s3sync_local.errors import LocalClusterError

WAIT_SECONDS = 900.0
"""All that other tests may take while one waits for the cluster; one that hangs is ended by its own time limit."""
PAUSE_SECONDS = 0.05


class BusyError(LocalClusterError):
    """Another process has held a lock for longer than all tests together may take."""


@dataclass(frozen=True)
class Shared:
    """The folder of one run, which whoever owns the cluster makes and removes."""

    folder: Path

    @property
    def facts(self) -> Path:
        """What the owner says of cluster and Pachyderm, JSON; only there once both are ready."""
        return self.folder / "target.json"

    @property
    def kustomization(self) -> Path:
        """The folder from which the operator is installed."""
        return self.folder / "install"

    @contextmanager
    def cluster_use(self, *, alone: bool) -> Iterator[None]:
        """Hold the cluster, alone or beside others that do not disturb one another."""
        with locked(self.folder / "cluster.lock", fcntl.LOCK_EX if alone else fcntl.LOCK_SH):
            yield

    @contextmanager
    def installing(self) -> Iterator[bool]:
        """Tell whether the operator is installed, and let nobody else install it until it is."""
        with locked(self.folder / "install.lock"):
            yield self._installed.exists()
            self._installed.touch()

    def taken_away(self) -> None:
        """Note that the operator is not as all tests expect it; only who has the cluster alone may change it."""
        self._installed.unlink(missing_ok=True)

    @property
    def _installed(self) -> Path:
        return self.folder / "installed"

    def faults_of(self, control: "FaultControl", repo: str) -> "Faults":
        """Return the faults of one repo's requests."""
        return Faults(control, repo, self.folder / "faults.lock")


@contextmanager
def locked(path: Path, kind: int = fcntl.LOCK_EX, seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold a lock that the kernel frees with its holder; raises BusyError where it is not to be had in time."""
    deadline = time.monotonic() + seconds
    with path.open("a") as file:
        while not _try_lock(file.fileno(), kind):
            if time.monotonic() > deadline:
                raise BusyError(f"{path} was not free within {seconds:.0f} s")
            time.sleep(PAUSE_SECONDS)
        yield


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class FaultControl(Protocol):
    """What of the stand-in's control API decides about faults."""

    def faults(self) -> list[dict[str, Any]]:
        """Return the rules in force."""

    def set_faults(self, rules: list[dict[str, Any]]) -> None:
        """Put these rules in force instead."""


@dataclass(frozen=True)
class Faults:
    """What goes wrong with requests to one repo: the rules of all others, which other tests have set, stay in force."""

    control: FaultControl
    repo: str
    lock: Path

    def set(self, **rule: Any) -> None:
        """Put one rule in force instead of the repo's earlier ones."""
        self._replace([rule | {"bucket": self.bucket}])

    def clear(self) -> None:
        """Take the repo's rules out of force."""
        self._replace([])

    @property
    def bucket(self) -> str:
        """The regular expression of the buckets that are the repo's branches, in any project."""
        return rf"[^.]+\.{re.escape(self.repo)}(\.[^.]+)?"

    def _replace(self, rules: list[dict[str, Any]]) -> None:
        with locked(self.lock):
            others = [rule for rule in self.control.faults() if rule["bucket"] != self.bucket]
            self.control.set_faults([*others, *rules])


def write_facts(path: Path, facts: dict[str, Any]) -> None:
    """Write the facts so that who reads them finds all or none."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(facts))
    part.rename(path)
