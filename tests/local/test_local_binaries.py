"""Where the local cluster's programs come from: the cache's key, the Go that may build them, what a build tells."""

import os
import threading
from pathlib import Path

import pytest

from s3sync_local import binaries, gobuild
from s3sync_local.binaries import (
    CONTROL_PLANE,
    KUBERNETES_VERSION,
    MODULES,
    REAL_NODE,
    cache_key,
    ensure_binaries,
    ensure_modules,
    locate,
)
from s3sync_local.errors import BuildError, MissingToolError
from s3sync_local.gobuild import GoBuilder, GoModule, Tally, default_name, merged
from s3sync_local.gotoolchain import Go, find_go, is_new_enough, parse_version, required_version
from s3sync_local.paths import GO_MODULES, cache_dir

FILES = {"kubernetes/go.mod": b"module a\n", "kubernetes/go.sum": b"x h1:1\n"}


MODULE = GoModule("m", {"tool": "example.org/tool"})


def test_the_key_is_the_same_for_the_same_files_and_flags() -> None:
    assert cache_key(FILES, MODULE) == cache_key(dict(reversed(FILES.items())), MODULE)


@pytest.mark.parametrize("name", FILES)
def test_the_key_changes_with_a_byte_of_any_lock_file(name: str) -> None:
    assert cache_key(FILES, MODULE) != cache_key(FILES | {name: FILES[name] + b"\n"}, MODULE)


def test_the_key_changes_when_a_byte_moves_from_one_file_to_the_next() -> None:
    assert cache_key({"a": b"12", "b": b"3"}, MODULE) != cache_key({"a": b"1", "b": b"23"}, MODULE)


def test_the_key_changes_with_the_link_flags_the_packages_and_the_sources() -> None:
    others = [
        GoModule("m", MODULE.packages, "-s"),
        GoModule("m", {}),
        GoModule("m", MODULE.packages, sources={"docs": ("example.org", "docs")}),
        GoModule("m", MODULE.packages, tags="small"),
    ]
    assert len({cache_key(FILES, module) for module in (MODULE, *others)}) == 5


def test_sets_of_one_folder_have_entries_of_their_own() -> None:
    assert cache_key(FILES, CONTROL_PLANE) != cache_key(FILES, REAL_NODE)


def test_sets_of_one_folder_are_built_by_one_call_and_copies_alone_by_none() -> None:
    other = GoModule("m", {"more": "example.org/more"})
    copies = GoModule("n", {}, sources={"docs": ("example.org", "docs")})
    (built,) = merged([MODULE, other, copies])
    assert (built.folder, dict(built.packages)) == ("m", {"tool": "example.org/tool", "more": "example.org/more"})


def test_packages_of_one_folder_with_other_build_tags_are_built_by_another_call() -> None:
    small = GoModule("m", {"more": "example.org/more"}, tags="small")
    assert [(module.tags, *module.packages) for module in merged([MODULE, small])] == [("", "tool"), ("small", "more")]


def test_build_tags_reach_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_checkout(tmp_path, monkeypatch)
    ensure_modules([GoModule("a", {"one": "example.org/one"}, tags="small")], print)
    assert (tmp_path / "flags").read_text().splitlines() == ["list -tags small", "build -tags small"]


def test_only_what_is_asked_for_is_built_each_into_its_own_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fake_checkout(tmp_path, monkeypatch)
    asked = [GoModule("a", {"one": "example.org/one"}), GoModule("a", {"two": "example.org/two"})]
    paths = ensure_modules(asked, print)
    assert {name: path.read_text() for name, path in paths.items()} == {"one": "one\n", "two": "two\n"}
    assert paths["one"].parent != paths["two"].parent
    assert (tmp_path / "calls").read_text().splitlines() == ["build example.org/one example.org/two"]


def test_what_the_cache_holds_is_not_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_checkout(tmp_path, monkeypatch)
    one, two = GoModule("a", {"one": "example.org/one"}), GoModule("a", {"two": "example.org/two"})
    first = ensure_modules([one], print)["one"]
    assert ensure_modules([one, two], print)["one"] == first
    assert (tmp_path / "calls").read_text().splitlines() == ["build example.org/one", "build example.org/two"]


