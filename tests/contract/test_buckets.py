from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from pachyderm_sdk.api import pfs

from tests.contract.errors import refused
from tests.support.pachd import Message, Pachd
from tests.support.pachd import refused as call_refused
from tests.support.s3 import RawS3

Put = Callable[..., dict[str, Any]]


def bucket_names(s3: Any) -> list[str]:
    return [item["Name"] for item in s3.list_buckets()["Buckets"]]


def test_creating_a_bucket_makes_repo_and_branch(s3: Any, repo: str) -> None:
    s3.create_bucket(Bucket=f"stage.{repo}")
    assert f"stage.{repo}.default" in bucket_names(s3)
    assert f"master.{repo}.default" not in bucket_names(s3)


def test_one_part_means_branch_master_of_the_default_project(s3: Any, repo: str) -> None:
    s3.create_bucket(Bucket=repo)
    for name in (repo, f"master.{repo}", f"master.{repo}.default"):
        assert s3.head_bucket(Bucket=name)["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_creating_a_bucket_again_is_refused(s3: Any, bucket: str) -> None:
    with refused("BucketAlreadyOwnedByYou", 409):
        s3.create_bucket(Bucket=bucket)


def test_a_second_branch_of_a_repo_is_a_new_bucket(s3: Any, bucket: str, repo: str) -> None:
    s3.create_bucket(Bucket=f"other.{repo}")
    s3.put_object(Bucket=f"other.{repo}", Key="file", Body=b"x")
    assert "Contents" not in s3.list_objects(Bucket=bucket)


def test_a_bucket_name_with_other_characters_is_refused(raw: RawS3) -> None:
    answer = raw.request("PUT", "/no~good")
    assert (answer.status, answer.code) == (400, "InvalidBucketName")


def test_a_bucket_name_of_too_many_parts_is_an_internal_error(raw: RawS3) -> None:
    answer = raw.request("PUT", "/a.b.c.d")
    assert (answer.status, answer.code) == (500, "InternalError")


def test_a_bucket_name_of_a_commit_alone_is_an_internal_error(raw: RawS3) -> None:
    answer = raw.request("PUT", f"/{uuid4().hex}")
    assert (answer.status, answer.code) == (500, "InternalError")


def test_a_bucket_in_a_project_that_does_not_exist_cannot_be_created(raw: RawS3, repo: str) -> None:
    answer = raw.request("PUT", f"/master.{repo}.no-such-project")
    assert (answer.status, answer.code) == (500, "InternalError")


def test_a_bucket_in_another_project_names_it(s3: Any, pachd: Pachd, repo: str) -> None:
    project = pfs.Project(name=f"project-{repo}")
    pachd.api.create_project(project=project)
    s3.create_bucket(Bucket=f"master.{repo}.{project.name}")
    assert f"master.{repo}.{project.name}" in bucket_names(s3)
    with refused("404", 404):
        s3.head_bucket(Bucket=f"master.{repo}")
    pachd.api.delete_repo(repo=pfs.Repo(name=repo, type="user", project=project))
    pachd.api.delete_project(project=project)


def test_a_missing_repo_or_branch_is_no_such_bucket(s3: Any, bucket: str, repo: str) -> None:
    for name in (f"master.{repo}-not", f"other.{repo}"):
        with refused("404", 404):
            s3.head_bucket(Bucket=name)
        with refused("NoSuchBucket", 404):
            s3.get_object(Bucket=name, Key="file")
        with refused("NoSuchBucket", 404):
            s3.put_object(Bucket=name, Key="file", Body=b"x")
        with refused("NoSuchBucket", 404):
            s3.list_objects(Bucket=name)


def test_a_bucket_with_files_is_not_deleted(s3: Any, bucket: str, put: Put) -> None:
    put("file")
    with refused("BucketNotEmpty", 409):
        s3.delete_bucket(Bucket=bucket)


def test_deleting_a_bucket_keeps_the_repo_while_it_has_branches(s3: Any, bucket: str, repo: str) -> None:
    s3.create_bucket(Bucket=f"other.{repo}")
    s3.delete_bucket(Bucket=bucket)
    assert s3.head_bucket(Bucket=f"other.{repo}")["ResponseMetadata"]["HTTPStatusCode"] == 200
    with refused("404", 404):
        s3.head_bucket(Bucket=bucket)


def test_deleting_the_last_branch_deletes_the_repo(s3: Any, pachd: Pachd, master: Message, bucket: str) -> None:
    s3.delete_bucket(Bucket=bucket)
    with call_refused("NOT_FOUND", "not found"):
        pachd.api.inspect_repo(repo=master.repo)


def test_deleting_a_missing_bucket_is_no_such_bucket(s3: Any, repo: str) -> None:
    with refused("NoSuchBucket", 404):
        s3.delete_bucket(Bucket=f"master.{repo}")


def test_the_location_is_pachyderm(s3: Any, bucket: str) -> None:
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] == "PACHYDERM"


def test_versioning_is_enabled_and_stays_so(s3: Any, bucket: str) -> None:
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    with refused("NotImplemented", 501):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})


@pytest.mark.parametrize("subresource", ["acl", "tagging", "policy", "cors", "lifecycle", "versions"])
def test_what_pachyderm_has_no_word_for_is_not_implemented(raw: RawS3, bucket: str, subresource: str) -> None:
    answer = raw.request("GET", f"/{bucket}?{subresource}")
    assert (answer.status, answer.code) == (501, "NotImplemented")


def test_other_methods_are_not_allowed(raw: RawS3, bucket: str) -> None:
    for method, path in (("DELETE", "/"), ("PATCH", f"/{bucket}/key"), ("POST", f"/{bucket}/key")):
        answer = raw.request(method, path)
        assert (answer.status, answer.code) == (405, "MethodNotAllowed")


def test_xml_answers_carry_a_request_id(raw: RawS3, bucket: str) -> None:
    answer = raw.request("GET", f"/{bucket}")
    assert answer.headers["x-amz-request-id"] == answer.headers["x-amz-id-2"] != ""
