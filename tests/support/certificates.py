"""Certificates for servers that tests start on this machine."""

from pathlib import Path

from s3sync_local.pki import Authority


class Certificates:
    """An authority of its own and a server's certificate for `localhost` and `127.0.0.1`, as PEM files in a folder."""

    def __init__(self, folder: Path) -> None:
        authority = Authority.create("tests")
        self.authority, _ = authority.pair().write(folder, "authority")
        self.certificate, self.key = authority.server("localhost", ["localhost", "127.0.0.1"]).write(folder, "server")
