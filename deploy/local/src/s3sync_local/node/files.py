"""Where the node keeps what belongs to a pod: one directory a pod, gone with the pod."""

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from s3sync_local.node.logs import rotated
from s3sync_local.node.records import Manifest

TERMINATION_BYTES = 4096
"""The most of a termination message that a kubelet reports (MaxContainerTerminationMessageLength)."""


@dataclass(frozen=True)
class PodFiles:
    """The directory of one pod: ``tmp`` for its processes, a folder a container for logs and termination message."""

    directory: Path

    @classmethod
    def of(cls, state: Path, pod: Manifest) -> "PodFiles":
        """The place of a pod under the node's state directory."""
        # The uid alone: a TMPDIR must be short, for a socket's path may have 107 bytes.
        return cls(state / "pods" / pod["metadata"]["uid"])

    def temporary(self) -> Path:
        """The pod's HOME and TMPDIR, made if need be."""
        path = self.directory / "tmp"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def log(self, container: str, run: int) -> Path:
        """The log of the container's run of that number, counted from 0."""
        return self.directory / container / f"{run}.log"

    def latest_log(self, container: str, *, previous: bool) -> Path | None:
        """The log of the last run, or of the one before that; None where there is none."""
        runs = sorted(int(path.stem) for path in (self.directory / container).glob("*.log"))
        place = 2 if previous else 1
        return self.log(container, runs[-place]) if len(runs) >= place else None

    def drop_logs_before(self, container: str, run: int) -> None:
        """Keep the logs of two runs, as a kubelet does."""
        for path in (self.directory / container).glob("*.log"):
            if int(path.stem) < run - 1:
                path.unlink(missing_ok=True)
                rotated(path).unlink(missing_ok=True)

    def new_termination_file(self, container: str) -> Path:
        """An empty file for the termination message of the next run."""
        path = self._termination(container)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        return path

    def termination_message(self, container: str) -> str:
        """What the container's process left there, its last 4096 bytes at most."""
        try:
            return self._termination(container).read_bytes()[-TERMINATION_BYTES:].decode(errors="replace")
        except OSError:  # The process may have removed it.
            return ""

    def remove(self) -> None:
        """Remove all that belongs to the pod."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _termination(self, container: str) -> Path:
        return self.directory / container / "termination-log"


def remove_all_but(state: Path, pods: Collection[Manifest]) -> None:
    """Remove what is left of pods that no longer exist."""
    kept = {PodFiles.of(state, pod).directory for pod in pods}
    for directory in (state / "pods").glob("*"):
        if directory not in kept:
            PodFiles(directory).remove()
