"""Build images into the cache: what is there already is returned, what is not is built and published whole."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from s3sync_local.binaries import COREDNS, TRAINING_OPERATOR, ensure_modules
from s3sync_local.debian_packages import ensure_packages
from s3sync_local.errors import ImageError
from s3sync_local.gobuild import Progress
from s3sync_local.images import commands, hostenv, inputs, sbom, store
from s3sync_local.images.archive import describe
from s3sync_local.images.buildah import Build, bud_arguments, labels
from s3sync_local.images.catalogue import RECIPES, REPOSITORY, Recipe
from s3sync_local.images.foundation import (
    ARCHIVE,
    BASE,
    BASE_NAME,
    PAUSE_PACKAGE,
    base_key,
    ensure_base,
    ensure_pause_program,
    fresh,
    pause_key,
)
from s3sync_local.images.session import Session
from s3sync_local.paths import cache_dir
from s3sync_local.sandbox.marker import refuse_inside

PROGRAMS = ("buildah", "mmdebstrap")
FORMAT = "1"
"""Counted up when this code builds other images from the same inputs."""
SBOM = "sbom.cdx.json"
CACHE_IN_BUILD = Path("/root/.cache")
"""Where uv and `bootstrap_uv.py` look for their caches inside of a build."""


@dataclass(frozen=True)
class Plan:
    """What one image will be made of, and the key under which the cache has it."""

    recipe: Recipe
    files: Mapping[str, Path]
    labels: Mapping[str, str]
    time: int
    key: str


def build_images(
    progress: Progress, names: Iterable[str] | None = None, *, programs: Mapping[str, Path] | None = None
) -> dict[str, Path]:
    """Return each image's reference and its docker-archive, building those that the cache lacks.

    `names` are short names of `catalogue.RECIPES`, all where None; `programs` gives the program of an image that holds
    one (training-operator, coredns, pause), which else is built from its Go module or taken from Debian.
    Raises MissingToolError and ImageError, and BuildError for the Go programs.
    """
    entries = ensure_entries(progress, names, programs=programs)
    return {reference: entry / ARCHIVE for reference, entry in entries.items()}


def ensure_entries(
    progress: Progress, names: Iterable[str] | None = None, *, programs: Mapping[str, Path] | None = None
) -> dict[str, Path]:
    """Return each image's reference and its folder in the cache, as build_images does."""
    chosen = choose(names)
    given = {**_go_programs(chosen, programs or {}, progress), **(programs or {})}
    root = store.images_dir()
    found = {recipe.reference: _lookup(recipe, root, given) for recipe in chosen}
    whole = {reference: entry for reference, entry in found.items() if entry}
    if len(whole) == len(chosen):
        return whole
    refuse_inside(next(f"{recipe.name}-image" for recipe in chosen if recipe.reference not in whole))
    _require_builders(progress)
    with store.exclusive(root, progress), store.workspace(root) as work:
        session = Session(root, work, progress)
        entries = {recipe.reference: _ensure(recipe, session, given) for recipe in chosen}
        for name in (BASE_NAME, PAUSE_PACKAGE, *(recipe.name for recipe in chosen)):
            store.prune(root, name)
    return entries


def reproduce(name: str, progress: Progress) -> tuple[str, str]:
    """Build an image twice from nothing, its Debian base included, and return the SHA-256 of both archives.

    Downloaded packages are taken from uv's cache, which the lock's hashes vouch for.
    """
    (recipe,) = choose([name])
    programs = _go_programs([recipe], {}, progress)
    _require_builders(progress)
    root = store.images_dir()
    with store.exclusive(root, progress):
        first, second = (_build_apart(recipe, programs, root, progress) for _ in range(2))
    return first, second


def _build_apart(recipe: Recipe, programs: Mapping[str, Path], root: Path, progress: Progress) -> str:
    with store.workspace(root) as work:
        session = Session(work, work, progress)
        return inputs.file_digest(_ensure(recipe, session, programs) / ARCHIVE)


def _require_builders(progress: Progress) -> None:
    """Install what builds images where it is missing; raises MissingToolError where that, or building, takes root."""
    ensure_packages(commands.missing_packages(), progress, "building images")
    commands.require(PROGRAMS)


def choose(names: Iterable[str] | None) -> list[Recipe]:
    """Return the recipes of the named images in the order of building; raises ImageError for a name that none has."""
    wanted = set(RECIPES if names is None else names)
    if unknown := sorted(wanted - set(RECIPES)):
        raise ImageError(f"no image is named {', '.join(unknown)}; there are {', '.join(RECIPES)}")
    return [recipe for name, recipe in RECIPES.items() if name in wanted]


