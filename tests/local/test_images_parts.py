"""What the images are made of: their inputs, the command lines that build them, and the cache that keeps them."""

import importlib.util
import os
import subprocess
import tarfile
import time
from pathlib import Path

import pytest
import yaml

from s3sync_local import images
from s3sync_local.binaries import COREDNS, TRAINING_OPERATOR
from s3sync_local.errors import ImageError, MissingToolError
from s3sync_local.images import commands, debian, hostenv, inputs, store
from s3sync_local.images.archive import Archive, describe, read_files
from s3sync_local.images.build import cache_volumes, choose, make_plan, write_secrets
from s3sync_local.images.buildah import Build, Storage, bud_arguments, labels
from s3sync_local.images.catalogue import (
    COREDNS_VERSION,
    RECIPES,
    REPOSITORY,
    TRAINING_OPERATOR_VERSION,
    Recipe,
    version,
)
from s3sync_local.paths import GO_MODULES
from s3sync_operator import __version__

STRICT = "*\n!kept\n!one.txt\n**/__pycache__\n"


def _write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# What the build may see.


def test_an_ignore_file_names_what_the_build_may_see() -> None:
    assert inputs.parse_ignorefile(STRICT, "f") == inputs.Allowed(("kept", "one.txt"), ("__pycache__",))


@pytest.mark.parametrize("text", ["", "!kept\n", "*\nkept\n", "*\n!src/*.py\n", "*\n!kept\nnode_modules/\n"])
def test_an_ignore_file_of_another_form_is_refused_by_name(text: str) -> None:
    with pytest.raises(ImageError, match=r"Dockerfile\.dockerignore: begin with"):
        inputs.parse_ignorefile(text, "Dockerfile.dockerignore")


def test_only_what_is_allowed_is_collected(tmp_path: Path) -> None:
    for name in ("kept/a.py", "kept/__pycache__/a.pyc", "one.txt", "secret.txt"):
        _write(tmp_path / name)
    found = inputs.collect(tmp_path, inputs.parse_ignorefile(STRICT, "f"))
    assert list(found) == ["kept/a.py", "one.txt"]


def test_an_allowed_path_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"lacks kept, one\.txt; run from a complete checkout"):
        inputs.collect(tmp_path, inputs.parse_ignorefile(STRICT, "f"))


def test_the_digest_is_the_same_for_the_same_content_wherever_and_whenever_it_was_written(tmp_path: Path) -> None:
    first, second = _write(tmp_path / "here/a"), _write(tmp_path / "there/a")
    os.utime(second, (0, 0))
    assert inputs.digest({"a": first}) == inputs.digest({"a": second})


def test_the_digest_changes_with_a_name_a_byte_the_right_to_run_and_a_fact(tmp_path: Path) -> None:
    file = _write(tmp_path / "a")
    digests = [inputs.digest({"a": file}), inputs.digest({"b": file}), inputs.digest({"a": file}, ["fact"])]
    file.chmod(0o755)
    digests.append(inputs.digest({"a": file}))
    file.write_text("y")
    digests.append(inputs.digest({"a": file}))
    assert len(set(digests)) == 5


def test_the_digest_changes_when_a_letter_moves_from_one_fact_to_the_next() -> None:
    assert inputs.digest({}, ["ab", "c"]) != inputs.digest({}, ["a", "bc"])


def test_what_is_staged_has_modes_that_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    private, program = _write(tmp_path / "from/a"), _write(tmp_path / "from/b")
    private.chmod(0o600)
    program.chmod(0o775)
    old = os.umask(0o077)
    try:
        inputs.stage({"sub/a": private, "b": program}, tmp_path / "context")
    finally:
        os.umask(old)
    modes = {name: (tmp_path / "context" / name).stat().st_mode & 0o777 for name in ("sub", "sub/a", "b")}
    assert modes == {"sub": 0o755, "sub/a": 0o644, "b": 0o755}


# Which commit it comes from.


