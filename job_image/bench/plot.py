"""Draws docs/benchmark.svg of docs/benchmark.json; run by a Python that has matplotlib.

python plot.py RESULTS.json PLOT.svg
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl  # type: ignore[import-not-found] # It has an environment of its own.

OURS, OTHERS, BROKEN = "#1b7f79", "#8a8f98", "#c0392b"
OUR_CLIENTS = ("pfs", "file_io", "minio,")
WIDTH, HEIGHT_A_BAR = 4.2, 0.34


def main(results: str, target: str) -> None:
    """Draw a row of plots for each server, a plot for each tree: logarithmic, hatched where the limit ended it."""
    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "s3sync", "font.size": 8, "svg.fonttype": "none"})
    from matplotlib import pyplot as plt  # noqa: PLC0415 - The backend must be chosen first.

    sections = list(json.loads(Path(results).read_text()).values())
    trees = list(dict.fromkeys(item["tree"] for section in sections for item in section["results"]))
    ways = list(dict.fromkeys(item["way"] for section in sections for item in section["results"]))
    height = (HEIGHT_A_BAR * len(ways) + 1) * len(sections)
    figure, axes = plt.subplots(
        len(sections), len(trees), figsize=(WIDTH * len(trees) * 0.75 + 1.5, height), sharey=True, squeeze=False
    )
    for section, row in zip(sections, axes, strict=True):
        for tree, axis in zip(trees, row, strict=True):
            _draw(axis, section, tree, ways)
        row[0].set_ylabel(
            section["server"].partition(";")[0] + ("\n(modelled)" if "MODELLED" in section["server"] else "")
        )
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})


def _draw(axis: Any, section: Any, tree: str, ways: list[str]) -> None:
    results = {item["way"]: item for item in section["results"] if item["tree"] == tree}
    places = [(len(ways) - number, results[way]) for number, way in enumerate(ways) if way in results]
    for place, item in places:
        ours = item["way"].startswith(OUR_CLIENTS)
        color = BROKEN if item["state"] in ("wrong", "failed") else OURS if ours else OTHERS
        hatch = "////" if item["state"] == "limit" else None
        axis.barh(place, max(item["seconds"], 0.01), color=color, hatch=hatch, edgecolor="white")
        mark = {"limit": "> ", "wrong": "wrong, ", "failed": "failed, "}.get(item["state"], "")
        axis.text(max(item["seconds"], 0.01) * 1.1, place, f"{mark}{item['seconds']:.3g} s", va="center")
    axis.set_xscale("log")
    longest = max((item["seconds"] for _, item in places), default=1)
    axis.set_xlim(0.1, longest * 12)
    axis.set_yticks(range(len(ways), 0, -1), ways)
    axis.set_title(tree)
    axis.set_xlabel("seconds (logarithmic)")
    axis.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main(*sys.argv[1:])
