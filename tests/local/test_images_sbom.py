"""The bill of materials: what an image's own metadata says, held against the lock and the schema."""

import json
from pathlib import Path

import pytest

from s3sync_local.errors import ImageError
from s3sync_local.images.archive import Archive
from s3sync_local.images.sbom import check_against_lock, compose, lock_versions, packages, python_package, validate

SITE = "opt/venv/lib/python3.11/site-packages"
STATUS = """\
Package: libssl3
Status: install ok installed
Architecture: amd64
Source: openssl (3.0.22-1)
Version: 3.0.22-1~deb12u2
Description: Secure Sockets Layer toolkit
 more of it

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
Description: no longer here
"""
FILES = {
    f"{SITE}/PyYAML-6.0.3.dist-info/METADATA": b"Name: PyYAML\nVersion: 6.0.3\nLicense: MIT\nSummary: YAML\n\ntext",
    f"{SITE}/tool/_vendor/inner-1.dist-info/METADATA": b"Name: inner\nVersion: 1\n",
    "var/lib/dpkg/status": STATUS.encode(),
    "usr/lib/os-release": b'ID=debian\nVERSION_ID="12"\n',
}
LOCK = '[[package]]\nname = "pyyaml"\nversion = "6.0.3"\n'
ARCHIVE = Archive(
    Path("image.tar"),
    "sha256:ab",
    (),
    0,
    {
        "config": {
            "Labels": {
                "org.opencontainers.image.created": "2026-01-02T03:04:05Z",
                "org.opencontainers.image.revision": "abc",
            }
        }
    },
)


def test_python_and_debian_packages_are_named_by_purl_and_only_those_that_are_installed() -> None:
    assert [str(package.purl) for package in packages(FILES)] == [
        "pkg:deb/debian/libssl3@3.0.22-1~deb12u2?arch=amd64&distro=debian-12&upstream=openssl%403.0.22-1",
        "pkg:pypi/pyyaml@6.0.3",
    ]


def test_a_whole_licence_text_is_no_licence_name() -> None:
    assert python_package(b"Name: a\nVersion: 1\nLicense: Copyright\n  and so on\n").license == ""


def test_the_bill_is_valid_and_the_same_for_the_same_image() -> None:
    text = compose("team/operator:1.0", ARCHIVE, packages(FILES))
    validate(text)
    assert text == compose("team/operator:1.0", ARCHIVE, packages(FILES))
    bill = json.loads(text)
    assert bill["metadata"]["timestamp"] == "2026-01-02T03:04:05+00:00"
    assert [component["name"] for component in bill["components"]] == ["libssl3", "pyyaml"]
    assert {"ref": "team/operator:1.0", "dependsOn": [c["bom-ref"] for c in bill["components"]]} in bill["dependencies"]


def test_a_bill_that_the_schema_refuses_is_told() -> None:
    bill = json.loads(compose("team/operator:1.0", ARCHIVE, packages(FILES)))
    bill["components"][0]["type"] = "thing"
    with pytest.raises(ImageError, match=r"not valid CycloneDX 1\.6"):
        validate(json.dumps(bill))


def test_what_the_lock_pins_is_what_may_be_installed() -> None:
    check_against_lock(packages(FILES), lock_versions(LOCK))
    with pytest.raises(ImageError, match=r"holds pyyaml 6\.0\.3, which uv\.lock does not pin so"):
        check_against_lock(packages(FILES), lock_versions(LOCK.replace("6.0.3", "6.0.2")))


def test_an_image_without_a_python_package_was_not_read_rightly() -> None:
    with pytest.raises(ImageError, match="holds no package"):
        check_against_lock([], lock_versions(LOCK))
