import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3sync_operator.api import InvalidSpecError, Spec, parse_spec, parse_status
from s3sync_operator.rules import ENDPOINT, KEY_CHARACTERS, PATH_ELEMENTS


def test_only_the_repo_is_required() -> None:
    spec = parse_spec({"repo": "testrepo"})
    assert (spec.bucket, spec.effective_input_path) == ("master.testrepo", "testdata")


def test_the_bucket_names_the_project_only_where_it_is_not_the_default() -> None:
    assert parse_spec({"repo": "r", "branch": "dev", "project": "team"}).bucket == "dev.r.team"
    assert parse_spec({"repo": "r", "branch": "dev", "project": "default"}).bucket == "dev.r"


def test_an_absolute_input_path_keeps_its_elements_as_the_destination() -> None:
    assert parse_spec({"repo": "r", "inputPath": "/data/in/"}).destination == "s3://master.r/data/in"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("repo", "no spaces", "spec.repo: may hold only letters"),
        ("repo", "", "spec.repo: String should have at least 1 character"),
        ("repo", "r" * 64, "spec.repo: String should have at most 63 characters"),
        ("repo", "_s3gateway_multipart_", "spec.repo: is the repo that Pachyderm's S3 gateway keeps"),
        ("branch", "a" * 32, "spec.branch: looks like a commit ID"),
        ("branch", "feature.x", "spec.branch: may hold only letters"),
        ("project", "-p", "spec.project: must start with"),
        ("endpoint", "pachd:99999", "spec.endpoint: must be http://host:port"),
        ("endpoint", "ftp://pachd:1", "spec.endpoint: must be http://host:port"),
        ("endpoint", "http://user:pw@pachd:1", "spec.endpoint: must be http://host:port"),
        ("inputPath", "data/../etc", "spec.inputPath: must have no empty, '.' or '..'"),
        ("inputPath", "a//b", "spec.inputPath: must have no empty"),
        ("inputPath", "data[1]", "spec.inputPath: becomes part of the keys"),
        ("inputPath", "bücher", "spec.inputPath: becomes part of the keys"),
        ("inputPath", "data\n", "spec.inputPath: becomes part of the keys"),
        ("inputPath", "/", "spec.inputPath: must name a directory below '/'"),
        ("image", "no image", "spec.image: must be an image reference"),
        ("secretRef", {"name": "Upper"}, "spec.secretRef.name: must be the name of a Secret"),
        ("buckets", "x", "spec.buckets: Extra inputs are not permitted"),
        ("pachdAddress", "pachd", "spec.pachdAddress: must be grpc://host:port"),
        ("destinationPath", "/.s3sync", "spec.destinationPath: must not be the folder .s3sync"),
        ("filter", {"exclude": ["#x"]}, "spec.filter.exclude.0: must be one line, a pattern"),
        ("prune", {"maxDeletePercent": 101}, "spec.prune.maxDeletePercent: Input should be less than or equal to 100"),
        ("workers", 0, "spec.workers: Input should be greater than or equal to 1"),
    ],
)
def test_a_value_that_breaks_a_rule_is_refused_by_the_name_of_its_field(field: str, value: object, said: str) -> None:
    with pytest.raises(InvalidSpecError) as refusal:
        parse_spec({"repo": "testrepo", field: value})
    assert said in str(refusal.value)


def test_fields_that_do_not_fit_together_are_refused_by_the_name_of_one() -> None:
    with pytest.raises(InvalidSpecError, match=r"spec\.prune: deletes in the commit that publishes"):
        parse_spec({"repo": "r", "prune": {}, "publish": "Direct"})


@pytest.mark.parametrize(
    "endpoint",
    ["pachd.pachyderm:600", "http://10.0.0.1:30600", "https://s3.example.com", "http://[::1]:9000/", "localhost:1"],
)
def test_an_endpoint_is_a_url_or_host_and_port(endpoint: str) -> None:
    assert parse_spec({"repo": "r", "endpoint": endpoint}).endpoint == endpoint


def test_writing_a_default_out_does_not_change_what_a_spec_means() -> None:
    short = parse_spec({"repo": "r"})
    long = parse_spec({"repo": "r", "branch": "master", "project": "default", "inputPath": "testdata"})
    assert short.digest == long.digest


def test_the_digest_of_a_spec_written_for_an_older_operator_stays() -> None:
    assert parse_spec({"repo": "r"}).digest == "7e66c40a562caa91"
    old = {"repo": "r", "project": "p", "inputPath": "/d", "endpoint": "h:1", "secretRef": {"name": "s"}, "image": "i"}
    assert parse_spec(old).digest == "2e94de58468fb89d"


LATER_DEFAULTS: dict[str, object] = {
    "destinationPath": "testdata/",
    "client": "file_io",
    "verify": "Full",
    "workers": 1,
    "onInvalidPath": "Fail",
    "insecureSkipVerify": False,
    "filter": {"include": []},
}


