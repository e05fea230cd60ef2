"""The documentation's pages as what they tell a reader to do."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
FENCED = re.compile(r"^```(\S*) ?(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
NUMBER = re.compile(r"\b[0-9a-f]{8}\b|-?\d+(\.\d+)?")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file that it is to be saved as, if any, and its text."""

    language: str
    file: str
    text: str


@dataclass(frozen=True)
class Command:
    """A line after `$ ` and the lines that stand below it as what it prints."""

    line: str
    prints: list[str]


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in FENCED.findall(page.read_text(encoding="utf-8"))]


def commands(block: Block) -> list[Command]:
    """The commands of a `console` block."""
    found: list[Command] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(Command(line[2:], []))
        elif found:
            found[-1].prints.append(line)
    return found


def of_smp(page: Path) -> Iterator[list[str]]:
    """The arguments of every `smp` command in the blocks of a page."""
    for block in blocks(page):
        if block.language in ("console", "sh"):
            for line in block.text.splitlines():
                words = _words(line.partition("$ ")[2] if "$ " in line else line)
                if words[:1] == ["smp"]:
                    yield words[1:]


def links(page: Path) -> list[str]:
    """The links of a page to other files of the project."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    return [link for link in LINK.findall(text) if "://" not in link]


def is_printed(line: str, output: str) -> bool:
    """Whether a line is in what was printed; `…` is anything, a number any number, also of one."""
    parts = [_pattern(part) for part in line.split("…")]
    return re.search(rf"^\s*{'.*'.join(parts)}\s*$", output, re.MULTILINE) is not None


def _pattern(text: str) -> str:
    words = (re.escape(NUMBER.sub("\0", word)) for word in text.split(" "))
    pattern = r"\s*".join(words).replace("partitions", "partitions?")
    return pattern.replace(re.escape("\0"), r"(-?\d+(\.\d+)?|[0-9a-f]{8})")


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # what a command printed, with an apostrophe in it
        return []
