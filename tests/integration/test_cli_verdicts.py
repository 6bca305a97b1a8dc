"""`s3sync validate` says of each object what the real API server says of it at admission."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from s3sync_cli.checking import check
from s3sync_cli.documents import documents
from s3sync_local.cluster import LocalCluster
from s3sync_local.errors import KubectlError
from tests.integration.test_crd import CASES, IMMUTABLE

NAMESPACE = "cli-verdicts"
GOOD: dict[str, Any] = {
    "apiVersion": "sync.pachyderm.io/v1alpha1",
    "kind": "PachydermS3Sync",
    "metadata": {"name": "books", "namespace": NAMESPACE},
    "spec": {"repo": "r"},
}


@pytest.fixture(scope="module")
def api(installed: LocalCluster) -> Iterator[LocalCluster]:
    installed.create_namespace(NAMESPACE)
    yield installed
    installed.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def valid(text: str, old: Any = None) -> bool:
    (document,) = documents(text, "f.yaml")
    return check(document, None, old).valid(strict=False)


def admitted(api: LocalCluster, text: str) -> bool:
    try:
        api.kubectl("apply", "--dry-run=server", "-f", "-", stdin=text)
    except KubectlError:
        return False
    return True


def text_of(**change: Any) -> str:
    return yaml.safe_dump(GOOD | change, sort_keys=False)


def metadata(**change: Any) -> str:
    return text_of(metadata=GOOD["metadata"] | change)


def spec(**change: Any) -> str:
    return text_of(spec=GOOD["spec"] | change)


OBJECTS = {
    "the good one": (text_of(), True),
    "another version": (text_of(apiVersion="sync.pachyderm.io/v1"), False),
    "another kind": (text_of(kind="PachydermSync"), False),
    "a field beside spec": (text_of(data={}), False),
    "no spec": (yaml.safe_dump({name: part for name, part in GOOD.items() if name != "spec"}), False),
    "a spec that is a list": (text_of(spec=[]), False),
    "a name with capitals": (metadata(name="Books"), False),
    "a name with a dot": (metadata(name="books.2026"), True),
    "a name that ends in a dot": (metadata(name="books."), False),
    "the longest name": (metadata(name="b" * 253), True),
    "a name that is too long": (metadata(name="b" * 254), False),
    "a label": (metadata(labels={"app.kubernetes.io/part-of": "books_1.2"}), True),
    "a label with a space": (metadata(labels={"a": "b c"}), False),
    "a label that is too long": (metadata(labels={"a": "b" * 64}), False),
    "a label that is a number": (metadata(labels={"a": 1}), False),
    "a label's key with a space": (metadata(labels={"a b": "c"}), False),
    "an annotation of any text": (metadata(annotations={"a.example/b": "any text: of all sorts\n"}), True),
    "an annotation's key with two slashes": (metadata(annotations={"a/b/c": "d"}), False),
    "a field of metadata that does not exist": (metadata(owner="me"), False),
    "a null": (spec(branch=None), True),
    "a null within": (spec(prune={"dryRun": None}), True),
    "a null that must be there": (spec(repo=None), False),
    "a null in a list": (spec(filter={"include": [None]}), False),
    "a null in a list of objects": (spec(podTemplate={"env": [None]}), False),
    "a number as text": (spec(workers="2"), False),
    "a whole number with a point": (spec(workers=2.0), True),
    "a number with a fraction": (spec(workers=2.5), False),
    "yes": (text_of() + "  suspend: yes\n", True),
    "a key twice": (text_of() + "  repo: s\n", True),
    "a date for a name": (text_of() + "  branch: 2026-11-24\n", True),
}


@pytest.mark.parametrize("what", OBJECTS)
def test_the_verdict_is_that_of_the_api_server(api: LocalCluster, what: str) -> None:
    text, expected = OBJECTS[what]
    assert (valid(text), admitted(api, text)) == (expected, expected)


@pytest.mark.parametrize(("field", "accepted", "refused", "said"), CASES, ids=[f"{c[0]}-{c[3]}" for c in CASES])
def test_each_rule_of_the_definition_gives_the_verdict_that_it_has_there(
    field: str, accepted: Any, refused: Any, said: str
) -> None:
    """What the API server says of the same cases is shown in test_crd."""
    assert (valid(spec(**{field: accepted})), valid(spec(**{field: refused}))) == (True, False)


@pytest.mark.parametrize(("field", "before", "after"), IMMUTABLE, ids=[case[0] for case in IMMUTABLE])
def test_what_cannot_change_is_refused_by_the_object_as_it_was(field: str, before: Any, after: Any) -> None:
    assert valid(text_of(spec=after))
    assert not valid(text_of(spec=after), GOOD | {"spec": before})
