"""Who signed a request: AWS signatures version 4 and 2 as the gateway verifies them, where secret key = access key.

Written from what the gateway does and not with `botocore.auth`: botocore signs the requests in the tests, and a
signature that its own code verified would prove nothing.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from pachyderm_standin.roles import Grant
from pachyderm_standin.s3.errors import S3Error

MAX_SKEW = timedelta(minutes=15)
_V4 = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]*)/([^/]*)/([^/]*)/s3/aws4_request, ?SignedHeaders=([^,]+), ?Signature=(.+)"
)
_V2 = re.compile(r"AWS ([^:]*):(.*)")
_V2_SUBRESOURCES = (
    "acl",
    "lifecycle",
    "location",
    "logging",
    "notification",
    "partNumber",
    "policy",
    "requestPayment",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """The parts of a request that a signature covers: the path decoded, as bytes; query pairs decoded, in order."""

    method: str
    path: bytes
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ChunkSigning:
    """What the chunks of a signed streaming upload are verified with."""

    key: bytes
    seed_signature: str
    timestamp: str
    scope: str


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Decides who may come in. `tokens=None`: Pachyderm's auth is off, and any pair of equal keys passes.

    What a token may do is asked by gRPC alone; through the gateway each may do everything.
    """

    tokens: Mapping[str, Grant | None] | None = None

    def authenticate(self, request: SignedRequest, now: datetime) -> ChunkSigning | None:
        """Let a request in, or raise `S3Error`; tell how its chunks are signed if version 4 signed it."""
        authorization = request.headers.get("Authorization", "")
        if authorization.startswith("AWS4-HMAC-SHA256 "):
            return self._verify_v4(request, authorization, now)
        if authorization.startswith("AWS "):
            self._verify_v2(request, authorization, now)
        elif self.tokens is not None:
            raise S3Error("AccessDenied")
        return None

    def _secret_key(self, access_key: str) -> str:
        if self.tokens is not None and access_key not in self.tokens:
            raise S3Error("InvalidAccessKeyId")
        return access_key

    def _verify_v4(self, request: SignedRequest, authorization: str, now: datetime) -> ChunkSigning:
        match = _V4.fullmatch(authorization)
        if not match:
            raise S3Error("AuthorizationHeaderMalformed")
        access_key, date, region, signed_headers, signature = match.groups()
        secret = self._secret_key(access_key)
        timestamp = _timestamp(request.headers, now).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{date}/{region}/s3/aws4_request"
        canonical = _canonical_request(request, sorted(signed_headers.split(";")))
        to_sign = f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = signing_key(secret, date, region)
        if not hmac.compare_digest(_hmac(key, to_sign).hex(), signature):
            raise S3Error("SignatureDoesNotMatch")
        return ChunkSigning(key, signature, timestamp, scope)

    def _verify_v2(self, request: SignedRequest, authorization: str, now: datetime) -> None:
        match = _V2.fullmatch(authorization)
        if not match:
            raise S3Error("InvalidArgument")
        secret = self._secret_key(match[1])
        _timestamp(request.headers, now)
        digest = hmac.new(secret.encode(), _v2_string_to_sign(request).encode(), hashlib.sha1).digest()
        if not hmac.compare_digest(base64.b64encode(digest).decode(), match[2]):
            raise S3Error("AccessDenied")


def signing_key(secret: str, date: str, region: str) -> bytes:
    """Derive version 4's key for one day and region."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, "s3", "aws4_request"):
        key = _hmac(key, part)
    return key


def chunk_signature(signing: ChunkSigning, previous: str, chunk: bytes) -> str:
    """Compute the signature of one chunk of a signed streaming upload, from that of the chunk before."""
    empty = hashlib.sha256().hexdigest()
    to_sign = "\n".join(
        (
            "AWS4-HMAC-SHA256-PAYLOAD",
            signing.timestamp,
            signing.scope,
            previous,
            empty,
            hashlib.sha256(chunk).hexdigest(),
        )
    )
    return _hmac(signing.key, to_sign).hex()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _canonical_request(request: SignedRequest, signed_headers: Sequence[str]) -> str:
    headers = "".join(f"{name}:{request.headers.get(name, '').strip()}\n" for name in signed_headers)
    pairs = sorted(request.query, key=lambda pair: pair[0])
    return "\n".join(
        (
            request.method,
            quote(request.path, safe="/-_.~"),
            "&".join(f"{_quote(name)}={_quote(value)}" for name, value in pairs),
            headers,
            ";".join(signed_headers),
            request.headers.get("x-amz-content-sha256", ""),
        )
    )


def _quote(text: str) -> str:
    return quote(text, safe="-_.~")


def _v2_string_to_sign(request: SignedRequest) -> str:
    # The gateway looks for `x-amz-` headers in a spelling that they never have, so that none is ever signed.
    query = dict(reversed(request.query))
    found = [name if not query[name] else f"{name}={query[name]}" for name in _V2_SUBRESOURCES if name in query]
    resource = request.path.decode(errors="replace") + ("?" + "&".join(found) if found else "")
    get = request.headers.get
    date = get("x-amz-date") or get("date", "")
    return "\n".join((request.method, get("content-md5", ""), get("content-type", ""), date, resource))


def _timestamp(headers: Mapping[str, str], now: datetime) -> datetime:
    text = headers.get("x-amz-date") or headers.get("date", "")
    timestamp = _parse_timestamp(text)
    if timestamp is None or timestamp.timestamp() <= 0:
        raise S3Error("AccessDenied")
    if abs(now - timestamp) > MAX_SKEW:
        raise S3Error("RequestTimeTooSkewed")
    return timestamp


def _parse_timestamp(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return None
