"""What goes wrong on demand over gRPC; for the stand-in alone, so that other suites can lean on it."""

import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pachyderm_standin.process import StandinProcess
from tests.support.pachd import UNSET_YEAR, Message, Pachd, add, refused
from tests.support.s3 import RawS3

KIB = 1024


def test_a_status_is_a_code_and_words_and_hits_only_what_it_matches(
    standin: StandinProcess, pachd: Pachd, master: Message, repo: str
) -> None:
    rule = {"action": "status", "method": "gRPC", "operation": "StartCommit", "bucket": f"master.{repo}.default"}
    standin.set_faults([{**rule, "code": "UNKNOWN", "message": "commit unexpectedly resulted in rollback", "times": 1}])
    with refused("UNKNOWN", "commit unexpectedly resulted in rollback"):
        pachd.api.start_commit(branch=master)
    pachd.finish(pachd.api.start_commit(branch=master))
    standin.set_faults([rule])
    with refused("UNAVAILABLE"):
        pachd.api.start_commit(branch=master)
    pachd.api.start_commit(branch=pachd.branch(repo, "other"))


def test_a_rule_for_s3_leaves_grpc_alone_and_the_other_way_round(
    standin: StandinProcess, pachd: Pachd, master: Message, raw: RawS3, bucket: str
) -> None:
    standin.set_faults([{"action": "status", "method": "GET"}])
    assert pachd.head(master).id
    assert raw.request("GET", f"/{bucket}").status == 503
    standin.set_faults([{"action": "status", "method": "gRPC"}])
    with refused("UNAVAILABLE"):
        pachd.head(master)
    assert raw.request("GET", f"/{bucket}").status == 200


def test_a_cut_stream_writes_nothing(standin: StandinProcess, pachd: Pachd, master: Message) -> None:
    commit = pachd.start(master)
    standin.set_faults([{"action": "cut", "operation": "ModifyFile", "after_bytes": 100 * KIB}])
    with refused("UNAVAILABLE", "cut the stream"):
        pachd.modify(commit, [add(f"/{number}", bytes(30 * KIB)) for number in range(10)])
    pachd.modify(commit, [add("/little", bytes(100 * KIB))])
    assert list(pachd.walk(commit)) == ["/", "/little"]


def test_a_cut_can_be_about_one_file_of_a_stream(standin: StandinProcess, pachd: Pachd, master: Message) -> None:
    commit = pachd.start(master)
    standin.set_faults([{"action": "cut", "operation": "AddFile", "key": "dir/bad"}])
    with refused("UNAVAILABLE"):
        pachd.modify(commit, [add("/dir/good", b"x"), add("/dir/bad", b"x")])
    pachd.modify(commit, [add("/dir/good", b"x")])
    assert list(pachd.walk(commit)) == ["/", "/dir/", "/dir/good"]


def test_a_cut_ends_a_download_and_a_listing(standin: StandinProcess, pachd: Pachd, master: Message) -> None:
    commit = pachd.commit(master, {f"/{number}": bytes(3_000 * KIB) for number in range(5)})
    standin.set_faults([{"action": "cut", "operation": "GetFile", "after_bytes": 2_000 * KIB}])
    got = []
    with refused("UNAVAILABLE"):
        got += list(pachd.api.get_file(file=pachd.walk(commit)["/0"].file))
    standin.set_faults([{"action": "cut", "operation": "WalkFile", "after_bytes": 500}])
    with refused("UNAVAILABLE"):
        pachd.walk(commit)


def test_a_flip_corrupts_a_byte_on_the_way_out_and_a_store_flip_what_is_kept(
    standin: StandinProcess, pachd: Pachd, master: Message
) -> None:
    commit = pachd.start(master)
    standin.set_faults([{"action": "store-flip", "operation": "AddFile", "key": "bad", "offset": 1}])
    pachd.modify(commit, [add("/bad", b"content"), add("/good", b"content")])
    standin.set_faults([{"action": "flip", "operation": "GetFile", "offset": 0, "times": 1}])
    assert pachd.read(commit, "/good") == b"bontent"
    assert pachd.files(commit) == {"/bad": b"cnntent", "/good": b"content"}


def test_a_lost_answer_means_that_it_was_done(standin: StandinProcess, pachd: Pachd, master: Message) -> None:
    standin.set_faults([{"action": "lose-answer", "operation": "StartCommit", "times": 1}])
    with refused("UNAVAILABLE", "lost the answer"):
        pachd.api.start_commit(branch=master)
    commit = pachd.head(master)
    assert pachd.api.inspect_commit(commit=commit).finishing.year == UNSET_YEAR
    standin.set_faults([{"action": "lose-answer", "operation": "FinishCommit", "times": 1}])
    with refused("UNAVAILABLE", "lost the answer"):
        pachd.api.finish_commit(commit=commit)
    assert pachd.wait(commit).error == ""


