"""Groups of tests that one process of a session runs: `pytest.mark.xdist_group`, with `--dist loadgroup`."""

import pytest
from _pytest.nodeid import NodeId


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the names of tests say their groups, by which the process that deals them out knows them.

    pytest-xdist 3.8 does so itself, but by a way of renaming that pytest 9.2 ignores, and then deals out tests as if
    they had no group (pytest-xdist's issue 1386).
    """
    if not getattr(config.option, "loadgroup", False):
        return
    for item in items:
        groups = sorted({str(mark.args[0]) for mark in item.iter_markers("xdist_group")})
        suffix = f"@{'_'.join(groups)}"
        if groups and not item.nodeid.endswith(suffix):
            item._id = NodeId.parse(f"{item.nodeid}{suffix}")
            if not item.nodeid.endswith(suffix):
                raise pytest.UsageError(f"{item.nodeid} cannot be grouped: this pytest takes no other name for a test")
