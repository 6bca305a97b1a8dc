"""The bucket as a plain S3 client sees it: tells causes apart that TensorFlow's plugin reports alike, and lists keys.

The plugin reports a refused connection, a 403 and a missing bucket all as NotFound. Nor can it list: it pages by the
continuation tokens of ListObjectsV2, which Pachyderm does not give, so that ``list_directory`` on a directory of more
than 100 files asks for the same page for ever. ListObjects (v1) with markers is what Pachyderm serves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as DeadlineError
from contextlib import closing, contextmanager
from typing import Any, TypeVar

import botocore.exceptions
import botocore.parsers
import botocore.session
import urllib3
from botocore.config import Config

from s3sync_job.compare import There
from s3sync_job.outcome import Reason, SyncError
from s3sync_job.reading import Reader, WholeReads
from s3sync_job.settings import Gateway
from s3sync_job.tls import tls_failure

PROBE_SECONDS = 20
"""The most a probe may take, name resolution and retries included: an unreachable endpoint fails a run within 30 s."""

PROBE_SILENCE_MSEC = 8_000
"""How long each of a probe's two attempts waits for an answer."""

MAX_KEYS = 10_000_000
"""A listing longer than this ends with an error instead of filling the memory."""

_DENIED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed", "ExpiredToken"}
_S3_ERRORS = (
    botocore.exceptions.BotoCoreError,
    botocore.exceptions.ClientError,
    botocore.parsers.ResponseParserError,
)
_STREAM_ERRORS: tuple[type[Exception], ...] = (*_S3_ERRORS, urllib3.exceptions.HTTPError, OSError)
_Result = TypeVar("_Result")


class GatewayClient:
    """Probes, lists and streams from buckets with signed requests; all errors but ``stream``'s are SyncErrors."""

    stream_errors = _STREAM_ERRORS

    def __init__(self, gateway: Gateway) -> None:
        self._where = f"{gateway.endpoint} (S3_ENDPOINT)"
        patience = (gateway.request_timeout_msec or PROBE_SILENCE_MSEC) / 1000
        if not gateway.verify_tls:
            # Whoever asked for that need not be told with every request.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        session = botocore.session.Session()
        session.set_credentials(gateway.access_key, gateway.secret_key, gateway.session_token)
        self._quick = _client(session, gateway, read_timeout=min(patience, PROBE_SILENCE_MSEC / 1000), attempts=2)
        self._patient = _client(session, gateway, read_timeout=120, attempts=3)

    def probe(self, bucket: str) -> None:
        """Ask for one key of the bucket.

        Raises:
            SyncError: EndpointUnreachable, AccessDenied, BucketNotFound, ServerError, TLSFailed, or InvalidArguments
                for TLS towards an endpoint that does not speak it.
        """
        self._within(PROBE_SECONDS, bucket, lambda: self._quick.list_objects(Bucket=bucket, MaxKeys=1))

    def file_at(self, bucket: str, directory: str) -> str | None:
        """Return the file, if any, that stands where ``directory`` or one above it would have to be."""
        elements = directory.split("/")
        for depth in range(1, len(elements) + 1):
            candidate = "/".join(elements[:depth])
            if candidate and self._first_key(bucket, candidate) == candidate:
                return candidate
        return None

    def list_files(self, bucket: str, prefix: str) -> dict[str, There]:
        """Return all files by key under the directory ``prefix`` (``""``: the whole bucket), with their ETags."""
        pages = self._patient.get_paginator("list_objects").paginate(
            Bucket=bucket, Prefix=f"{prefix}/" if prefix else "", PaginationConfig={"MaxItems": MAX_KEYS}
        )
        try:
            found = {
                item["Key"]: There(item["Size"], str(item.get("ETag", "")).strip('"') or None)
                for page in pages
                for item in page.get("Contents", ())
            }
        except _S3_ERRORS as error:
            raise self._classified(bucket, error) from error
        if len(found) >= MAX_KEYS:
            raise SyncError(Reason.SERVER_ERROR, f"s3://{bucket}/{prefix} holds {MAX_KEYS} keys or more.")
        return found

    @contextmanager
    def stream(self, bucket: str, key: str) -> Iterator[Reader]:
        """Open ``key`` as one GET, whatever its size; the request and its reads raise ``stream_errors``."""
        with closing(self._patient.get_object(Bucket=bucket, Key=key)["Body"]) as body:
            yield WholeReads(body)

    def _first_key(self, bucket: str, prefix: str) -> str | None:
        """Return the first key in order that starts with ``prefix``."""
        page = self._within(
            PROBE_SECONDS, bucket, lambda: self._quick.list_objects(Bucket=bucket, Prefix=prefix, MaxKeys=1)
        )
        return next((item["Key"] for item in page.get("Contents", ())), None)

    def _within(self, seconds: float, bucket: str, request: Callable[[], _Result]) -> _Result:
        """Return the request's answer; name resolution has no time-out of its own, hence the thread."""
        pool = ThreadPoolExecutor(1, thread_name_prefix="probe")
        try:
            return pool.submit(request).result(timeout=seconds)
        except DeadlineError:
            raise SyncError(
                Reason.ENDPOINT_UNREACHABLE, f"{self._where} gave no answer within {seconds:.0f} s; is the host right?"
            ) from None
        except _S3_ERRORS as error:
            raise self._classified(bucket, error) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _classified(self, bucket: str, error: Exception) -> SyncError:
        reason, message = classify(error, self._where, bucket)
        return SyncError(reason, message)


