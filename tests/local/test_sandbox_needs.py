"""What a sandbox needs of a network is made before it begins, and is refused by its name inside of it."""

import os
import re
import time
from pathlib import Path

import pytest

from s3sync_local import binaries, clients, debian_packages, images
from s3sync_local.errors import MissingToolError, SandboxError
from s3sync_local.gobuild import GoModule
from s3sync_local.sandbox import marker, needs

SCAFFOLD = Path(__file__).resolve().parents[2] / "deploy/local/src/s3sync_local"


def ignore(_text: str) -> None: ...


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nothing has been made yet."""
    monkeypatch.setenv("S3SYNC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in a sandbox."""
    monkeypatch.setattr(marker, "MARKER", tmp_path)


@pytest.mark.usefixtures("empty", "inside")
@pytest.mark.parametrize("module", needs.GO_MODULES, ids=lambda module: module.folder)
def test_in_a_sandbox_no_program_is_built_and_the_need_that_makes_it_is_named(module: GoModule) -> None:
    with pytest.raises(MissingToolError) as refused:
        binaries.ensure_modules([module], ignore)
    assert named(refused.value) in needs.GO_NEEDS


@pytest.mark.usefixtures("empty", "inside")
@pytest.mark.parametrize("image", images.RECIPES)
def test_in_a_sandbox_no_image_is_built_and_the_need_that_makes_it_is_named(image: str) -> None:
    with pytest.raises(MissingToolError) as refused:
        images.build_images(ignore, [image], programs={image: Path("/bin/true")})
    assert named(refused.value) == f"{image}-image"
    assert named(refused.value) in needs.NEEDS


@pytest.mark.usefixtures("empty", "inside")
@pytest.mark.parametrize("client", clients.PYTHON_CLIENTS)
def test_in_a_sandbox_no_client_is_installed_and_the_need_that_makes_it_is_named(client: str) -> None:
    with pytest.raises(MissingToolError) as refused:
        clients.ensure_clients([client], ignore)
    assert named(refused.value) == client
    assert client in needs.NEEDS


@pytest.mark.usefixtures("inside")
def test_in_a_sandbox_no_package_is_installed_and_the_need_that_does_is_named() -> None:
    with pytest.raises(MissingToolError) as refused:
        debian_packages.ensure_packages(["runc"], ignore, "a test")
    assert named(refused.value) == needs.PACKAGES


def named(error: MissingToolError) -> str:
    """Return the need that the message's command names; the message is one line."""
    assert "\n" not in str(error)
    found = re.search(r"python -m s3sync_local\.sandbox --need (\S+) -- COMMAND$", str(error))
    assert found, str(error)
    return found[1]


def test_a_need_that_nobody_knows_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(SandboxError, match=r"named kubelets; there are node, packages, kubernetes"):
        needs.provide(["node", "kubelets"], ignore)


def test_a_node_needs_programs_and_images_together() -> None:
    assert set(needs.NODE_NEEDS) <= set(needs.NEEDS)
    assert {"kubernetes", "coredns-image"} <= set(needs.NODE_NEEDS)


def test_apt_is_called_in_one_place() -> None:
    callers = [path.name for path in SCAFFOLD.rglob("*.py") if '"apt-get"' in path.read_text()]
    assert callers == ["debian_packages.py"]


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for apt-get: fails as the files `1`, `2`, … say, one a call, and succeeds where there is none."""
    script = f"""#!/bin/sh
cd {tmp_path}
calls=$(cat calls 2>/dev/null | wc -l)
echo "$*" >> calls
if [ -e "$calls" ]; then cat "$calls" >&2; exit 100; fi
"""
    (tmp_path / "apt-get").write_text(script)
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    return tmp_path


def verbs(apt: Path) -> list[str]:
    return [line.split()[2] for line in (apt / "calls").read_text().splitlines()]


def test_packages_are_installed_by_the_lists_at_hand(apt: Path) -> None:
    debian_packages.ensure_packages(["runc", "buildah"], ignore, "a test")
    (call,) = (apt / "calls").read_text().splitlines()
    assert call == "-q -oDPkg::Lock::Timeout=300 install --yes --no-install-recommends runc buildah"


def test_lists_are_fetched_only_where_those_at_hand_do_not_do(apt: Path) -> None:
    (apt / "0").write_text("E: Unable to locate package runc\n")
    debian_packages.ensure_packages(["runc"], ignore, "a test")
    assert verbs(apt) == ["install", "update", "install"]


def test_a_lock_that_another_program_holds_is_waited_for(apt: Path) -> None:
    told: list[str] = []
    for call in ("0", "1"):
        (apt / call).write_text("E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)\n")
    debian_packages.ensure_packages(["runc"], told.append, "a test")
    assert verbs(apt) == ["install", "install", "install"]
    assert told == ["apt-get install runc", "another program holds apt's lock; waiting for it"]


def test_a_lock_is_not_waited_for_without_end(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(0, 100_000, 100))
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    for call in range(100):
        (apt / str(call)).write_text("E: Could not get lock /var/lib/dpkg/lock-frontend\n")
    with pytest.raises(MissingToolError, match="apt-get update failed: E: Could not get lock"):
        debian_packages.ensure_packages(["runc"], ignore, "a test")


def test_what_apt_says_in_the_end_is_passed_on(apt: Path) -> None:
    for call in range(3):
        (apt / str(call)).write_text("E: Temporary failure resolving 'deb.debian.org'\n")
    with pytest.raises(MissingToolError, match=r"apt-get update failed: E: Temporary failure"):
        debian_packages.ensure_packages(["runc"], ignore, "a test")


def test_without_root_what_is_missing_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MissingToolError, match=r"^a test needs packages[^\n]*: apt-get install runc$"):
        debian_packages.ensure_packages(["runc"], ignore, "a test")


def test_nothing_missing_takes_no_rights_and_no_apt(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    debian_packages.ensure_packages([], ignore, "a test")
    assert not (apt / "calls").exists()
