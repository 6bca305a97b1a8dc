"""The image catalogue: which directories of this machine stand for which container image."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError


class CatalogueError(ValueError):
    """The catalogue cannot be used; the message names the file, the field and what is wrong."""


class Image(BaseModel):
    """What stands in for one image: the machine's directories, variables and entry point that its container sees."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: tuple[Path, ...] = ()
    """Directories put first on the container's PATH."""
    workdir: Path = Path("/")
    """Where a container without ``workingDir`` starts."""
    env: dict[str, str] = {}
    entrypoint: tuple[str, ...] = ()
    """What a container without ``command`` runs."""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    images: dict[str, Image] = Field(min_length=1)


def parse_catalogue(text: str, source: str) -> dict[str, Image]:
    """Read ``images: {NAME: {path, workdir, env, entrypoint}}``; raises CatalogueError, naming source and field."""
    try:
        return _File.model_validate(yaml.safe_load(text)).images
    except yaml.YAMLError as error:
        raise CatalogueError(f"{source}: not YAML: {error}") from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'document'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        )
        raise CatalogueError(f"{source}: {faults}") from error


def find_image(images: Mapping[str, Image], name: str) -> Image | None:
    """Look an image up; ``name`` and ``name:latest`` mean the same, as for a container runtime."""
    return images.get(name) or images.get(f"{name}:latest") or images.get(name.removesuffix(":latest"))


@dataclass
class CatalogueFile:
    """The catalogue on disk, read again when it changes: an image added later is found by the next pull attempt."""

    file: Path
    _stamp: tuple[int, int] = field(default=(0, 0), init=False)
    _images: dict[str, Image] = field(default_factory=dict, init=False)

    def images(self) -> dict[str, Image]:
        """The images by name; raises CatalogueError."""
        try:
            stat = self.file.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            if stamp != self._stamp:
                self._images = parse_catalogue(self.file.read_text("utf-8"), str(self.file))
                self._stamp = stamp
        except OSError as error:
            raise CatalogueError(f"{self.file}: {error.strerror}") from error
        return self._images