def classify(error: Exception, where: str, bucket: str) -> tuple[Reason, str]:
    """Return the reason and the message for what botocore raised on a request to ``where`` about ``bucket`` (pure)."""
    if isinstance(error, botocore.exceptions.ClientError):
        return _classify_answer(error, where, bucket)
    if isinstance(error, botocore.exceptions.ParamValidationError):
        return Reason.INVALID_ARGUMENTS, f"-b/--bucket: {bucket!r} is not a bucket's name; give <branch>.<repo>."
    if (found := tls_failure(str(error), where, "S3_USE_HTTPS")) is not None:
        return found
    if isinstance(error, botocore.parsers.ResponseParserError):
        return Reason.ENDPOINT_UNREACHABLE, f"{where} answers, but not as an S3 gateway does; is the port right?"
    return (
        Reason.ENDPOINT_UNREACHABLE,
        f"No S3 gateway answers at {where}; is it up, and are host and port right? {error}",
    )


def _classify_answer(error: botocore.exceptions.ClientError, where: str, bucket: str) -> tuple[Reason, str]:
    """Classify an HTTP answer that is an error."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    text = str(error.response.get("Error", {}).get("Message", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    answer = f"HTTP {status} {code}: {text}"
    if status in (401, 403) or code in _DENIED:
        return Reason.ACCESS_DENIED, (
            f"{where} refuses the credentials for bucket {bucket!r} ({answer}); check AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY: both are a Pachyderm auth token, or any two equal words where auth is off."
        )
    if code == "NoSuchBucket":
        return Reason.BUCKET_NOT_FOUND, (
            f"Bucket {bucket!r} does not exist at {where}; create its Pachyderm repo and branch first."
        )
    if code == "InvalidBucketName":
        return Reason.INVALID_ARGUMENTS, f"-b/--bucket: {where} refuses the name {bucket!r} ({answer})."
    if status >= 500 or code in ("SlowDown", "TooManyRequests"):
        return Reason.SERVER_ERROR, f"{where} fails on bucket {bucket!r} ({answer}); look at pachd's log."
    return Reason.ENDPOINT_UNREACHABLE, (
        f"{where} answers {answer}, not as an S3 gateway does; are the port and S3_USE_HTTPS right?"
    )


def _client(session: Any, gateway: Gateway, *, read_timeout: float, attempts: int) -> Any:
    """Return a botocore client that signs, goes to the endpoint directly as the plugin does, and gives up early."""
    config = Config(
        connect_timeout=5,
        read_timeout=read_timeout,
        retries={"mode": "standard", "total_max_attempts": attempts},
        s3={"addressing_style": "path"},
        signature_version="s3v4",
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        proxies={},
        client_cert=(gateway.client_pair.certificate, gateway.client_pair.key) if gateway.client_pair else None,
    )
    return session.create_client(
        "s3",
        region_name=gateway.region,
        endpoint_url=gateway.endpoint,
        verify=(gateway.ca_file or True) if gateway.verify_tls else False,
        config=config,
    )