def _repository(root: Path) -> None:
    _git(root, "init", "-q")
    for name in ("a", "b"):
        _write(root / name)
        _git(root, "add", name)
        _git(root, "commit", "-qm", name, "--date=2026-01-02T03:04:05Z")


def _git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=n", "-c", "user.email=e@example.org")
    environment = os.environ | {"GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z"}
    done = subprocess.run(
        ["git", *identity, *arguments],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout.strip()


def test_the_revision_is_the_last_commit_that_changed_the_inputs(tmp_path: Path) -> None:
    _repository(tmp_path)
    assert inputs.revision(tmp_path, ["a"]) == inputs.Revision(_git(tmp_path, "rev-parse", "HEAD~1"), 1767323045)


def test_inputs_that_are_not_as_committed_make_the_revision_dirty_and_others_do_not(tmp_path: Path) -> None:
    _repository(tmp_path)
    _write(tmp_path / "b", "changed")
    assert [inputs.revision(tmp_path, [name]).commit.endswith("-dirty") for name in ("a", "b")] == [False, True]


def test_without_a_repository_the_revision_is_unknown(tmp_path: Path) -> None:
    assert inputs.revision(tmp_path, ["a"]) == inputs.Revision("unknown", 0)


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://user:secret@example.org/team/project.git", "https://example.org/team/project"),
        ("git@example.org:team/project.git", "https://example.org/team/project"),
        ("ssh://git@example.org/team/project", "https://example.org/team/project"),
        ("/srv/project", None),
        ("", None),
    ],
)
def test_the_source_label_is_a_web_address_without_credentials(remote: str, address: str | None) -> None:
    assert inputs.web_address(remote) == address


# How it is built.


def test_the_labels_name_version_revision_and_time() -> None:
    assert labels("1.2.3", inputs.Revision("abc", 0), "https://example.org/p") == {
        "org.opencontainers.image.version": "1.2.3",
        "org.opencontainers.image.revision": "abc",
        "org.opencontainers.image.created": "1970-01-01T00:00:00Z",
        "org.opencontainers.image.source": "https://example.org/p",
    }


def test_a_build_gets_a_fixed_time_and_names_neither_its_host_nor_its_builder() -> None:
    arguments = bud_arguments(Build("r", Path("/c"), Path("/c/Dockerfile"), 77, secrets={"s": Path("/f")}))
    assert {"--timestamp=77", "--identity-label=false", "--format=oci", "--isolation=chroot"} < set(arguments)
    assert arguments[-1] == "/c"
    assert "--secret=id=s,src=/f" in arguments


def test_buildah_keeps_all_in_the_folder_that_it_is_given() -> None:
    command = Storage(Path("/w"), "overlay").command("images")
    assert command[:5] == ["buildah", "--root", "/w/storage", "--runroot", "/w/run"]


def test_the_base_has_no_apt_no_pip_and_no_compiler() -> None:
    arguments = debian.base_arguments(Path("base.tar"))
    assert "--variant=essential" in arguments
    assert not [name for name in debian.PACKAGES if "pip" in name or "gcc" in name or "apt" in name]


def test_what_is_missing_is_told_in_one_line_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(
        MissingToolError, match=r"^building images needs .*: apt-get install buildah mmdebstrap util-linux$"
    ):
        commands.require(("buildah", "mmdebstrap"), uid=0)


def test_without_root_nothing_is_tried() -> None:
    with pytest.raises(MissingToolError, match="building images needs root"):
        commands.require((), uid=1000)


# The host's settings reach the build and no further.


def test_indexes_and_proxies_reach_the_build_and_other_variables_do_not(tmp_path: Path) -> None:
    environ = {
        "UV_INDEX_URL": "https://i",
        "https_proxy": "http://p",
        "UV_CACHE_DIR": "/c",
        "AWS_SECRET_ACCESS_KEY": "s",
    }
    assert hostenv.read(environ, tmp_path).variables == {"UV_INDEX_URL": "https://i", "https_proxy": "http://p"}


