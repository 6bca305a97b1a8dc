"""The calls of Pachyderm's S3 gateway, through botocore; each blocks its thread."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    SSLError,
)

from s3sync_operator.access import NO_AUTH, Credentials, Tls
from s3sync_operator.api import Reason
from s3sync_operator.blotting import blot
from s3sync_operator.errors import PermanentSyncError, SyncError, TemporarySyncError
from s3sync_operator.failures import tls_error
from s3sync_operator.metrics import Metrics
from s3sync_operator.pem_files import pem_files

REGION = "us-east-1"
SHOWN = 400


class S3Calls:
    """The calls, from any thread; `timeout` (seconds) limits each connection and answer."""

    def __init__(self, timeout: int, metrics: Metrics) -> None:
        self._metrics = metrics
        self._session = botocore.session.Session()
        self._lock = threading.Lock()
        self._config = Config(
            connect_timeout=timeout,
            read_timeout=timeout,
            retries={"mode": "standard", "total_max_attempts": 2},
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
        )

    @contextmanager
    def _client(self, endpoint: str, credentials: Credentials, tls: Tls) -> Iterator[Any]:
        with pem_files(tls) as (verify, pair):
            # Making clients from one session is not thread-safe; using them is.
            with self._lock:
                client = self._session.create_client(
                    "s3",
                    region_name=REGION,
                    endpoint_url=endpoint,
                    verify=verify,
                    aws_access_key_id=credentials.access_key,
                    aws_secret_access_key=credentials.secret_key,
                    config=self._config.merge(Config(client_cert=pair)) if pair else self._config,
                )
            try:
                yield client
            finally:
                client.close()

    def ensure_bucket(self, endpoint: str, bucket: str, credentials: Credentials, tls: Tls) -> bool:
        """Make the repo and branch of a bucket if they are missing; tell whether they were."""

        def explained(error: Exception) -> SyncError:
            return gateway_error(endpoint, bucket, error, credentials)

        def counted(operation: str, call: Callable[[], bool]) -> bool:
            return self._counted(operation, call, explained)

        try:
            with self._client(endpoint, credentials, tls) as client:
                if counted("HeadBucket", lambda: _exists(client, bucket)):
                    return False
                return counted("CreateBucket", lambda: _create(client, bucket))
        except (BotoCoreError, ClientError, ValueError) as error:
            # The cause stays out of the chain: its text may quote a header, and with it a token.
            raise explained(error) from None

    def _counted(self, operation: str, call: Callable[[], bool], explain: Callable[[Exception], SyncError]) -> bool:
        begun = time.monotonic()
        result = "ok"
        try:
            answer = call()
            result = "missing" if operation == "HeadBucket" and not answer else "ok"
        except (BotoCoreError, ClientError, ValueError) as error:
            result = explain(error).reason
            raise
        finally:
            self._metrics.gateway_answered(operation, result, time.monotonic() - begun)
        return answer


def _exists(client: Any, bucket: str) -> bool:
    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        if _status(error) == 404:
            return False
        raise
    return True


def _create(client: Any, bucket: str) -> bool:
    try:
        client.create_bucket(Bucket=bucket)
    except ClientError as error:
        # Somebody else was faster, which is as good.
        if error.response["Error"]["Code"] in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            return False
        raise
    return True


def _status(error: ClientError) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])


def gateway_error(endpoint: str, bucket: str, error: Exception, credentials: Credentials = NO_AUTH) -> SyncError:
    """Return what a failed call says of the sync: the reason, and whether trying again may mend it.

    What a server says may quote what it was sent; the credentials are masked in it, before anything is cut off.
    """
    if isinstance(error, SSLError):
        if found := tls_error(_shown(str(error), credentials), endpoint, "spec.endpoint"):
            return found
        said = _shown(_cause(error), credentials)
        text = f"TLS with {endpoint} fails: {said}; check spec.endpoint and the gateway's certificate"
        return TemporarySyncError(Reason.TLS_FAILED, text)
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError | HTTPClientError):
        said = _shown(_cause(error), credentials)
        text = f"cannot reach {endpoint}: {said}; check spec.endpoint and that Pachyderm's S3 gateway runs"
        return TemporarySyncError(Reason.ENDPOINT_UNREACHABLE, text)
    if isinstance(error, ClientError):
        return _refusal(endpoint, bucket, error, credentials)
    said = _shown(str(error), credentials)
    return PermanentSyncError(Reason.BUCKET_REFUSED, f"bucket '{bucket}' at {endpoint}: {said}")


def _shown(text: str, credentials: Credentials) -> str:
    if credentials != NO_AUTH:
        text = blot(text, (credentials.access_key, credentials.secret_key))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _refusal(endpoint: str, bucket: str, error: ClientError, credentials: Credentials) -> SyncError:
    status, said = _status(error), error.response["Error"]
    text = _shown(f"{said.get('Code', status)}: {said.get('Message', '')}".rstrip(": "), credentials)
    if status in (401, 403):
        hint = "check the Secret of spec.secretRef and what its owner may do"
        return PermanentSyncError(
            Reason.ACCESS_DENIED, f"{endpoint} denies access to bucket '{bucket}' ({text}); {hint}"
        )
    if status >= 500 or status == 429:
        return TemporarySyncError(Reason.SERVER_ERROR, f"{endpoint} fails for bucket '{bucket}' ({text})")
    return PermanentSyncError(Reason.BUCKET_REFUSED, f"{endpoint} refuses bucket '{bucket}' ({text})")


def _cause(error: Exception) -> str:
    """The innermost cause says it in the fewest words, and botocore's own text repeats the address."""
    inner: Any = error.kwargs.get("error") if isinstance(error, BotoCoreError) else None
    reason = getattr(inner, "reason", None) or inner or error
    return str(getattr(reason, "args", [reason])[-1] if not isinstance(reason, str) else reason).split("): ")[-1]