def _go_programs(chosen: Sequence[Recipe], given: Mapping[str, Path], progress: Progress) -> dict[str, Path]:
    modules = {"training-operator": TRAINING_OPERATOR, "coredns": COREDNS}
    wanted = {r.name: modules[r.name] for r in chosen if r.name in modules and r.name not in given}
    built = ensure_modules(list(wanted.values()), progress)
    return {name: built[name] for name in wanted}


def _lookup(recipe: Recipe, root: Path, programs: Mapping[str, Path]) -> Path | None:
    """Return the image's entry where the cache has it and all that it stands on, without a lock or any rights."""
    base = fresh(root, BASE_NAME, base_key()) if recipe.on_base else None
    package = fresh(root, PAUSE_PACKAGE, pause_key()) if recipe.name == "pause" else None
    program = programs.get(recipe.name) or (package / PAUSE_PACKAGE if package else None)
    if (recipe.on_base and not base) or (recipe.program and not program):
        return None
    entry = store.entry(root, recipe.name, make_plan(recipe, program, base / ARCHIVE if base else None).key)
    return entry if store.use(entry) else None


def _ensure(recipe: Recipe, session: Session, programs: Mapping[str, Path]) -> Path:
    base = ensure_base(session) if recipe.on_base else None
    program = programs.get(recipe.name) or (ensure_pause_program(session) if recipe.name == "pause" else None)
    plan = make_plan(recipe, program, base)
    entry = store.entry(session.root, recipe.name, plan.key)
    if not store.use(entry):
        session.publish(entry, lambda made: build(plan, session, base, made))
    return entry


def make_plan(recipe: Recipe, program: Path | None, base: Path | None) -> Plan:
    """Return what the image will be made of: the files that its ignore file allows, its program, its base."""
    paths = [recipe.dockerfile, *_allowed_paths(recipe).paths]
    files = inputs.collect(REPOSITORY, inputs.Allowed((recipe.dockerfile,), ()))
    files |= inputs.collect(REPOSITORY, _allowed_paths(recipe))
    if recipe.program:
        if program is None:
            raise ImageError(f"image {recipe.name} holds a program that must be given: programs={{{recipe.name!r}: …}}")
        files[recipe.program] = program
    revision = inputs.revision(REPOSITORY, paths)
    marks = labels(recipe.reference.rpartition(":")[2], revision, inputs.source_url(REPOSITORY))
    facts = [FORMAT, recipe.reference, *(f"{name}={value}" for name, value in sorted(marks.items()))]
    facts += bud_arguments(Build("", Path(), Path(recipe.dockerfile), revision.time))
    facts += [describe(base).image_id] if base else []
    return Plan(recipe, files, marks, revision.time, inputs.digest(files, facts))


def _allowed_paths(recipe: Recipe) -> inputs.Allowed:
    """Return what of the repository the build may see; an image that only holds a program sees nothing."""
    if recipe.program:
        return inputs.Allowed((), ())
    return inputs.parse_ignorefile((REPOSITORY / recipe.ignorefile).read_text(), recipe.ignorefile)


def build(plan: Plan, session: Session, base: Path | None, made: Path) -> None:
    """Build one image and write its archive, and a product's SBOM, into the folder `made`."""
    recipe, builder = plan.recipe, session.builder()
    name = f"docker.io/{recipe.reference}"
    context = session.work / f"context-{recipe.name}"
    inputs.stage(plan.files, context)
    secrets = session.work / f"secrets-{recipe.name}"
    builder.build(
        Build(
            name,
            context,
            context / recipe.dockerfile,
            plan.time,
            labels=plan.labels,
            build_args={"BASE_IMAGE": session.loaded(base, BASE)} if base else {},
            secrets=write_secrets(hostenv.read(), secrets) if base else {},
            volumes=cache_volumes() if base else (),
        )
    )
    builder.save(name, made / ARCHIVE)
    if recipe.package:
        sbom.write(recipe.reference, describe(made / ARCHIVE), plan.files["uv.lock"], made / SBOM)


def write_secrets(settings: hostenv.HostSettings, folder: Path) -> dict[str, Path]:
    """Write what a build may read of the host's settings, each as a file for its owner alone, and return them by id."""
    folder.mkdir(mode=0o700)
    script = folder / "build-env"
    script.write_text(settings.script())
    files = {"build-env": script, "ca-bundle": settings.ca_bundle, "uv-config": settings.uv_config}
    return {name: path for name, path in files.items() if path}


def cache_volumes() -> list[str]:
    """Return the host's caches that a build reads and fills: uv's, and that of the pinned uv itself."""
    uv_cache = Path(
        os.environ.get("UV_CACHE_DIR") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "uv"
    )
    tools = cache_dir() / "tools"
    for folder in (uv_cache, tools):
        folder.mkdir(parents=True, exist_ok=True)
    return [f"{uv_cache}:{CACHE_IN_BUILD}/uv", f"{tools}:{CACHE_IN_BUILD}/pachyderm-s3-sync/tools"]
