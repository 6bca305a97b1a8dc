"""Build packages of several pinned Go modules at once, with progress, a time limit and a clean end when interrupted."""

import os
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path

from s3sync_local.errors import BuildError
from s3sync_local.gotoolchain import Go

Progress = Callable[[str], None]
BUILD_SECONDS = 3000
REPORT_SECONDS = 10
BUILD_FLAGS = ("-trimpath", "-buildvcs=false")
_PACKAGE_LINE = re.compile(r"[\w.~/-]+")


@dataclass(frozen=True, eq=False)
class GoModule:
    """A folder below `deploy/local/go` and what to make of it.

    packages are those to build, by the binary's name; ldflags their link flags; sources are folders to copy out of
    modules that it requires, by the copy's name: the module's path and the folder in it; tags are build tags, separated
    by commas.
    """

    folder: str
    packages: Mapping[str, str]
    ldflags: str = "-s -w"
    sources: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    tags: str = ""

    @property
    def names(self) -> list[str]:
        """What is made of it: binaries and copies."""
        return [*self.packages, *self.sources]

    def only(self, names: Sequence[str]) -> "GoModule":
        """Return the module with only those of its packages and sources that are named."""
        packages = {k: v for k, v in self.packages.items() if k in names}
        sources = {k: v for k, v in self.sources.items() if k in names}
        return replace(self, packages=packages, sources=sources)


def merged(modules: Iterable[GoModule]) -> list[GoModule]:
    """Return the modules with those of one folder and flags as one, without those that have no package.

    One `go build` compiles what they share once; two side by side would compile it twice.
    """
    packages: dict[tuple[str, str, str], dict[str, str]] = {}
    for module in modules:
        packages.setdefault((module.folder, module.ldflags, module.tags), {}).update(module.packages)
    return [GoModule(folder, found, ldflags, tags=tags) for (folder, ldflags, tags), found in packages.items() if found]


@dataclass
class Tally:
    """What the builds have done so far: several threads add to it, one reads it."""

    unlisted: int = 0
    """Modules whose packages are not counted yet, for what they need is still being fetched."""
    downloads: int = 0
    packages: int = 0
    compiled: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, *, downloads: int = 0, compiled: int = 0) -> None:
        """Add to what has been fetched and compiled."""
        with self.lock:
            self.downloads += downloads
            self.compiled += compiled

    def listed(self, packages: int) -> None:
        """Take one more module's packages into account."""
        with self.lock:
            self.unlisted -= 1
            self.packages += packages

    def describe(self, seconds: float) -> str:
        """Return one line: what has been fetched, then how many packages of all are compiled, and the time so far."""
        elapsed = f"{int(seconds) // 60}m{int(seconds) % 60:02d}s"
        if self.unlisted:
            return f"fetching Go modules: {self.downloads} so far, compiled {self.compiled} packages, {elapsed}"
        percent = self.compiled * 100 // max(1, self.packages)
        return f"compiled {self.compiled} of {self.packages} packages ({percent}%), {elapsed}"


class GoBuilder:
    """Runs Go commands in threads; `build` returns when all binaries lie in the target folder, or raises BuildError."""

    def __init__(self, go: Go, modules_dir: Path, progress: Progress) -> None:
        self._go, self._modules_dir, self._progress = go, modules_dir, progress
        self.tally = Tally()
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = threading.Event()

    def build(self, modules: Sequence[GoModule], target: Path) -> None:
        """Build every package of the modules side by side: one links while the other compiles, so no core idles."""
        started = time.monotonic()
        self.tally = Tally(unlisted=len(modules))
        with ThreadPoolExecutor(max(1, len(modules))) as pool:
            try:
                futures = [pool.submit(self._build_module, module, target) for module in modules]
                self._report_until_done(futures, started)
            finally:
                self._stop()
        self._stopped.clear()

    def module_dir(self, folder: str, module: str) -> Path:
        """Return where the module cache keeps the source of a required module, fetching it if it is not there."""
        found: list[str] = []
        self._run(folder, ["mod", "download", module])
        self._run(folder, ["list", "-m", "-f", "{{.Dir}}", module], on_output=found.append)
        return Path(found[0])

    def _report_until_done(self, futures: Sequence[Future[None]], started: float) -> None:
        deadline = started + BUILD_SECONDS
        while time.monotonic() < deadline:
            done, pending = wait(futures, timeout=REPORT_SECONDS, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
            if not pending:
                return
            self._progress(self.tally.describe(time.monotonic() - started))
        raise BuildError(f"the Go build did not end within {BUILD_SECONDS} s")

    def _build_module(self, module: GoModule, target: Path) -> None:
        packages = list(module.packages.values())
        tags = ["-tags", module.tags] if module.tags else []
        count: list[str] = []
        self._run(module.folder, ["list", "-deps", *tags, *packages], on_output=count.append)
        self.tally.listed(len(count))
        flags = [*BUILD_FLAGS, *tags, "-ldflags", module.ldflags]
        self._run(module.folder, ["build", "-v", *flags, "-o", f"{target}{os.sep}", *packages])
        for name, package in module.packages.items():
            (target / default_name(package)).rename(target / name)

    def _run(self, folder: str, arguments: Sequence[str], on_output: Callable[[str], None] | None = None) -> None:
        """Run one Go command; its standard error is counted as progress, and its tail becomes the error's text."""
        process = subprocess.Popen(
            [self._go.command, *arguments],
            cwd=self._modules_dir / folder,
            env=self._go.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if on_output else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        with process:
            self._running.add(process)
            if self._stopped.is_set():
                kill_group(process)
            tail = self._follow(process, on_output)
        self._running.discard(process)
        if process.returncode:
            raise BuildError(f"`go {arguments[0]}` failed in {self._modules_dir / folder}:\n" + "\n".join(tail))

    def _follow(self, process: subprocess.Popen[str], on_output: Callable[[str], None] | None) -> deque[str]:
        reader = threading.Thread(target=_feed, args=(process, on_output), daemon=True)
        reader.start()
        tail: deque[str] = deque(maxlen=30)
        for line in process.stderr or ():
            if line.startswith("go: downloading"):
                self.tally.add(downloads=1)
            elif _PACKAGE_LINE.fullmatch(line.strip()):
                self.tally.add(compiled=1)
            else:
                tail.append(line.rstrip())
        reader.join()
        return tail

    def _stop(self) -> None:
        self._stopped.set()
        for process in list(self._running):
            kill_group(process)


def default_name(package: str) -> str:
    """Return what `go build` calls a package's binary: the path's last element that is not a major version."""
    elements = [element for element in package.split("/") if not re.fullmatch(r"v\d+", element)]
    return elements[-1]


def kill_group(process: subprocess.Popen[str]) -> None:
    """Kill a process with its children (the compilers), if it still runs."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def _feed(process: subprocess.Popen[str], on_output: Callable[[str], None] | None) -> None:
    for line in process.stdout or ():
        if on_output:
            on_output(line.strip())
