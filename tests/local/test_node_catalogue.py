"""The image catalogue: what it accepts, what it refuses and how, and when it is read again."""

import os
from pathlib import Path

import pytest

from s3sync_local.node.catalogue import CatalogueError, CatalogueFile, Image, find_image, parse_catalogue

ONE = "images: {app:v1: {path: [/opt/app/bin], workdir: /opt/app, env: {MODE: fast}}}"


def test_an_entry_names_directories_a_working_directory_and_variables() -> None:
    image = parse_catalogue(ONE, "images.yaml")["app:v1"]
    assert image == Image(path=(Path("/opt/app/bin"),), workdir=Path("/opt/app"), env={"MODE": "fast"})


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("images: {a: {paths: [/x]}}", "images.a.paths"),
        ("images: {a: {env: {N: 1}}}", "images.a.env.N"),
        ("images: {}", "images"),
        ("pictures: {a: {}}", "images: Field required"),
        ("images: [", "not YAML"),
        ("", "document"),
    ],
)
def test_a_faulty_catalogue_is_refused_naming_the_file_and_the_field(text: str, named: str) -> None:
    with pytest.raises(CatalogueError, match=r"^images\.yaml: ") as caught:
        parse_catalogue(text, "images.yaml")
    assert named in str(caught.value)


@pytest.mark.parametrize(("asked", "found"), [("a", True), ("a:latest", True), ("a:v1", False), ("b", False)])
def test_no_tag_means_latest(asked: str, found: bool) -> None:
    assert (find_image({"a": Image()}, asked) is not None) is found
    assert (find_image({"a:latest": Image()}, asked) is not None) is found


def test_an_image_added_later_is_found_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "images.yaml"
    file.write_text(ONE)
    catalogue = CatalogueFile(file)
    assert set(catalogue.images()) == {"app:v1"}
    file.write_text("images: {app:v1: {}, app:v2: {}}")
    os.utime(file, ns=(1, 1))
    assert set(catalogue.images()) == {"app:v1", "app:v2"}


def test_a_missing_catalogue_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"gone\.yaml: No such file"):
        CatalogueFile(tmp_path / "gone.yaml").images()
