"""A sync that fails says why, on a real kubelet too."""

from tests.e2e.conftest import OwnSyncs, create_secret
from tests.support.syncs import conditions


def test_an_input_path_that_is_not_there_stalls_at_once(syncs: OwnSyncs) -> None:
    name = syncs.apply(inputPath="nowhere")
    status = syncs.wait_stalled(name)
    assert conditions(status)["Stalled"]["reason"] == "InputPathNotFound"
    assert "nowhere" in conditions(status)["Ready"]["message"]
    assert (status["phase"], status["attempt"]) == ("Failed", 1)
    syncs.kubectl("wait", "--for=condition=Stalled", f"ps3/{name}", "--timeout=5s")


def test_an_image_that_nobody_has_is_told_while_it_is_waited_for(syncs: OwnSyncs) -> None:
    name = syncs.apply(image="registry.invalid/nobody/has-this:1")
    message = conditions(syncs.wait_reason(name, "ImagePullFailed"))["Ready"]["message"]
    assert "registry.invalid/nobody/has-this:1" in message


def test_a_secret_that_is_missing_is_named_and_waited_for(syncs: OwnSyncs) -> None:
    name = syncs.apply(secretRef={"name": "later"})
    assert "later" in conditions(syncs.wait_reason(name, "SecretNotFound"))["Ready"]["message"]
    create_secret(syncs.target, syncs.namespace, "later", syncs.target.token or "any-token")
    assert syncs.wait_ready(name)["counts"]["verified"] == 2


def test_a_gateway_that_nobody_serves_is_retried_with_a_reason(syncs: OwnSyncs) -> None:
    name = syncs.apply(endpoint="http://nobody.serves-this.svc:30600")
    status = syncs.wait_reason(name, "EndpointUnreachable")
    assert "nobody.serves-this" in conditions(status)["Ready"]["message"]
    assert status["phase"] == "Retrying"
    assert status["nextAttemptTime"]
