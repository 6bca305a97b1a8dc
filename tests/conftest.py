"""The fixtures of all tests; each lives in the module of tests/support that says what it is."""

from tests.support.cluster import cluster, trees
from tests.support.deploy import fresh, helm
from tests.support.operator_process import installed
from tests.support.signals import signals_are_heard

__all__ = ["cluster", "fresh", "helm", "installed", "signals_are_heard", "trees"]
