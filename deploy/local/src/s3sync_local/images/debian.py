"""A Debian with Python 3.11 made on the spot, for where no registry answers, and programs of Debian's packages."""

import tarfile
from pathlib import Path

from s3sync_local.errors import ImageError
from s3sync_local.gobuild import Progress
from s3sync_local.images import commands

SUITE = "bookworm"
PACKAGES = ("usr-is-merged", "python3", "ca-certificates", "tzdata", "libstdc++6")
"""The last is what compiled wheels expect of any Debian or Python image, and name in none of their metadata."""
EXCLUDED = ("man", "locale", "info", "doc/*", "lintian", "bash-completion")
"""Folders below /usr/share that are not unpacked; licences stay."""
REMOVED = ("test", "lib2to3", "pydoc_data", "idlelib")
"""What goes of Python's library, once dpkg has set it up, which would miss it."""
STDLIB = "/usr/lib/python3.11"
COMPILE = f"python3 -m compileall -q -f --invalidation-mode unchecked-hash /usr/lib/python3 {STDLIB}"
"""Bytecode that names its source's time is stale, and made anew at each start, once an image's files get one time."""
REMOVE = "rm -rf " + " ".join(f"{STDLIB}/{name}" for name in REMOVED)
CLEAN = "rm -rf /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/log/*"


def base_arguments(target: Path, suite: str = SUITE) -> list[str]:
    """Return mmdebstrap's command line for the base: what the interpreter needs, no apt, no pip, no compiler."""
    return [
        *("mmdebstrap", "--verbose", "--mode=root", "--variant=essential", f"--include={','.join(PACKAGES)}"),
        "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
        *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in EXCLUDED),
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        f'--customize-hook=chroot "$1" sh -ec "{REMOVE}; {COMPILE}; {CLEAN}"',
        *(suite, str(target)),
    ]


def extract_arguments(package: str, target: Path, suite: str = SUITE) -> list[str]:
    """Return mmdebstrap's command line that unpacks one package and runs nothing of it."""
    return [
        *("mmdebstrap", "--verbose", "--mode=root", "--variant=extract", f"--include={package}"),
        *(suite, str(target)),
    ]


def make_base(work: Path, target: Path, time: int, progress: Progress) -> None:
    """Write the base's root file system as a tar archive; all that has no time of its own gets `time`."""
    _run(base_arguments(target), work, f"making a Debian {SUITE} with Python", time, progress)


def extract_program(package: str, member: str, work: Path, target: Path, progress: Progress) -> None:
    """Write one file of a Debian package to target; raises ImageError where the package lacks it."""
    archive = work / f"{package}.tar"
    _run(extract_arguments(package, archive), work, f"fetching Debian's {package}", 0, progress)
    with tarfile.open(archive) as tar:
        try:
            source = tar.extractfile(f"./{member}")
        except KeyError as error:
            raise ImageError(
                f"Debian's {package} has no /{member} any more; name its new place in pause's recipe"
            ) from error
        if source is None:
            raise ImageError(f"/{member} of Debian's {package} is no file; name the program itself in pause's recipe")
        target.write_bytes(source.read())
    target.chmod(0o755)


def _run(arguments: list[str], work: Path, what: str, time: int, progress: Progress) -> None:
    env = {"SOURCE_DATE_EPOCH": str(time), "TMPDIR": str(work), "LC_ALL": "C.UTF-8"}
    commands.run(arguments, log=work / "mmdebstrap.log", what=what, progress=progress, env=env)