def test_a_put_whose_answer_is_lost_is_there(standin: StandinProcess, raw: RawS3, bucket: str, keys: Any) -> None:
    standin.set_faults([{"action": "lose-answer", "operation": "PutObject", "times": 1}])
    with pytest.raises(ConnectionError):
        raw.request("PUT", f"/{bucket}/file", b"x")
    assert keys() == ["file"]


def test_a_slow_finish_holds_a_commit_in_finishing(standin: StandinProcess, pachd: Pachd, master: Message) -> None:
    standin.set_faults([{"action": "latency", "operation": "FinishingCommit", "seconds": 0.5}])
    commit = pachd.start(master)
    pachd.api.finish_commit(commit=commit)
    info = pachd.api.inspect_commit(commit=commit)
    assert (info.finishing.year > UNSET_YEAR, info.finished.year) == (True, UNSET_YEAR)
    assert pachd.wait(commit).finished.year > UNSET_YEAR


def test_an_outage_refuses_both_fronts_and_keeps_what_is_stored(
    standin: StandinProcess, pachd: Pachd, master: Message, raw: RawS3, bucket: str
) -> None:
    commit = pachd.commit(master, {"/kept": b"x"})
    standin.begin_outage(60)
    with refused("UNAVAILABLE", "pachd is down"):
        pachd.head(master)
    with pytest.raises(ConnectionError):
        raw.request("GET", f"/{bucket}/kept")
    standin.begin_outage(0)
    assert pachd.head(master).id == commit.id
    assert raw.request("GET", f"/{bucket}/kept").body == b"x"


def test_an_outage_can_begin_between_two_calls(standin: StandinProcess, pachd: Pachd, master: Message) -> None:
    standin.set_faults([{"action": "outage", "operation": "FinishCommit", "seconds": 60, "times": 1}])
    commit = pachd.start(master)
    with refused("UNAVAILABLE", "pachd is down"):
        pachd.api.finish_commit(commit=commit)
    with refused("UNAVAILABLE", "pachd is down"):
        pachd.api.inspect_commit(commit=commit)
    standin.begin_outage(0)
    assert pachd.api.inspect_commit(commit=commit).finishing.year == UNSET_YEAR
    pachd.finish(commit)


def test_an_outage_breaks_a_stream_that_is_under_way(standin: StandinProcess, pachd: Pachd, master: Message) -> None:
    commit, begun = pachd.start(master), threading.Event()

    def steps() -> Any:
        yield add("/one", b"x")
        begun.wait(30)
        yield add("/two", b"x")

    def fail() -> None:
        standin.wait_for_requests("ModifyFile")
        standin.begin_outage(60)
        begun.set()

    threading.Thread(target=fail, daemon=True).start()
    with refused("UNAVAILABLE", "pachd is down"):
        pachd.modify(commit, steps())
    standin.begin_outage(0)
    assert pachd.walk(commit) == {}


def test_calls_are_counted(standin: StandinProcess, pachd: Pachd, master: Message) -> None:
    standin.reset_requests()
    pachd.commit(master, {"/file": b"x"})
    assert standin.requests()["by_operation"] == {
        "StartCommit": 1,
        "ModifyFile": 1,
        "FinishCommit": 1,
        "InspectCommit": 1,
    }


def test_what_is_not_modelled_is_refused(standin: StandinProcess, pachd: Pachd, master: Message) -> None:
    with refused("UNIMPLEMENTED"):
        list(pachd.api.list_task())
    with refused("UNIMPLEMENTED", "files from URLs"):
        pachd.api.put_file_from_url(commit=pachd.head_of(master), path="/file", url="http://nowhere.invalid/")
    with refused("UNIMPLEMENTED", "a file named /"):
        pachd.modify(pachd.head_of(master), [add("/", b"x")])


def test_a_put_into_a_slow_commit_takes_as_long_as_the_commit(
    standin: StandinProcess, raw: RawS3, bucket: str, pachd: Pachd, master: Message
) -> None:
    standin.set_faults([{"action": "latency", "operation": "FinishingCommit", "seconds": 0.3}])
    assert raw.request("PUT", f"/{bucket}/file", b"x").status == 200
    assert pachd.api.inspect_commit(commit=pachd.head_of(master)).finished.year > UNSET_YEAR


def test_a_dropped_repo_ends_every_wait(standin: StandinProcess, pachd: Pachd, master: Message) -> None:
    commit = pachd.start(master)

    def drop() -> None:
        standin.wait_for_requests("InspectCommit")
        pachd.api.delete_repo(repo=master.repo)

    threading.Thread(target=drop, daemon=True).start()
    with refused("UNKNOWN", f"{commit.id} was deleted"):
        pachd.wait(commit)


def test_s3_says_so_with_the_rules_message(standin: StandinProcess, s3: Any, bucket: str) -> None:
    standin.set_faults([{"action": "status", "operation": "ListObjects", "code": "SlowDown", "message": "not now"}])
    with pytest.raises(ClientError, match="not now"):
        s3.list_objects(Bucket=bucket)