@pytest.mark.parametrize("field", LATER_DEFAULTS)
def test_writing_a_later_fields_default_out_does_not_change_what_a_spec_means(field: str) -> None:
    assert parse_spec({"repo": "r", field: LATER_DEFAULTS[field]}).digest == parse_spec({"repo": "r"}).digest


def test_writing_out_what_a_pachd_address_or_pruning_means_does_not_change_it() -> None:
    addressed = {"repo": "r", "pachdAddress": "p:1"}
    assert parse_spec(addressed | {"publish": "Atomic"}).digest == parse_spec(addressed).digest
    full = {"prune": {"dryRun": False, "maxDeletePercent": 100}}
    assert parse_spec(addressed | full).digest == parse_spec(addressed | {"prune": {}}).digest


@pytest.mark.parametrize(
    "change",
    [
        {"inputPath": "other"},
        {"endpoint": "http://h:1"},
        {"image": "i:2"},
        {"pachdAddress": "p:1"},
        {"publish": "Direct"},
        {"client": "pfs"},
        {"verify": "None"},
        {"workers": 2},
        {"destinationPath": "/"},
        {"filter": {"include": ["*.txt"]}},
        {"filter": {"exclude": ["*.txt"]}},
        {"prune": {}},
        {"prune": {"dryRun": True}},
        {"onInvalidPath": "Skip"},
        {"certSecretRef": {"name": "ca"}},
        {"insecureSkipVerify": True},
    ],
)
def test_another_value_of_any_field_changes_what_a_spec_means(change: dict[str, object]) -> None:
    assert parse_spec({"repo": "r"}).digest != parse_spec({"repo": "r", **change}).digest


def test_a_status_of_a_newer_operator_is_read_and_its_unknown_fields_are_passed_over() -> None:
    status = parse_status({"observedGeneration": 3, "phase": "Succeeded", "attempt": 2, "newInVersionNine": {}})
    assert (status.observed_generation, status.attempt, status.finished) == (3, 2, True)


def test_a_condition_and_a_phase_of_a_newer_operator_are_left_out() -> None:
    condition = {"type": "Syncing", "status": "True", "reason": "r", "message": "m"}
    status = parse_status({"observedGeneration": 3, "phase": "Dreaming", "specDigest": "d", "conditions": [condition]})
    assert (status.spec_digest, status.phase, status.conditions) == ("d", None, ())


def test_only_what_cannot_be_read_of_a_status_is_passed_over() -> None:
    broken = {"type": "Ready", "status": "True"}
    status = parse_status(
        {"observedGeneration": 3, "specDigest": "d", "attempt": "first", "counts": {"files": 2}, "conditions": [broken]}
    )
    assert (status.observed_generation, status.spec_digest) == (3, "d")
    assert (status.attempt, status.counts, status.conditions) == (None, None, ())


@pytest.mark.parametrize("raw", [None, [], "Succeeded", {}])
def test_a_status_that_is_none_counts_as_none(raw: object) -> None:
    assert parse_status(raw).observed_generation == -1


@given(st.text(min_size=1, max_size=40))
def test_an_input_path_is_accepted_exactly_where_all_its_keys_would_be(path: str) -> None:
    refused_characters = set("*?[]{}!()@+^\\")
    fine = all(" " <= character <= "~" and character not in refused_characters for character in path)
    assert KEY_CHARACTERS.accepts(path) == fine


@given(st.lists(st.sampled_from(["a", "b c", ".", "..", "", "..."]), min_size=1, max_size=5))
def test_a_path_is_accepted_exactly_where_no_inner_element_is_empty_or_dots(elements: list[str]) -> None:
    path = "/".join(elements)
    inner = elements[1:-1]
    fine = all(element not in (".", "..") for element in elements) and "" not in inner
    if path:
        assert PATH_ELEMENTS.accepts(path) == fine


@given(st.from_regex(r"[a-z]{1,5}(\.[a-z]{1,5}){0,2}:[0-9]{1,5}", fullmatch=True))
def test_a_port_is_accepted_exactly_from_1_to_65535(endpoint: str) -> None:
    port = endpoint.rpartition(":")[2]
    assert ENDPOINT.accepts(endpoint) == (1 <= int(port) <= 65535 and not port.startswith("0"))


@given(
    st.fixed_dictionaries(
        {"repo": st.from_regex(r"[A-Za-z0-9_-]{1,63}", fullmatch=True)},
        optional={
            "branch": st.from_regex(r"[a-z]{1,12}", fullmatch=True),
            "inputPath": st.from_regex(r"/?[a-z]{1,8}(/[a-z ]{1,8}){0,3}/?", fullmatch=True),
        },
    )
)
def test_a_valid_spec_survives_being_written_and_read(raw: dict[str, str]) -> None:
    spec = parse_spec(raw)
    assert Spec.model_validate(spec.model_dump(by_alias=True, exclude_none=True)) == spec
