"""How others' S3 clients are told of a Pachyderm: by environment and files of their own, never on a command line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

REMOTE = "pachyderm"
"""What mc and rclone call the gateway: `pachyderm/BUCKET/KEY` and `pachyderm:BUCKET/KEY`."""


@dataclass(frozen=True)
class S3Access:
    """A gateway's URL, the key pair, and the file (PEM) with the CA to trust, if it is not one of the system's."""

    endpoint: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    ca_file: str = ""


def client_environment(name: str, access: S3Access, home: Path) -> dict[str, str]:
    """Return the variables for one of `aws`, `mc`, `rclone` and `s3cmd`; files that it needs are written to its home.

    All use path style, as bucket names have dots in them.
    """
    return {"HOME": str(home), **_WRITERS[name](access, home)}


def _aws(access: S3Access, home: Path) -> dict[str, str]:
    config = home / "aws-config"
    config.write_text("[default]\ns3 =\n  addressing_style = path\n")
    return {
        "AWS_CONFIG_FILE": str(config),
        "AWS_ENDPOINT_URL": access.endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": access.access_key,
        "AWS_SECRET_ACCESS_KEY": access.secret_key,
        "AWS_EC2_METADATA_DISABLED": "true",
        # Pachyderm does not know the checksums that botocore adds by itself: over TLS it stores them with the content.
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        **({"AWS_CA_BUNDLE": access.ca_file} if access.ca_file else {}),
    }


def _mc(access: S3Access, home: Path) -> dict[str, str]:
    url = urlsplit(access.endpoint)
    keys = f"{quote(access.access_key, '')}:{quote(access.secret_key, '')}"
    return {
        "MC_CONFIG_DIR": str(home / "mc"),
        f"MC_HOST_{REMOTE}": f"{url.scheme}://{keys}@{url.netloc}",
        **({"SSL_CERT_FILE": access.ca_file} if access.ca_file else {}),
    }


def _rclone(access: S3Access, home: Path) -> dict[str, str]:
    prefix = f"RCLONE_CONFIG_{REMOTE.upper()}"
    return {
        "RCLONE_CONFIG": str(home / "rclone.conf"),
        f"{prefix}_TYPE": "s3",
        f"{prefix}_PROVIDER": "Other",
        f"{prefix}_ENDPOINT": access.endpoint,
        f"{prefix}_ACCESS_KEY_ID": access.access_key,
        f"{prefix}_SECRET_ACCESS_KEY": access.secret_key,
        f"{prefix}_FORCE_PATH_STYLE": "true",
        **({"RCLONE_CA_CERT": access.ca_file} if access.ca_file else {}),
    }


def _s3cmd(access: S3Access, home: Path) -> dict[str, str]:
    url = urlsplit(access.endpoint)
    config = home / ".s3cfg"
    config.touch(mode=0o600)
    config.write_text(
        f"[default]\naccess_key = {access.access_key}\nsecret_key = {access.secret_key}\n"
        f"host_base = {url.netloc}\nhost_bucket = {url.netloc}\nuse_https = {url.scheme == 'https'}\n"
        f"ca_certs_file = {access.ca_file}\n"
    )
    return {}


_WRITERS: Mapping[str, Callable[[S3Access, Path], dict[str, str]]] = {
    "aws": _aws,
    "mc": _mc,
    "rclone": _rclone,
    "s3cmd": _s3cmd,
}
