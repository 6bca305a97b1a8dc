"""Fetch the pinned `uv` from the Python package index with nothing but the standard library, and print its path.

A Debian with Python 3.11 alone has neither pip nor venv; uv is one static binary in a wheel, so it is taken from
there, checked against the digest below, and kept outside the tree. Honours UV_DEFAULT_INDEX, PIP_INDEX_URL and the
proxy and certificate variables that urllib and OpenSSL read.
"""

import hashlib
import io
import json
import os
import re
import sys
import tempfile
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

VERSION = "0.13.9"
WHEEL = f"uv-{VERSION}-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
SHA256 = "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19"
TIMEOUT_SECONDS = 60


def cache_dir() -> Path:
    """Return the folder outside the tree that holds what is slow to make (S3SYNC_CACHE, else the XDG cache)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("S3SYNC_CACHE") or Path(base) / "pachyderm-s3-sync")


def wheel_url(index: str) -> str:
    """Return the wheel's address as the index's project page gives it (PEP 691 JSON, else PEP 503 HTML)."""
    page = f"{index.rstrip('/')}/uv/"
    accept = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
    request = urllib.request.Request(page, headers={"Accept": accept})  # noqa: S310 - the index is the user's own setting
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
        body, kind = response.read().decode(), response.headers.get_content_type()
    if kind.endswith("json"):
        links = [file["url"] for file in json.loads(body)["files"] if file["filename"] == WHEEL]
    else:
        links = re.findall(rf'href="([^"]*/{re.escape(WHEEL)}[^"]*)"', body)
    if not links:
        raise SystemExit(f"{page} has no {WHEEL}; set UV_DEFAULT_INDEX to a package index that has it")
    return urllib.parse.urljoin(page, links[0])


def install(target: Path) -> None:
    """Download the wheel, check its digest, and put its binary at target in one step (rename)."""
    index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple"
    with urllib.request.urlopen(wheel_url(index), timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
        wheel = response.read()
    if (found := hashlib.sha256(wheel).hexdigest()) != SHA256:
        raise SystemExit(f"{WHEEL} has the SHA-256 {found}, expected {SHA256}; not installed")
    binary = zipfile.ZipFile(io.BytesIO(wheel)).read(f"uv-{VERSION}.data/scripts/uv")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as part:
        part.write(binary)
    Path(part.name).chmod(0o755)
    Path(part.name).rename(target)


def main() -> None:
    """Print the path of the pinned uv, installing it first where it is not there yet."""
    target = cache_dir() / "tools" / f"uv-{VERSION}" / "uv"
    if not target.exists():
        sys.stderr.write(f"==> fetching uv {VERSION} into {target.parent}\n")
        try:
            install(target)
        except OSError as error:
            raise SystemExit(
                f"cannot fetch uv from the Python package index: {error}; "
                "check the network, the proxy variables and that ca-certificates is installed"
            ) from error
    sys.stdout.write(f"{target}\n")


if __name__ == "__main__":
    main()
