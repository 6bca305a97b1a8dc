"""Stage, verify, publish: a whole sync in one commit on the target, or none."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from pachyderm_sdk.api import pfs

from pachyderm_standin.etag import content_hash
from tests.contract.conftest import Target
from tests.support.pachd import UNSET_YEAR, Message, Pachd, add, copy, delete, refused
from tests.support.s3 import RawS3

Put = Callable[..., dict[str, Any]]


@pytest.fixture
def staging(pachd: Pachd, master: Message, repo: str) -> Message:
    """A staging branch that does not exist yet."""
    return pachd.branch(repo, f"staging-{uuid4().hex[:8]}")


def bucket_of(branch: Message, commit: str = "") -> str:
    return ".".join(part for part in (commit, branch.name, branch.repo.name) if part)


def publish(pachd: Pachd, target: Message, staged: Message, description: str = "") -> Message:
    commit = pachd.start(target, description)
    pachd.modify(commit, [copy(staged, "/", "/")])
    pachd.finish(commit)
    return commit


def test_a_sync_is_staged_in_batches_verified_published_and_cleaned(
    pachd: Pachd, s3: Any, master: Message, staging: Message, bucket: str
) -> None:
    before = pachd.commit(master, {"/there": b"before"})
    files = {f"dir/{number}.txt": f"file {number}".encode() * 100 for number in range(12)}
    batches = [dict(list(files.items())[start : start + 4]) for start in range(0, 12, 4)]
    commits = [stage_over_s3(pachd, s3, staging, batch) for batch in batches]

    verify_bucket = bucket_of(staging, commits[-1].id)
    listed = {item["Key"]: item["ETag"].strip('"') for item in s3.list_objects(Bucket=verify_bucket)["Contents"]}
    assert listed == {key: content_hash(content) for key, content in files.items()}
    for key, content in files.items():
        assert s3.get_object(Bucket=verify_bucket, Key=key)["Body"].read() == content
    # Until now nobody who looks at the target has seen anything.
    assert pachd.head(master).id == before.id

    published = publish(pachd, master, commits[-1], "resource and digest")
    pachd.api.delete_branch(branch=staging)
    for commit in reversed(commits):
        pachd.api.drop_commit(commit=commit, recursive=True)

    info = pachd.api.inspect_commit(commit=published)
    assert (info.parent_commit.id, info.description, info.error) == (before.id, "resource and digest", "")
    assert pachd.files(pachd.head(master)) == {
        "/there": b"before",
        **{f"/{key}": content for key, content in files.items()},
    }
    assert s3.get_object(Bucket=bucket, Key="dir/11.txt")["Body"].read() == files["dir/11.txt"]
    assert [branch.branch.name for branch in pachd.api.list_branch(repo=master.repo)] == ["master"]
    left = [info.commit.id for info in pachd.commits(master.repo)]
    assert left[:2] == [published.id, before.id]
    assert not {commit.id for commit in commits} & set(left)


def stage_over_s3(pachd: Pachd, s3: Any, staging: Message, files: dict[str, bytes]) -> Message:
    """One batch: open a commit, put its files with several writers, finish it."""
    commit = pachd.start(staging)
    target = bucket_of(staging, commit.id)
    with ThreadPoolExecutor(4) as writers:
        answers = writers.map(lambda item: s3.put_object(Bucket=target, Key=item[0], Body=item[1]), files.items())
        assert {answer["VersionId"] for answer in answers} == {commit.id}
    assert pachd.finish(commit).error == ""
    return commit


def test_a_stream_stages_and_the_hash_verifies(pachd: Pachd, master: Message, staging: Message) -> None:
    files = {f"/{number}": f"file {number}".encode() for number in range(50)}
    staged = pachd.commit(staging, files)
    infos = pachd.walk(staged)
    assert {path: infos[path].hash.hex() for path in files} == {
        path: content_hash(content) for path, content in files.items()
    }
    published = publish(pachd, master, staged)
    assert pachd.walk(published)["/"].hash == infos["/"].hash


def test_a_publish_can_take_files_away_in_the_same_commit(pachd: Pachd, master: Message, staging: Message) -> None:
    pachd.commit(master, {"/to/old": b"x", "/to/kept": b"old", "/beside": b"x"})
    staged = pachd.commit(staging, {"/kept": b"new", "/new": b"x"})
    commit = pachd.start(master)
    pachd.modify(commit, [delete("/to/"), copy(staged, "/", "/to")])
    pachd.finish(commit)
    assert pachd.files(commit) == {"/beside": b"x", "/to/kept": b"new", "/to/new": b"x"}


def test_a_publish_that_is_dropped_leaves_the_target_as_it_was(
    pachd: Pachd, master: Message, staging: Message, keys: Callable[[], list[str]]
) -> None:
    before = pachd.commit(master, {"/before": b"x"})
    staged = pachd.commit(staging, {"/staged": b"x"})
    commit = pachd.start(master)
    pachd.modify(commit, [copy(staged, "/", "/")])
    pachd.api.drop_commit(commit=commit)
    assert (pachd.head(master).id, keys()) == (before.id, ["before"])
    assert publish(pachd, master, staged).id != commit.id
    assert keys() == ["before", "staged"]


def test_a_target_held_open_by_another_is_seen_at_its_head(pachd: Pachd, master: Message, staging: Message) -> None:
    staged = pachd.commit(staging, {"/staged": b"x"})
    other = pachd.start(master, "somebody else's")
    with refused("UNKNOWN", "has not been finished"):
        publish(pachd, master, staged)
    head = pachd.api.inspect_commit(commit=pachd.head_of(master))
    assert (head.commit.id, head.description) == (other.id, "somebody else's")
    pachd.finish(other)
    publish(pachd, master, staged)


def test_an_open_target_takes_in_other_peoples_puts(pachd: Pachd, master: Message, put: Put) -> None:
    commit = pachd.start(master)
    assert put("theirs")["VersionId"] == commit.id
    pachd.finish(commit)
    assert list(pachd.files(commit)) == ["/theirs"]


# What S3 sees of commits that gRPC made.


def test_puts_join_an_open_head(pachd: Pachd, master: Message, put: Put, keys: Callable[[], list[str]]) -> None:
    commit = pachd.start(master)
    assert [put(f"file-{number}")["VersionId"] for number in range(3)] == [commit.id] * 3
    assert len(keys()) == 3
    pachd.finish(commit)
    assert put("later")["VersionId"] != commit.id


def test_a_put_and_a_stream_meet_in_one_commit(pachd: Pachd, master: Message, put: Put) -> None:
    commit = pachd.start(master)
    put("over-s3", b"1")
    pachd.modify(commit, [add("/over-grpc", b"2")])
    pachd.finish(commit)
    assert pachd.files(commit) == {"/over-grpc": b"2", "/over-s3": b"1"}


def test_a_put_on_a_closed_head_is_a_commit_with_one_file(pachd: Pachd, master: Message, put: Put) -> None:
    before = pachd.head(master).id
    versions = [put(f"file-{number}")["VersionId"] for number in range(2)]
    assert [info.commit.id for info in pachd.commits(master.repo)] == [*versions[::-1], before]
    assert all(info.error == "" for info in pachd.commits(master.repo))


def test_dropping_an_open_commit_with_a_put_in_it_leaves_nothing_of_the_put(
    pachd: Pachd, master: Message, put: Put, keys: Callable[[], list[str]]
) -> None:
    commit = pachd.start(master)
    put("dropped")
    pachd.api.drop_commit(commit=commit)
    assert keys() == []


def test_a_commits_bucket_is_writable_while_it_is_open(pachd: Pachd, master: Message, put: Put, bucket: str) -> None:
    commit = pachd.start(master)
    assert put("file", into=f"{commit.id}.{bucket}")["VersionId"] == commit.id
    pachd.finish(commit)
    with pytest.raises(ClientError, match="already finished"):
        put("late", into=f"{commit.id}.{bucket}")


def test_a_dropped_commits_bucket_silently_writes_to_the_branch(
    pachd: Pachd, master: Message, raw: RawS3, bucket: str, keys: Callable[[], list[str]]
) -> None:
    commit = pachd.start(master)
    pachd.api.drop_commit(commit=commit)
    answer = raw.request("PUT", f"/{commit.id}.{bucket}/trapped", b"x")
    # Whoever compares the commit that the answer names with the one meant will notice.
    assert answer.headers.get("x-amz-version-id") != commit.id
    assert keys() == ["trapped"]


def test_a_commits_bucket_outlives_its_branch_only_under_the_name_of_one_that_is_there(
    pachd: Pachd, master: Message, staging: Message, s3: Any, bucket: str
) -> None:
    staged = pachd.commit(staging, {"/staged": b"x"})
    pachd.api.delete_branch(branch=staging)
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.list_objects(Bucket=bucket_of(staging, staged.id))
    listed = s3.list_objects(Bucket=f"{staged.id}.{bucket}")
    assert [item["Key"] for item in listed["Contents"]] == ["staged"]


def test_an_open_commit_can_be_read(pachd: Pachd, master: Message, s3: Any, bucket: str, put: Put) -> None:
    put("before")
    commit = pachd.start(master)
    put("within", b"open")
    assert s3.get_object(Bucket=bucket, Key="within")["Body"].read() == b"open"
    assert s3.get_object(Bucket=f"{commit.id}.{bucket}", Key="before")["Body"].read() == b"content"
    pachd.finish(commit)


def test_a_put_while_the_parent_is_not_finished_is_answered_500_and_kept(
    target: Target, pachd: Pachd, master: Message, raw: RawS3, bucket: str
) -> None:
    # Many files keep a real one busy for long enough.
    count = 30_000
    if target.standin:
        target.standin.set_faults([{"action": "latency", "operation": "FinishingCommit", "seconds": 1}])
        count = 1
    first = pachd.start(master)
    pachd.modify(first, [add(f"/{number}", b"x") for number in range(count)])
    pachd.api.finish_commit(commit=first)
    second = pachd.start(master)
    answer = raw.request("PUT", f"/{bucket}/file", b"x")
    assert (answer.status, answer.code) == (500, "InternalError")
    assert b"unfinished" in answer.body
    # And yet the file is there.
    if target.standin:
        target.standin.clear_faults()
    pachd.wait(first)
    assert pachd.finish(second).error == ""
    assert pachd.read(second, "/file") == b"x"


def test_a_collision_stands_in_the_commit(pachd: Pachd, master: Message, raw: RawS3, bucket: str, put: Put) -> None:
    put("name")
    raw.request("PUT", f"/{bucket}/name/below", b"x")
    assert "path collision (/name/below)" in pachd.wait(pachd.head(master)).error
    put("after")
    assert pachd.wait(pachd.head(master)).error == ""


def test_a_pipelines_output_takes_no_commits(pachd: Pachd, master: Message, repo: str, raw: RawS3) -> None:
    source = f"{repo}-source"
    pachd.api.create_repo(repo=pfs.Repo(name=source, type="user"))
    output = pachd.branch(repo, "output")
    try:
        pachd.api.create_branch(branch=output, provenance=[pachd.branch(source)])
        head = pachd.api.inspect_commit(commit=pachd.head(output))
        if head.finishing.year == UNSET_YEAR:
            # A real one leaves the head open for a pipeline that does not exist here.
            pachd.api.finish_commit(commit=head.commit, force=True)
            pachd.wait(head.commit)
        with refused("UNKNOWN", "cannot start a commit on an output branch"):
            pachd.start(output)
        answer = raw.request("PUT", f"/output.{repo}/file", b"x")
        assert (answer.status, answer.code) == (400, "WriteToOutputBranch")
    finally:
        pachd.api.delete_branch(branch=output, force=True)
        pachd.api.delete_repo(repo=pfs.Repo(name=source, type="user"), force=True)
