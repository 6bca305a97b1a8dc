"""What explains a failed end-to-end test: the objects, events and logs of the cluster as they are."""

from collections.abc import Iterator

from s3sync_local.errors import LocalClusterError
from s3sync_local.processes import tail
from tests.e2e.target import OPERATOR_NAMESPACE, Target

LOG_LINES = "--tail=40"
COMMANDS = (
    ("get", "nodes", "-o", "wide"),
    ("get", "pods", "-A", "-o", "wide"),
    ("get", "tfjobs", "-A"),
    ("get", "pachydermsyncs", "-A", "-o", "yaml"),
    ("get", "events", "-A", "--sort-by=.metadata.creationTimestamp"),
    ("describe", "pods", "-n", OPERATOR_NAMESPACE),
    ("logs", "-n", OPERATOR_NAMESPACE, "-l", "app.kubernetes.io/name=s3sync-operator", LOG_LINES),
    ("logs", "-n", OPERATOR_NAMESPACE, "-l", "app.kubernetes.io/name=s3sync-operator", LOG_LINES, "--previous"),
    ("logs", "-n", "kubeflow", "-l", "control-plane=kubeflow-training-operator", "--tail=10"),
)
NODE_LOGS = ("kubelet", "containerd", "kube-proxy", "kube-scheduler", "kube-controller-manager")
EVENT_LINES = 60


def everything(target: Target) -> str:
    """Return it as text; what cannot be had is said in its place."""
    return "\n".join([*_from_api(target), *_from_node(target)])


def _from_api(target: Target) -> Iterator[str]:
    for command in COMMANDS:
        yield f"--- kubectl {' '.join(command)}"
        yield "\n".join(_run(target, *command).splitlines()[-EVENT_LINES * 4 :])
    pods = "jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name}{'\\n'}{end}"
    label = "app.kubernetes.io/managed-by=s3sync-operator"
    for line in _run(target, "get", "pods", "-A", "-l", label, "-o", pods).splitlines()[-3:]:
        namespace, _, pod = line.partition(" ")
        yield f"--- kubectl logs {pod} -n {namespace}"
        yield _run(target, "logs", pod, "-n", namespace, LOG_LINES)


def _run(target: Target, *command: str) -> str:
    try:
        return target.kubectl(*command, timeout=20)
    except LocalClusterError as error:
        return f"(not to be had: {error})"


def _from_node(target: Target) -> Iterator[str]:
    for name in NODE_LOGS if target.node else ():
        log = target.node.logs / f"{name}.log" if target.node else None
        if log and log.exists():
            yield f"--- the end of {name}.log"
            yield tail(log)