def test_pips_index_counts_where_uv_has_none(tmp_path: Path) -> None:
    _write(tmp_path / ".config/pip/pip.conf", "[global]\nindex-url = https://user:pass%40@mirror/simple\n")
    found = hostenv.read({}, tmp_path).variables
    assert found == {"UV_DEFAULT_INDEX": "https://user:pass%40@mirror/simple"}
    assert hostenv.read({"UV_DEFAULT_INDEX": "https://own"}, tmp_path).variables == {"UV_DEFAULT_INDEX": "https://own"}


def test_a_value_with_quotes_survives_the_shell(tmp_path: Path) -> None:
    script = _write(tmp_path / "env", hostenv.HostSettings({"UV_INDEX_URL": "https://a'b $c"}, None, None).script())
    command = f'. {script}; printf %s "$UV_INDEX_URL"'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "https://a'b $c"


def test_the_secrets_are_files_for_their_owner_alone_and_never_on_the_command_line(tmp_path: Path) -> None:
    settings = hostenv.HostSettings({"UV_INDEX_URL": "https://u:pass@i"}, _write(tmp_path / "ca"), None)
    secrets = write_secrets(settings, tmp_path / "secrets")
    assert sorted(secrets) == ["build-env", "ca-bundle"]
    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0
    assert "SSL_CERT_FILE=/run/secrets/ca-bundle" in secrets["build-env"].read_text()
    arguments = bud_arguments(Build("r", Path("c"), Path("d"), 0, secrets=secrets, volumes=cache_volumes()))
    assert not [argument for argument in arguments if "pass" in argument]


# The cache.


def _entry(root: Path, name: str, key: str, used: float) -> Path:
    made = root / f"made-{name}-{key}"
    made.mkdir(parents=True)
    store.publish(made, store.entry(root, name, key))
    os.utime(store.entry(root, name, key), (used, used))
    return store.entry(root, name, key)


def test_the_entries_that_were_used_last_are_kept_and_others_images_are_left_alone(tmp_path: Path) -> None:
    now = time.time()
    old, middle, new = (_entry(tmp_path, "job", digit * 64, now + age) for age, digit in enumerate("abc"))
    other = _entry(tmp_path, "job-helper", "d" * 64, now - 1)
    assert store.prune(tmp_path, "job") == [old]
    assert [path.exists() for path in (middle, new, other)] == [True, True, True]
    assert store.newest(tmp_path, "job") == new


def test_an_entry_is_found_only_when_it_is_whole(tmp_path: Path) -> None:
    assert not store.use(store.entry(tmp_path, "job", "a" * 64))
    assert store.use(_entry(tmp_path, "job", "a" * 64, 0))


