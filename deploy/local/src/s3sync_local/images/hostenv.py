"""The host's settings for package indexes, proxies and certificates, as a build's secrets: no image holds them."""

import configparser
import os
import shlex
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PREFIXES = ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_INSECURE_HOST", "UV_SYSTEM_CERTS")
NAMES = ("PIP_INDEX_URL", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
IN_BUILD = Path("/run/secrets")
CA_BUNDLE_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True)
class HostSettings:
    """What a build needs to reach the package index as its host does."""

    variables: Mapping[str, str]
    ca_bundle: Path | None
    uv_config: Path | None

    def script(self) -> str:
        """Return the variables as lines that a POSIX shell can read."""
        bundle = {"SSL_CERT_FILE": str(IN_BUILD / "ca-bundle")} if self.ca_bundle else {}
        lines = [f"{name}={shlex.quote(value)}\n" for name, value in sorted({**self.variables, **bundle}.items())]
        return "".join(lines)


def read(environ: Mapping[str, str] = os.environ, home: Path | None = None) -> HostSettings:
    """Read the environment, then pip's configuration (for the index that uv does not take from it) and uv's."""
    home = home or Path.home()
    pip = _pip_config(environ, home)
    variables = _passed_on(environ)
    uv_config = _first(_uv_configs(environ, home))
    index = environ.get("PIP_INDEX_URL") or pip.get("index-url")
    if index and uv_config is None and not {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & set(variables):
        variables["UV_DEFAULT_INDEX"] = index
    return HostSettings(variables, _ca_bundle(environ, pip), uv_config)


def _passed_on(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value for name, value in environ.items() if value and (name.startswith(PREFIXES) or name.upper() in NAMES)
    }


def _ca_bundle(environ: Mapping[str, str], pip: Mapping[str, str]) -> Path | None:
    named = [*(environ.get(name) for name in CA_BUNDLE_VARIABLES), pip.get("cert")]
    default = ssl.get_default_verify_paths().openssl_cafile
    return _first(Path(path) for path in (*named, default, "/etc/ssl/certs/ca-certificates.crt") if path)


def _pip_config(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return pip's `global` settings; files read later win, as in pip itself."""
    config = configparser.RawConfigParser()
    files = [Path("/etc/pip.conf"), home / ".pip/pip.conf", _config_home(environ, home) / "pip/pip.conf"]
    if named := environ.get("PIP_CONFIG_FILE"):
        files.append(Path(named))
    config.read(files)
    return dict(config["global"]) if config.has_section("global") else {}


def _uv_configs(environ: Mapping[str, str], home: Path) -> Iterator[Path]:
    if named := environ.get("UV_CONFIG_FILE"):
        yield Path(named)
    yield _config_home(environ, home) / "uv/uv.toml"
    yield Path("/etc/uv/uv.toml")


def _config_home(environ: Mapping[str, str], home: Path) -> Path:
    return Path(environ.get("XDG_CONFIG_HOME") or home / ".config")


def _first(paths: Iterator[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)