def test_sources_are_copied_out_of_the_module_they_belong_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_checkout(tmp_path, monkeypatch)
    source = tmp_path / "module" / "docs" / "deep" / "page.md"
    source.parent.mkdir(parents=True)
    source.write_text("read me")
    source.chmod(0o444)
    module = GoModule("a", {}, sources={"manual": ("example.org", "docs")})
    copy = ensure_modules([module], print)["manual"] / "deep" / "page.md"
    assert (copy.read_text(), os.access(copy, os.W_OK)) == ("read me", True)


def test_the_kubernetes_version_that_is_linked_in_is_the_one_that_go_mod_pins() -> None:
    go_mod = (GO_MODULES / CONTROL_PLANE.folder / "go.mod").read_text()
    assert f"k8s.io/kubernetes v{KUBERNETES_VERSION} " in go_mod
    assert f"gitVersion=v{KUBERNETES_VERSION}" in CONTROL_PLANE.ldflags


@pytest.mark.parametrize("module", MODULES)
def test_every_package_that_is_built_is_a_tool_of_its_go_mod(module: GoModule) -> None:
    go_mod = (GO_MODULES / module.folder / "go.mod").read_text()
    assert [package for package in module.packages.values() if package not in go_mod] == []


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go1.26.8", (1, 26, 8)),
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("1.24", (1, 24, 0)),
        ("go1.27rc1", (1, 27, 0)),
        ("devel +abc", None),
        ("", None),
    ],
)
def test_a_go_version_is_read_from_what_go_prints(text: str, version: tuple[int, ...] | None) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize(
    ("found", "enough"),
    [((1, 26, 0), True), ((1, 27, 0), True), ((1, 25, 11), False), ((1, 9, 9), False), (None, False)],
)
def test_go_is_new_enough_from_the_required_version_on(found: tuple[int, ...] | None, enough: bool) -> None:
    assert is_new_enough(found, (1, 26, 0)) is enough


def test_the_highest_go_line_of_all_modules_is_required() -> None:
    assert required_version(["module a\n\ngo 1.24.0\n", "go 1.26.0\ntoolchain go1.26.10\n"]) == (1, 26, 0)


def test_go_on_the_path_is_taken_where_it_is_new_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = _script(tmp_path / "go", "echo go1.26.8")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert find_go((1, 26, 0), print) == Go(go)


def test_the_wheels_go_is_taken_where_the_one_on_the_path_is_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _script(tmp_path / "go", "echo go1.19.8")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("S3SYNC_CACHE", str(tmp_path / "cache"))
    wheel = cache_dir() / "tools" / "go-1.26.6" / "go" / "bin" / "go"
    wheel.parent.mkdir(parents=True)
    _script(wheel, "echo go1.26.6")
    assert find_go((1, 26, 0), print) == Go(wheel, from_wheel=True)


def test_the_wheels_go_does_not_see_the_goroot_of_another_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOROOT", "/usr/lib/go-1.19")
    assert "GOROOT" not in Go(Path("go"), from_wheel=True).environment()
    assert Go(Path("go")).environment()["GOROOT"] == "/usr/lib/go-1.19"


def test_the_build_neither_rewrites_go_mod_nor_switches_the_toolchain() -> None:
    environment = Go(Path("go")).environment()
    assert (environment["GOFLAGS"], environment["GOTOOLCHAIN"], environment["CGO_ENABLED"]) == (
        "-mod=readonly",
        "local",
        "0",
    )


def test_given_assets_are_used_and_only_the_rest_is_looked_for_in_the_cache(tmp_path: Path) -> None:
    assets, built = tmp_path / "assets", tmp_path / "built"
    assets.mkdir()
    (assets / "etcd").touch()
    assert locate(assets, built, ["etcd", "kube-apiserver"]) == {
        "etcd": assets / "etcd",
        "kube-apiserver": built / "kube-apiserver",
    }


def test_a_wrong_kubebuilder_assets_is_named_in_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "nowhere"))
    with pytest.raises(MissingToolError, match=r"KUBEBUILDER_ASSETS is .*nowhere, which is no directory"):
        ensure_binaries(print)


