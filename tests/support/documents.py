"""The project's documents as data: headings, links, fenced blocks, and what a console block says is seen."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
PAGES = tuple(
    sorted(
        {
            *ROOT.glob("*.md"),
            *ROOT.glob("docs/**/*.md"),
            *ROOT.glob("deploy/**/*.md"),
            *ROOT.glob("job_image/*.md"),
            *ROOT.glob("tests/contract/*.md"),
        }
    )
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its kind (`yaml`, `sh`, `console`, …), the heading above it and the line where it begins."""

    page: Path
    heading: str
    kind: str
    text: str
    line: int

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass
class Page:
    """What the tests want of a page; anchors are those that GitHub gives its headings."""

    path: Path
    headings: list[tuple[int, str]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)

    @property
    def anchors(self) -> set[str]:
        """The anchors of all headings."""
        found: set[str] = set()
        for _, text in self.headings:
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            number = sum(1 for anchor in found if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", anchor))
            found.add(f"{slug}-{number}" if number else slug)
        return found


@cache
def read_page(path: Path) -> Page:
    """Return a page of Markdown, as it was when it was first asked for."""
    page, heading = Page(path), ""
    tokens = MarkdownIt("commonmark").enable("table").parse(path.read_text())
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type == "inline":
            page.links += _links(token)
            if before and before.type == "heading_open":
                heading = "".join(part.content for part in token.children or ())
                page.headings.append((int(before.tag[1:]), heading))
        if token.type == "fence":
            line = (token.map or [0])[0] + 1
            page.blocks.append(Block(path, heading, token.info.strip(), textwrap.dedent(token.content), line))
    return page


def _links(token: Token) -> Iterator[str]:
    for part in token.children or ():
        target = part.attrs.get("href") if part.type == "link_open" else part.attrs.get("src")
        if target:
            yield str(target)


def blocks(*kinds: str, of: tuple[Path, ...] = PAGES) -> list[Block]:
    """Return the pages' blocks of these kinds."""
    return [block for path in of for block in read_page(path).blocks if block.kind in kinds]


def commands(block: Block) -> list[str]:
    """Return the command lines of a shell or console block; a line that ends in `\\` goes on in the next."""
    text = block.text.replace("\\\n", " ")
    if block.kind == "console":
        return [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


@dataclass(frozen=True)
class Seen:
    """A command of a console block and what it shows there."""

    command: str
    output: str


def seen(block: Block) -> list[Seen]:
    """Return the commands of a console block, each with the output below it."""
    parts = re.split(r"(?m)^\$ ", block.text.replace("\\\n", " "))[1:]
    return [Seen(*(part.split("\n", 1))) for part in parts]


# What differs from run to run, and what stands for it where two outputs are compared.
_VARYING = (
    # How often a job tells its progress, if at all, is a matter of how long it takes.
    (r"(?m)^(copied|verified) \d+/\d+ files, .*$", ""),
    (r"\bsha256:[0-9a-f]{64}\b", "DIGEST"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UID"),
    (r"\b[0-9a-f]{32}\b", "COMMIT"),
    (r"\b[0-9a-f]{16}\b", "RUN"),
    (r"\b[0-9a-f]{8}\b", "HASH"),
    (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ(-[0-9a-f]{6}\b)?", "TIME"),
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d UTC", "TIME"),
    (r"(?<![\w.])(\d+(\.\d+)?[dhms])+\b( \(x\d+ over \w+\))?", "SPAN"),
)


def settled(text: str) -> str:
    """Return an output with what differs from run to run replaced, and runs of white space as one space a line."""
    for pattern, name in _VARYING:
        text = re.sub(pattern, name, text)
    lines = (re.sub(r"\s+", " ", line).strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def shows(printed: str, wanted: str) -> bool:
    """Tell whether an output is what a document says is seen."""
    return settled(printed) == settled(wanted)
