"""What the S3 gateway's errors mean, and that no credential is in what is said of them."""

from botocore.exceptions import ClientError, EndpointConnectionError

from s3sync_operator.access import Credentials
from s3sync_operator.s3_calls import SHOWN, gateway_error

TOKEN = "b3f1c0ffee5ec4e7b3f1c0ffee5ec4e7"
CREDENTIALS = Credentials(TOKEN, TOKEN)


def refusal(status: int, message: str) -> ClientError:
    answer = {"Error": {"Code": "Odd", "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "CreateBucket")


def test_a_token_that_a_server_quotes_is_masked_before_anything_is_cut_off() -> None:
    for filler in range(SHOWN - 50, SHOWN + 10):
        for error in (
            refusal(400, "x" * filler + TOKEN),
            EndpointConnectionError(endpoint_url="e", error="x" * filler + TOKEN),
        ):
            said = gateway_error("http://pachd:30600", "master.repo", error, CREDENTIALS).message
            assert TOKEN[:8] not in said


def test_what_is_said_is_of_a_bounded_length() -> None:
    said = gateway_error("http://pachd:30600", "master.repo", refusal(500, "x" * 100_000), CREDENTIALS).message
    assert len(said) < 2 * SHOWN
