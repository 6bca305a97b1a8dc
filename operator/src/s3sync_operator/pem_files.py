"""PEM texts as files that are in memory alone: libraries that take paths only can read them, and nobody else."""

import os
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from s3sync_operator.access import CA_KEY, CERTIFICATE_KEY, PRIVATE_KEY, Tls
from s3sync_pachyderm.tls_relay import trusting_context


@contextmanager
def pem_file(text: str) -> Iterator[str]:
    """Yield the path, of this process' own, under which the text can be read."""
    descriptor = os.memfd_create("s3sync-pem", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(text.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


@contextmanager
def pem_files(tls: Tls) -> Iterator[tuple[str | bool, tuple[str, str] | None]]:
    """Yield botocore's `verify` (a CA's path, True for the system's, False for none) and `client_cert`."""
    with ExitStack() as files:
        verify: str | bool = tls.verify
        if tls.verify and tls.ca:
            verify = files.enter_context(pem_file(tls.ca))
        pair = None
        if tls.certificate and tls.key:
            pair = (files.enter_context(pem_file(tls.certificate)), files.enter_context(pem_file(tls.key)))
        yield verify, pair


def pem_problem(tls: Tls) -> str | None:
    """Return what OpenSSL finds wrong with the certificates, by their keys in a Secret, None where nothing is.

    No value is quoted.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=tls.ca or "")
    except (ssl.SSLError, ValueError):
        return f"'{CA_KEY}' holds no certificate that can be read; renew it"
    try:
        trusting(tls)
    except (ssl.SSLError, ValueError):
        text = f"'{CERTIFICATE_KEY}' and '{PRIVATE_KEY}' cannot be read, or do not fit together; renew them"
        return f"{text}. A key that wants a password is of no use"
    return None


def trusting(tls: Tls) -> ssl.SSLContext:
    """Return a context for HTTP/2 that trusts any server, and shows the client certificate if there is one."""
    with pem_files(tls) as (_, pair):
        return trusting_context(pair)