def test_a_build_that_fails_leaves_nothing_and_what_a_killed_one_left_is_swept(tmp_path: Path) -> None:
    _write(tmp_path / "work-killed" / "storage" / "layer")

    def build() -> None:
        with store.workspace(tmp_path) as work:
            assert list(tmp_path.iterdir()) == [work]
            _write(work / "half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        build()
    assert list(tmp_path.iterdir()) == []


def test_a_second_builder_waits_and_says_so(tmp_path: Path) -> None:
    told: list[str] = []
    with (
        store.exclusive(tmp_path, told.append),
        pytest.raises(ImageError, match="has held"),
        store.exclusive(tmp_path, told.append, seconds=1),
    ):
        pass
    assert told == ["another process is building images; waiting for it"]


# The catalogue agrees with the rest of the house.


def test_the_version_is_the_operators_and_the_deployments() -> None:
    assert version() == __version__
    deployment = yaml.safe_load((REPOSITORY / "deploy/base/deployment.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == images.OPERATOR


@pytest.mark.parametrize(
    ("module", "required"),
    [
        (TRAINING_OPERATOR.folder, f"github.com/kubeflow/training-operator {TRAINING_OPERATOR_VERSION}"),
        (COREDNS.folder, f"github.com/coredns/coredns v{COREDNS_VERSION}"),
    ],
)
def test_an_image_of_a_go_program_is_named_after_the_version_that_is_built(module: str, required: str) -> None:
    assert required in (GO_MODULES / module / "go.mod").read_text()


def test_all_images_are_chosen_where_none_is_named_and_a_wrong_name_is_told() -> None:
    assert [recipe.name for recipe in choose(None)] == list(RECIPES)
    assert [recipe.name for recipe in choose(["job", "pause"])] == ["pause", "job"]
    with pytest.raises(ImageError, match="no image is named jbo; there are pause"):
        choose(["jbo"])


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES.values() if not recipe.program], ids=lambda r: r.name)
def test_what_a_dockerfile_copies_is_among_what_its_build_may_see(recipe: Recipe) -> None:
    files = make_plan(recipe, None, None).files
    copied = [
        source
        for line in (REPOSITORY / recipe.dockerfile).read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    ]
    assert copied
    for source in copied:
        assert [name for name in files if Path(name).match(source) or Path(source) in (Path(name), *Path(name).parents)]


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES.values() if not recipe.program], ids=lambda r: r.name)
def test_every_image_of_ours_runs_as_a_user_without_rights_and_holds_what_its_lock_pins(recipe: Recipe) -> None:
    text = (REPOSITORY / recipe.dockerfile).read_text()
    assert "\nUSER 65532:65532\n" in text
    assert "deploy/local/images/install.sh" in text
    assert "uv.lock" in make_plan(recipe, None, None).files


def test_our_packages_are_built_by_the_very_uv_that_the_bootstrap_fetches() -> None:
    spec = importlib.util.spec_from_file_location("bootstrap_uv", REPOSITORY / "deploy/local/bootstrap_uv.py")
    assert spec
    assert spec.loader
    bootstrap = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bootstrap)
    for folder in ("operator", "job_image", "deploy/local"):
        assert f'"uv_build>={bootstrap.VERSION},<' in (REPOSITORY / folder / "pyproject.toml").read_text()


# Reading an image back.


def _layer(path: Path, files: dict[str, str]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            tar.add(_write(path.parent / "files" / name, content), name)


def _archive(tmp_path: Path, *layers: dict[str, str]) -> Archive:
    names = [f"{number}.tar" for number in range(len(layers))]
    for name, files in zip(names, layers, strict=True):
        _layer(tmp_path / name, files)
    _write(tmp_path / "ab.json", '{"config": {"Labels": {"l": "v"}}}')
    _write(tmp_path / "manifest.json", f'[{{"Config": "ab.json", "Layers": {names}}}]'.replace("'", '"'))
    with tarfile.open(tmp_path / "image.tar", "w") as tar:
        for name in (*names, "ab.json", "manifest.json"):
            tar.add(tmp_path / name, name)
    return describe(tmp_path / "image.tar")


def test_an_archive_tells_its_id_and_labels(tmp_path: Path) -> None:
    archive = _archive(tmp_path, {"a": "1"})
    assert (archive.image_id, archive.labels) == ("sha256:ab", {"l": "v"})


def test_what_an_upper_layer_replaced_or_removed_is_not_read(tmp_path: Path) -> None:
    lower = {"p/a.txt": "1", "p/b.txt": "1", "q/c.txt": "1", "r/d.txt": "1", "other": "1"}
    upper = {"p/b.txt": "2", "p/.wh.a.txt": "", ".wh.q": "", "r/.wh..wh..opq": "", "r/e.txt": "2"}
    found = read_files(_archive(tmp_path, lower, upper), ("*.txt",))
    assert found == {"p/b.txt": b"2", "r/e.txt": b"2"}


def test_what_is_no_archive_is_told(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is not a docker-archive of one image"):
        describe(_write(tmp_path / "image.tar", "no tar at all"))
