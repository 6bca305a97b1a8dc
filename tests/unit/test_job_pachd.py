"""What errors of pachd's API and of TLS mean to a run, and how streams are read."""

from __future__ import annotations

import io
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3sync_job.outcome import Reason
from s3sync_job.pachd import classify
from s3sync_job.reading import PieceReader, WholeReads, pieces_of
from s3sync_job.tls import tls_failure

WHERE = "pachd:30650 (--pachd-address)"


@pytest.mark.parametrize(
    ("code", "details", "reason"),
    [
        ("UNAUTHENTICATED", "no authentication token (try logging in)", Reason.ACCESS_DENIED),
        ("UNAUTHENTICATED", "provided auth token is corrupted or has expired", Reason.ACCESS_DENIED),
        ("UNKNOWN", "bob is not authorized to perform this operation", Reason.ACCESS_DENIED),
        ("UNAVAILABLE", "failed to connect to all addresses; Connection refused", Reason.PACHD_UNREACHABLE),
        ("UNAVAILABLE", "CERTIFICATE_VERIFY_FAILED: unable to get local issuer", Reason.CERTIFICATE_UNTRUSTED),
        ("UNAVAILABLE", "CERTIFICATE_VERIFY_FAILED: certificate has expired", Reason.CERTIFICATE_EXPIRED),
        ("UNAVAILABLE", "SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER", Reason.TLS_FAILED),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", Reason.PACHD_UNREACHABLE),
        ("UNIMPLEMENTED", "unknown service pfs_v2.API", Reason.PACHD_UNREACHABLE),
        ("NOT_FOUND", 'branch "master" not found', Reason.BUCKET_NOT_FOUND),
        ("UNKNOWN", "parent commit has not been finished", Reason.SERVER_ERROR),
        ("ABORTED", "panic: nil pointer\ngoroutine 1 [running]:\n" + "x" * 9999, Reason.SERVER_ERROR),
        ("INTERNAL", None, Reason.SERVER_ERROR),
    ],
)
def test_each_error_of_pachd_has_a_reason_and_a_short_message_that_says_where(
    code: str, details: str | None, reason: Reason
) -> None:
    found, message = classify(code, details, WHERE, "default/testrepo")
    assert found is reason
    assert "--pachd-address" in message
    assert "\n" not in message
    assert len(message) < 700


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        (
            "certificate verify failed: certificate has expired (_ssl.c:992)",
            Reason.CERTIFICATE_EXPIRED,
            "has expired",
        ),
        ("certificate verify failed: self-signed certificate", Reason.CERTIFICATE_UNTRUSTED, "CA that is not trusted"),
        ("unable to get local issuer certificate", Reason.CERTIFICATE_UNTRUSTED, "CA that is not trusted"),
        ("hostname '127.0.0.1' doesn't match 'elsewhere.example'", Reason.TLS_FAILED, "for another host"),
        ("Peer name 127.0.0.1 is not in peer certificate", Reason.TLS_FAILED, "for another host"),
        ("tlsv13 alert certificate required: ALERT_CERTIFICATE_REQUIRED", Reason.TLS_FAILED, "client's certificate"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", Reason.TLS_FAILED, "does not speak TLS"),
    ],
)
def test_each_fault_of_a_certificate_has_its_reason(text: str, reason: Reason, words: str) -> None:
    found = tls_failure(text, "pachd:1", "S3_USE_HTTPS")
    assert found is not None
    assert (found[0], words in found[1]) == (reason, True)


def test_what_does_not_speak_of_tls_is_none_of_its_faults() -> None:
    assert tls_failure("Connection refused", "pachd:1", "S3_USE_HTTPS") is None


@given(st.binary(max_size=200), st.lists(st.integers(1, 40), min_size=1), st.integers(1, 50))
@settings(deadline=None)
def test_pieces_of_any_size_are_read_in_pieces_of_any_other(content: bytes, lengths: list[int], size: int) -> None:
    def sent() -> list[bytes]:
        left, pieces = content, [b""]
        for length in [*lengths, 10_000]:
            pieces.append(left[:length])
            left = left[length:]
        return pieces

    read = list(pieces_of(PieceReader(iter(sent())), size))
    assert b"".join(read) == content
    assert all(len(piece) == size for piece in read[:-1])


def test_reads_that_fall_short_are_filled_up() -> None:
    content = random.Random(1).randbytes(1000)

    class Short(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, 7))

    reader = WholeReads(Short(content))
    assert [len(reader.read(300)) for _ in range(5)] == [300, 300, 300, 100, 0]
