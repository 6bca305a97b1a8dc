"""The S3 clients that people have, as processes: the AWS CLI, MinIO's mc and s3cmd, each told of one Pachyderm."""

from __future__ import annotations

import json
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from s3sync_local.client_settings import REMOTE, S3Access, client_environment
from tests.contract.conftest import Target

RUN_SECONDS = 120


@dataclass(frozen=True)
class Ended:
    """A process that ended."""

    code: int
    output: str
    errors: str


@dataclass(frozen=True)
class Program(ABC):
    """A client: `path` is its program, `home` a folder of its own for what it is told and what it keeps."""

    path: Path
    target: Target
    home: Path

    @abstractmethod
    def download(self, bucket: str, folder: Path) -> Ended:
        """Copy all of a bucket into a folder."""

    @abstractmethod
    def upload(self, file: Path, bucket: str, key: str, *flags: str) -> Ended:
        """Copy a file into a bucket, with more flags."""

    @abstractmethod
    def remove(self, bucket: str, key: str) -> Ended:
        """Remove a file from a bucket."""

    @abstractmethod
    def listing(self, bucket: str) -> tuple[Ended, dict[str, int]]:
        """List all of a bucket: each key and its size."""

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it, its errors told with its output."""
        return subprocess.Popen(
            [self.path, *arguments],
            env=self._variables(),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> Ended:
        """Run it to the end."""
        done = subprocess.run(
            [self.path, *arguments],
            env=self._variables(),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def _variables(self) -> dict[str, str]:
        target = self.target
        access = S3Access(target.endpoint, target.access_key, target.secret_key, target.ca_file)
        told = client_environment(self.path.name, access, self.home)
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **told}


class Aws(Program):
    """The AWS CLI."""

    def download(self, bucket: str, folder: Path) -> Ended:
        return self.run("s3", "cp", "--recursive", "--no-progress", f"s3://{bucket}", str(folder))

    def upload(self, file: Path, bucket: str, key: str, *flags: str) -> Ended:
        return self.run("s3", "cp", "--no-progress", *flags, str(file), f"s3://{bucket}/{key}")

    def remove(self, bucket: str, key: str) -> Ended:
        return self.run("s3", "rm", f"s3://{bucket}/{key}")

    def listing(self, bucket: str) -> tuple[Ended, dict[str, int]]:
        ended = self.run("s3", "ls", "--recursive", f"s3://{bucket}")
        lines = (line.split(maxsplit=3) for line in ended.output.splitlines())
        return ended, {key: int(size) for _, _, size, key in lines}

    def listing_v1(self, bucket: str) -> set[str]:
        """List all keys in the older way, with markers."""
        ended = self.run("s3api", "list-objects", "--bucket", bucket, "--query", "Contents[].Key", "--output", "json")
        return set(json.loads(ended.output))


class Mc(Program):
    """MinIO's client."""

    def download(self, bucket: str, folder: Path) -> Ended:
        return self.run("cp", "--recursive", "--quiet", f"{REMOTE}/{bucket}/", f"{folder}/")

    def upload(self, file: Path, bucket: str, key: str, *flags: str) -> Ended:
        return self.run("cp", "--quiet", *flags, str(file), f"{REMOTE}/{bucket}/{key}")

    def remove(self, bucket: str, key: str) -> Ended:
        return self.run("rm", f"{REMOTE}/{bucket}/{key}")

    def listing(self, bucket: str) -> tuple[Ended, dict[str, int]]:
        ended = self.run("ls", "--recursive", "--json", f"{REMOTE}/{bucket}/")
        entries = [json.loads(line) for line in ended.output.splitlines()]
        return ended, {entry["key"]: entry["size"] for entry in entries if entry["status"] == "success"}


class S3cmd(Program):
    """s3cmd."""

    def download(self, bucket: str, folder: Path) -> Ended:
        return self.run("get", "--recursive", "--no-progress", f"s3://{bucket}/", f"{folder}/")

    def upload(self, file: Path, bucket: str, key: str, *flags: str) -> Ended:
        return self.run("put", "--no-progress", *flags, str(file), f"s3://{bucket}/{key}")

    def remove(self, bucket: str, key: str) -> Ended:
        return self.run("del", f"s3://{bucket}/{key}")

    def listing(self, bucket: str) -> tuple[Ended, dict[str, int]]:
        ended = self.run("ls", "--recursive", f"s3://{bucket}")
        lines = (line.split(maxsplit=3) for line in ended.output.splitlines())
        return ended, {name.removeprefix(f"s3://{bucket}/"): int(size) for _, _, size, name in lines}


PROGRAMS: Mapping[str, type[Program]] = {"aws": Aws, "mc": Mc, "s3cmd": S3cmd}
