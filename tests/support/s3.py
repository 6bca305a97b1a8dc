"""S3 clients for tests: boto3 as the project uses it, and requests that no S3 library would send."""

import hashlib
import hmac
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from typing import Any, cast
from urllib.parse import urlsplit
from xml.etree import ElementTree

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

REGION = "us-east-1"
TIMEOUT_SECONDS = 60
STREAMING_PAYLOAD = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"


def s3_client(
    endpoint: str, access_key: str, secret_key: str | None = None, *, verify: str | None = None, **config: object
) -> Any:
    """Make a boto3 client as Pachyderm wants it: path style, no checksums of its own, few retries.

    `verify` is a file (PEM) with the certificates to trust.
    """
    settings = {"retries": {"max_attempts": 1, "mode": "standard"}, "max_pool_connections": 32, **config}
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key or access_key,
        region_name=REGION,
        verify=verify,
        config=Config(
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            connect_timeout=5,
            read_timeout=TIMEOUT_SECONDS,
            **settings,
        ),
    )


@dataclass(frozen=True)
class Answer:
    """A raw answer; `code` is the S3 error's code, if any."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        return ElementTree.fromstring(self.body).findtext("Code", "") if self.body else ""


class _StreamingAuth(S3SigV4Auth):  # type: ignore[misc] # botocore has no types.
    def payload(self, request: AWSRequest) -> str:
        return STREAMING_PAYLOAD


@dataclass(frozen=True)
class RawS3:
    """Sends signed requests exactly as given: paths are not normalised, headers not added, answers not interpreted."""

    endpoint: str
    access_key: str
    secret_key: str = ""
    ca_file: str = ""

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        sign: bool = True,
        content_length: bool = True,
    ) -> Answer:
        """Send a request with an encoded path (and query); tell the answer, redirects not followed."""
        url = self.endpoint + path
        request = AWSRequest(method=method, url=url, data=body, headers=dict(headers or {}))
        if sign:
            S3SigV4Auth(self._credentials(), "s3", REGION).add_auth(request)
        return self._send(method, path, dict(request.headers.items()), body, content_length=content_length)

    def put_in_signed_chunks(self, path: str, chunks: Iterable[bytes], *, break_signature: bool = False) -> Answer:
        """Send a PUT as a signed streaming upload."""
        request = AWSRequest(method="PUT", url=self.endpoint + path, data=b"", headers={})
        _StreamingAuth(self._credentials(), "s3", REGION).add_auth(request)
        headers = dict(request.headers.items())
        body = b"".join(_signed_chunks(self._credentials().secret_key, headers, [*chunks, b""]))
        if break_signature:
            body = body.replace(b"chunk-signature=", b"chunk-signature=0", 1)
        return self._send("PUT", path, headers, body)

    def _credentials(self) -> Credentials:
        return Credentials(self.access_key, self.secret_key or self.access_key)

    def _connection(self, scheme: str, address: str) -> HTTPConnection:
        if scheme != "https":
            return HTTPConnection(address, timeout=TIMEOUT_SECONDS)
        context = ssl.create_default_context(cafile=self.ca_file or None)
        return HTTPSConnection(address, timeout=TIMEOUT_SECONDS, context=context)

    def _send(
        self, method: str, path: str, headers: dict[str, str], body: bytes, *, content_length: bool = True
    ) -> Answer:
        parts = urlsplit(self.endpoint)
        connection = self._connection(parts.scheme, parts.netloc)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            if content_length and "Content-Length" not in headers:
                headers["Content-Length"] = str(len(body))
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders(body or None)
            response = connection.getresponse()
            answer = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, answer, response.read())
        finally:
            connection.close()


def _signed_chunks(secret: str, headers: Mapping[str, str], chunks: Iterable[bytes]) -> Iterable[bytes]:
    scope = headers["Authorization"].split("Credential=")[1].split(",")[0].partition("/")[2]
    signature = headers["Authorization"].rpartition("Signature=")[2]
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    for chunk in chunks:
        to_sign = "\n".join(
            (
                "AWS4-HMAC-SHA256-PAYLOAD",
                headers["X-Amz-Date"],
                scope,
                signature,
                hashlib.sha256().hexdigest(),
                hashlib.sha256(chunk).hexdigest(),
            )
        )
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        yield b"%x;chunk-signature=%s\r\n%s\r\n" % (len(chunk), signature.encode(), chunk)


def empty_and_delete(client: Any, bucket: str) -> None:
    """Delete a bucket with all that it holds; no error if it is gone."""
    pages = client.get_paginator("list_objects").paginate(Bucket=bucket)
    try:
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        for start in range(0, len(keys), 1000):
            batch = [{"Key": key} for key in keys[start : start + 1000]]
            client.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
        client.delete_bucket(Bucket=bucket)
    except client.exceptions.ClientError as error:
        if cast("dict[str, Any]", error.response)["Error"]["Code"] != "NoSuchBucket":
            raise
