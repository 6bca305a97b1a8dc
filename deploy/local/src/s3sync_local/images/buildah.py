"""buildah, which builds images without a container engine: its command lines (pure), and a builder around it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from s3sync_local.errors import ImageError
from s3sync_local.gobuild import Progress
from s3sync_local.images import commands
from s3sync_local.images.inputs import Revision

POLICY = {"default": [{"type": "insecureAcceptAnything"}]}
"""Signatures are not asked for: buildah is given only archives that this code wrote."""
MOUNT_TEST_SECONDS = 60


@dataclass(frozen=True)
class Storage:
    """Where one buildah keeps its layers: a folder that nothing else uses, removed whole when it is done."""

    root: Path
    driver: str

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of buildah on this storage."""
        return [
            *("buildah", "--root", str(self.root / "storage"), "--runroot", str(self.root / "run")),
            *("--storage-driver", self.driver, "--registries-conf", str(self.root / "registries.conf")),
            *arguments,
        ]

    def policy_flag(self) -> str:
        """Return the flag of pull, push and bud that names the policy, instead of the host's."""
        return f"--signature-policy={self.root / 'policy.json'}"


@dataclass(frozen=True)
class Build:
    """One call of `buildah bud`; `time` (seconds since 1970) is given to all that the build adds."""

    reference: str
    context: Path
    dockerfile: Path
    time: int
    labels: Mapping[str, str] = field(default_factory=dict)
    build_args: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Path] = field(default_factory=dict)
    volumes: Sequence[str] = ()


def bud_arguments(build: Build) -> list[str]:
    """Return the arguments of `buildah bud`; the same build gives the same image, for no time or host gets in: the
    OCI format names no host, as Docker's does."""
    flags = [
        *("--isolation=chroot", "--network=host", "--format=oci", "--layers=false", "--pull=never"),
        *(
            "--identity-label=false",
            f"--timestamp={build.time}",
            f"--tag={build.reference}",
            f"--file={build.dockerfile}",
        ),
    ]
    flags += [f"--label={name}={value}" for name, value in sorted(build.labels.items())]
    flags += [f"--build-arg={name}={value}" for name, value in sorted(build.build_args.items())]
    flags += [f"--secret=id={name},src={path}" for name, path in sorted(build.secrets.items())]
    flags += [f"--volume={volume}" for volume in build.volumes]
    return ["bud", *flags, str(build.context)]


def labels(version: str, revision: Revision, source: str | None = None) -> dict[str, str]:
    """Return the OCI labels that change from build to build; those that do not stand in the Dockerfiles."""
    created = datetime.fromtimestamp(revision.time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = {"version": version, "revision": revision.commit, "created": created} | (
        {"source": source} if source else {}
    )
    return {f"org.opencontainers.image.{name}": value for name, value in found.items()}


class Builder:
    """buildah on a storage of its own below `root`, an empty folder of the caller's, who removes it in the end."""

    def __init__(self, root: Path, progress: Progress) -> None:
        self._progress, self._log = progress, root / "buildah.log"
        self._storage = Storage(root, driver(root))
        (root / "policy.json").write_text(json.dumps(POLICY))
        (root / "registries.conf").write_text("")
        # The host's storage.conf may name other drivers and mount programs.
        (root / "storage.conf").write_text(f'[storage]\ndriver = "{self._storage.driver}"\n')

    def load(self, archive: Path, reference: str) -> None:
        """Take an image from an archive, to build others on."""
        self._run(f"loading {reference}", "pull", self._storage.policy_flag(), f"docker-archive:{archive}")

    def build(self, build: Build) -> None:
        """Build an image into the storage."""
        command, *arguments = bud_arguments(build)
        self._run(f"building {build.reference}", command, self._storage.policy_flag(), *arguments)

    def save(self, reference: str, archive: Path) -> None:
        """Write an image as a docker-archive, under the reference by which a node will know it."""
        target = f"docker-archive:{archive}:{reference}"
        self._run(f"writing {reference}", "push", self._storage.policy_flag(), reference, target)

    def _run(self, what: str, *arguments: str) -> None:
        root = self._storage.root
        env = {"CONTAINERS_STORAGE_CONF": str(root / "storage.conf"), "TMPDIR": str(root)}
        commands.run(self._storage.command(*arguments), log=self._log, what=what, progress=self._progress, env=env)


def driver(root: Path) -> str:
    """Return the storage driver that works here: overlay, or vfs (slower: copies) where the kernel refuses overlays.

    A container's own file system is often an overlay, and an overlay cannot lie on another.
    """
    folders = {name: root / "overlay-test" / name for name in ("lower", "upper", "work", "merged")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    options = ",".join(f"{name}dir={folders[name]}" for name in ("lower", "upper", "work"))
    try:
        commands.run(
            ["mount", "-t", "overlay", "overlay", "-o", options, folders["merged"]],
            log=root / "overlay-test.log",
            what="trying an overlay",
            progress=lambda _text: None,
            seconds=MOUNT_TEST_SECONDS,
        )
    except ImageError:
        return "vfs"
    return "overlay"
