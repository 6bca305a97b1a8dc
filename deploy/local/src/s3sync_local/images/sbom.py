"""The software bill of materials of a built image (CycloneDX 1.6): what its finished file system holds, checked."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.parser import BytesHeaderParser
from pathlib import Path, PurePosixPath
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from debian.deb822 import Deb822
from packageurl import PackageURL

from s3sync_local.errors import ImageError
from s3sync_local.images.archive import Archive, read_files

SCHEMA = SchemaVersion.V1_6
PATTERNS = ("*/site-packages/*.dist-info/METADATA", "var/lib/dpkg/status", "usr/lib/os-release")
INSTALLED = "install ok installed"
_LICENSE_CHARACTERS = 60
"""Old metadata has whole licence texts in its License field, which are no names."""


@dataclass(frozen=True)
class Package:
    """One installed package, as its own metadata gives it."""

    purl: PackageURL
    license: str = ""
    description: str = ""


def packages(files: Mapping[str, bytes]) -> list[Package]:
    """Return the Python and Debian packages that an image's files name, each once, sorted by purl."""
    distro = _distro(files.get("usr/lib/os-release", b"").decode())
    found = [python_package(content) for name, content in files.items() if _is_distribution(name)]
    found += debian_packages(files.get("var/lib/dpkg/status", b"").decode(), distro)
    return sorted({str(each.purl): each for each in found}.values(), key=lambda each: str(each.purl))


def _is_distribution(name: str) -> bool:
    """Tell whether it is the metadata of a package that is installed, not of one that lies inside another."""
    path = PurePosixPath(name)
    return path.name == "METADATA" and path.parent.parent.name == "site-packages"


def python_package(metadata: bytes) -> Package:
    """Return the package of a core metadata file (packaging.python.org, core-metadata)."""
    headers = BytesHeaderParser().parsebytes(metadata)
    name = str(headers["Name"]).lower().replace("_", "-").replace(".", "-")
    named = str(headers["License-Expression"] or headers["License"] or "").strip()
    license_name = named if "\n" not in named and len(named) <= _LICENSE_CHARACTERS else ""
    return Package(PackageURL("pypi", None, name, str(headers["Version"])), license_name, str(headers["Summary"] or ""))


def debian_packages(status: str, distro: str) -> list[Package]:
    """Return what dpkg's status file says is installed; the purl names the source too, by which advisories go."""
    return [
        Package(_debian_purl(fields, distro), description=str(fields.get("Description", "")).splitlines()[0])
        for fields in Deb822.iter_paragraphs(status.splitlines(), use_apt_pkg=False)
        if fields.get("Status") == INSTALLED
    ]


def _debian_purl(fields: Mapping[str, str], distro: str) -> PackageURL:
    source, _, version = fields.get("Source", fields["Package"]).partition(" ")
    upstream = f"{source}@{version.strip('()')}" if version else source
    qualifiers = {"arch": fields["Architecture"], "distro": distro}
    if upstream != fields["Package"]:
        qualifiers["upstream"] = upstream
    return PackageURL("deb", "debian", fields["Package"], fields["Version"], qualifiers)


def _distro(os_release: str) -> str:
    values = dict(line.partition("=")[::2] for line in os_release.splitlines() if "=" in line)
    return f"{values.get('ID', 'debian')}-{values.get('VERSION_ID', '')}".replace('"', "")


def lock_versions(lock: str) -> dict[str, str]:
    """Return the version of every package in the text of a uv.lock."""
    return {package["name"]: str(package.get("version", "")) for package in tomllib.loads(lock)["package"]}


def check_against_lock(found: Iterable[Package], versions: Mapping[str, str]) -> None:
    """Raise ImageError where an installed Python package is not the one that the lock pins."""
    python = [each.purl for each in found if each.purl.type == "pypi"]
    strange = [f"{purl.name} {purl.version}" for purl in python if versions.get(purl.name) != purl.version]
    if strange or not python:
        raise ImageError(f"the image holds {', '.join(strange) or 'no package'}, which uv.lock does not pin so")


def compose(reference: str, archive: Archive, found: Iterable[Package]) -> str:
    """Return the bill as JSON; the same image gives the same bill, whose time and number come from the image."""
    name, _, version = reference.rpartition(":")
    root = Component(
        name=name,
        version=version,
        type=ComponentType.CONTAINER,
        bom_ref=reference,
        description=archive.labels.get("org.opencontainers.image.description"),
        properties=[
            Property(name="pachyderm-s3-sync:image-id", value=archive.image_id),
            Property(name="pachyderm-s3-sync:revision", value=archive.labels["org.opencontainers.image.revision"]),
        ],
    )
    components = [_component(package) for package in found]
    created = datetime.fromisoformat(archive.labels["org.opencontainers.image.created"])
    bom = Bom(
        components=components,
        serial_number=uuid5(NAMESPACE_URL, archive.image_id),
        metadata=BomMetaData(component=root, timestamp=created),
    )
    bom.register_dependency(root, components)
    return make_outputter(bom, OutputFormat.JSON, SCHEMA).output_as_string(indent=2) + "\n"


def _component(package: Package) -> Component:
    licenses = [LicenseFactory().make_from_string(package.license)] if package.license else []
    return Component(
        name=package.purl.name,
        version=package.purl.version,
        type=ComponentType.LIBRARY,
        bom_ref=str(package.purl),
        purl=package.purl,
        description=package.description or None,
        licenses=licenses,
    )


def validate(text: str) -> None:
    """Raise ImageError where the text is no valid CycloneDX bill."""
    if error := JsonStrictValidator(SCHEMA).validate_str(text):
        raise ImageError(f"the SBOM is not valid CycloneDX {SCHEMA.to_version()}: {error}")


def write(reference: str, archive: Archive, lock: Path, target: Path) -> None:
    """Write the bill of an image that was built from the lock; raises ImageError where the two do not agree."""
    found = packages(read_files(archive, PATTERNS))
    check_against_lock(found, lock_versions(lock.read_text()))
    text = compose(reference, archive, found)
    validate(text)
    target.write_text(text)
