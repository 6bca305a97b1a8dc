"""Two who make one bucket at the same moment: what comes second is as good."""

from typing import Any

import pytest

from pachyderm_standin.process import StandinProcess
from s3sync_operator.access import NO_AUTH, SYSTEM_TLS
from s3sync_operator.pachyderm import S3Gateway
from tests.support.syncs import unique


@pytest.mark.parametrize("code", ["BucketAlreadyOwnedByYou", "BucketAlreadyExists"])
async def test_a_bucket_that_somebody_makes_between_look_and_creation_is_there(
    standin: StandinProcess, s3: Any, gateway: S3Gateway, code: str
) -> None:
    bucket = f"master.{unique()}"
    missing = {"action": "status", "method": "HEAD", "bucket": bucket, "status": 404, "code": "NoSuchBucket"}
    made = {"action": "status", "method": "PUT", "bucket": bucket, "status": 409, "code": code}
    standin.set_faults([missing | {"times": 1}, made | {"times": 1}])
    assert await gateway.ensure_bucket(standin.endpoint, bucket, NO_AUTH, SYSTEM_TLS) is False
    s3.create_bucket(Bucket=bucket)
    standin.set_faults([missing | {"times": 1}])
    assert await gateway.ensure_bucket(standin.endpoint, bucket, NO_AUTH, SYSTEM_TLS) is False