def test_an_incomplete_checkout_is_named_in_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "GO_MODULES", tmp_path)
    with pytest.raises(MissingToolError, match=r"lacks kubernetes/go\.mod.*complete checkout"):
        ensure_binaries(print)


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("go.etcd.io/etcd/server/v3", "server"),
        ("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver"),
        ("github.com/kubeflow/training-operator/cmd/training-operator.v1", "training-operator.v1"),
    ],
)
def test_a_binary_has_the_last_name_of_its_package_that_is_no_version(package: str, name: str) -> None:
    assert default_name(package) == name


def test_progress_tells_of_fetched_modules_first_and_of_compiled_packages_then() -> None:
    fetching = "fetching Go modules: 12 so far, compiled 3 packages, 1m01s"
    assert Tally(unlisted=1, downloads=12, packages=9, compiled=3).describe(61.0) == fetching
    assert Tally(downloads=12, packages=400, compiled=100).describe(5.0) == "compiled 100 of 400 packages (25%), 0m05s"


def test_a_build_puts_each_binary_under_its_own_name_and_counts_what_it_compiles(tmp_path: Path) -> None:
    go = _script(
        tmp_path / "go",
        'if [ "$1" = list ]; then printf "fmt\\nexample.org/cmd/tool.v1\\n"; exit; fi',
        'for argument; do [ "$last" = -o ] && target="$argument"; last="$argument"; done',
        "echo fmt >&2; echo example.org/cmd/tool.v1 >&2; echo built > ${target}tool.v1",
    )
    builder = _builder(go, tmp_path)
    builder.build([GoModule("module", {"tool": "example.org/cmd/tool.v1"})], tmp_path)
    assert (tmp_path / "tool").read_text() == "built\n"
    assert builder.tally.describe(0.0) == "compiled 2 of 2 packages (100%), 0m00s"


def test_a_failed_build_ends_with_the_compilers_own_words(tmp_path: Path) -> None:
    go = _script(tmp_path / "go", "echo 'main.go:1:1: expected package' >&2", "exit 1")
    with pytest.raises(BuildError, match=r"`go list` failed in .*module:\nmain\.go:1:1: expected package"):
        _builder(go, tmp_path).build([GoModule("module", {"tool": "example.org/tool"})], tmp_path)


def test_a_failed_build_ends_the_one_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gobuild, "REPORT_SECONDS", 1)
    go = _script(tmp_path / "go", 'case "$*" in *bad*) echo "no such module" >&2; exit 1;; esac', "sleep 600")
    modules = [GoModule("module", {"slow": "example.org/slow"}), GoModule("module", {"bad": "example.org/bad"})]
    with pytest.raises(BuildError, match="no such module"):
        _builder(go, tmp_path).build(modules, tmp_path)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("ThreadPool")] == []


def _builder(go: Path, tmp_path: Path) -> GoBuilder:
    (tmp_path / "module").mkdir()
    return GoBuilder(Go(go), tmp_path, print)


def _fake_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the checkout have one module folder, `a`, and let a script be its Go, which notes each build in `calls`, and
    build tags in `flags`."""
    (tmp_path / "go-modules" / "a").mkdir(parents=True)
    for name, content in (("go.mod", "module a\n\ngo 1.26.0\n"), ("go.sum", "")):
        (tmp_path / "go-modules" / "a" / name).write_text(content)
    (tmp_path / "bin").mkdir()
    _script(
        tmp_path / "bin" / "go",
        'if [ "$1" = env ]; then echo go1.26.8; exit; fi',
        f'if [ "$1 $2" = "list -m" ]; then echo {tmp_path}/module; exit; fi',
        'tags=; for argument; do [ "$before" = -tags ] && tags="$argument"; before="$argument"; done',
        f'if [ "$tags" ]; then echo "$1 -tags $tags" >> {tmp_path}/flags; fi',
        'if [ "$1" != build ]; then exit; fi',
        "packages=",
        'for argument; do [ "$last" = -o ] && target="$argument"; last="$argument"',
        'case "$argument" in example.org/*) packages="$packages $argument"',
        "echo ${argument##*/} > $target${argument##*/};; esac; done",
        f'echo "build$packages" >> {tmp_path}/calls',
    )
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("S3SYNC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setattr(binaries, "GO_MODULES", tmp_path / "go-modules")


def _script(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    path.chmod(0o755)
    return path
