"""What a ModifyFile stream comes to."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pachyderm_standin.etag import content_hash
from pachyderm_standin.model import Content, File, Tree
from pachyderm_standin.pachd.drafts import Copy, Delete, Draft, Operation, Put, copied


def file(content: bytes, datum: str = "default") -> File:
    return File((Content(content_hash(content), len(content)),), datum)


ONE, TWO = file(b"one"), file(b"two")


def after(tree: Tree, *operations: Operation) -> dict[str, File]:
    tree = Tree(tree.files)
    tree.apply(Draft(operations).changes(tree))
    return tree.files


def test_putting_appends_and_deleting_first_replaces() -> None:
    tree = Tree({"a": ONE, "b": ONE})
    assert after(tree, Put("a", TWO), Delete("b"), Put("b", TWO)) == {"a": ONE + TWO, "b": TWO}


def test_steps_are_taken_in_order() -> None:
    assert after(Tree(), Put("a", ONE), Delete("a"), Put("b", ONE), Put("b", TWO)) == {"b": ONE + TWO}


def test_a_slash_at_the_end_deletes_a_directory_with_what_the_stream_put_there() -> None:
    tree = Tree({"d/a": ONE, "d2": ONE})
    assert after(tree, Delete("/d")) == {"d/a": ONE, "d2": ONE}
    assert after(tree, Put("d/b", TWO), Delete("/d/")) == {"d2": ONE}
    assert after(tree, Delete("/")) == {}


def test_deleting_for_another_datum_deletes_nothing() -> None:
    mine = file(b"mine", "me")
    assert after(Tree({"a": mine}), Delete("a")) == {"a": mine}
    assert after(Tree({"a": mine}), Delete("a", "me")) == {}


def test_a_second_datum_makes_a_file_that_nobody_can_read() -> None:
    assert after(Tree({"a": file(b"1", "one")}), Put("a", file(b"2", "two")))["a"].rival == "two"


def test_a_copy_replaces_or_appends() -> None:
    tree = Tree({"a": ONE})
    assert after(tree, Copy([("a", TWO)], append=False)) == {"a": TWO}
    assert after(tree, Copy([("a", TWO)], append=True)) == {"a": ONE + TWO}


def test_copies_are_named_below_their_target() -> None:
    tree = Tree({"d/x": ONE, "d/s/y": TWO, "d.txt": ONE})

    def names(source: str, target: str) -> list[str]:
        return [path for path, _ in copied(tree, source, target, "default")]

    assert names("/", "/") == ["d.txt", "d/s/y", "d/x"]
    assert names("/d/", "to/") == ["to/s/y", "to/x"]
    assert names("/d/x", "/named") == ["named"]
    assert names("/missing", "/to") == []
    assert names("/d/x", "../up") == ["up"]


STEPS = st.lists(st.tuples(st.sampled_from(["put", "delete"]), st.sampled_from("abc"), st.binary(max_size=3)))


@settings(deadline=None)
@given(STEPS)
def test_a_stream_comes_to_the_same_as_its_steps_in_streams_of_their_own(steps: list[tuple[str, str, bytes]]) -> None:
    operations = [Put(path, file(content)) if kind == "put" else Delete(path) for kind, path, content in steps]
    one_by_one = Tree()
    for operation in operations:
        one_by_one.apply(Draft([operation]).changes(one_by_one))
    assert after(Tree(), *operations) == one_by_one.files
