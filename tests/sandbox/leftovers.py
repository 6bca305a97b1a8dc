"""What a machine has, of the kinds of things that a sandbox must not leave: to compare before and after."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from s3sync_local.realnode.configuration import KERNEL_SETTINGS
from s3sync_local.sandbox import records


@dataclass(frozen=True)
class Machine:
    """A picture of the machine (or of the namespaces) that this process sees."""

    processes: frozenset[str]
    mounts: tuple[str, ...]
    links: tuple[str, ...]
    nftables: str
    network_namespaces: tuple[str, ...]
    cgroups: tuple[str, ...]
    folders: tuple[str, ...]
    records: tuple[str, ...]
    kernel: tuple[str, ...]


def look() -> Machine:
    """Take a picture; this process, its ancestors and the programs that look are not on it."""
    return Machine(
        processes=frozenset(_processes()),
        mounts=tuple(sorted(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())),
        links=tuple(sorted(link["ifname"] for link in json.loads(_output("ip", "-json", "link")))),
        nftables=_output("nft", "list", "ruleset"),
        network_namespaces=tuple(sorted(_output("ip", "netns", "list").split())),
        # Unlike a glob, a walk passes over what is removed meanwhile.
        cgroups=tuple(sorted(folder for folder, _, _ in os.walk("/sys/fs/cgroup"))),
        folders=tuple(str(path) for path in records.MOUNT_POINTS if path.exists() and not os.path.ismount(path)),
        records=tuple(sorted(path.name for path in records.FOLDER.glob("*"))),
        kernel=tuple((Path("/proc/sys") / name).read_text() for name in KERNEL_SETTINGS),
    )


def _processes() -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(folder.name) != os.getpid() and state != "Z":
            found.append(f"{folder.name} {command}")
    return found


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
