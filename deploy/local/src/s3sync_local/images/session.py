"""What the builds of one run share."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from s3sync_local.gobuild import Progress
from s3sync_local.images import store
from s3sync_local.images.buildah import Builder


@dataclass
class Session:
    """One run of builds: the cache (`root`), an empty folder that is removed in the end (`work`), and one buildah."""

    root: Path
    work: Path
    progress: Progress
    _builder: Builder | None = field(default=None, init=False)
    _loaded: set[str] = field(default_factory=set, init=False)

    def builder(self) -> Builder:
        """Return the builder, made at the first call."""
        if self._builder is None:
            self._builder = Builder(self.folder("buildah"), self.progress)
        return self._builder

    def loaded(self, archive: Path, reference: str) -> str:
        """Return the reference of the archive's image, which the builder has from the first call on."""
        if reference not in self._loaded:
            self.builder().load(archive, reference)
            self._loaded.add(reference)
        return reference

    def folder(self, name: str) -> Path:
        """Return a new empty folder of this run."""
        path = self.work / name
        path.mkdir()
        return path

    def publish(self, entry: Path, make: Callable[[Path], None]) -> None:
        """Let `make` fill an empty folder, and put it in its place in the cache when it is whole."""
        started = time.monotonic()
        made = self.folder(f"made-{entry.name}")
        make(made)
        store.publish(made, entry)
        self.progress(f"{entry.name} made in {time.monotonic() - started:.0f} s")
