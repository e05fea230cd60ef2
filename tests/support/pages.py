"""The documentation's pages as what they tell a reader to do."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.paths import ROOT

AT_TOP = ("README.md", "CONTRIBUTING.md", "SECURITY.md")
PAGES = sorted([*(ROOT / name for name in AT_TOP), *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^(?:<!-- not run: (.+) -->\n)?```(\S*) ?(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
NUMBER = re.compile(r"\b[0-9a-f]{8}\b|[-+]?\d+(\.\d+)?")
INTERRUPT = "^C"


@dataclass(frozen=True)
class Block:
    """A fenced block: why it is not run, its language, the file to save it as, its text."""

    why_not: str
    language: str
    file: str
    text: str


@dataclass
class Command:
    """A line after `$ ` and the lines that stand below it as what it prints."""

    line: str
    prints: list[str] = field(default_factory=list)

    @property
    def is_interrupted(self) -> bool:
        return INTERRUPT in self.prints

    @property
    def fails(self) -> bool:
        """Whether what is shown is of a command that ends with another exit code than 0."""
        return any(re.search(r"^Error|^Stopped|failed, |not found: ", line) for line in self.prints)

    def first_not_in(self, output: str) -> str | None:
        """The first line that `output` does not go on with; None where all are there, in order.

        `…` is anything, on a line of its own too. A number is any number, also of one thing.
        """
        at = 0
        for line in self.prints:
            if line.strip() in ("…", INTERRUPT, ""):
                continue
            parts = [_pattern(part) for part in line.split("…")]
            found = re.compile(rf"^[ \t]*{'.*'.join(parts)}[ \t]*$", re.MULTILINE).search(
                output, at
            )
            if not found:
                return line
            at = found.end()
        return None


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in BLOCK.findall(page.read_text(encoding="utf-8"))]


def commands(block: Block) -> list[Command]:
    """The commands of a `console` block."""
    found: list[Command] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(Command(line[2:]))
        elif found:
            found[-1].prints.append(line)
    return found


def of_smp(page: Path) -> Iterator[list[str]]:
    """The arguments of every `smp` command in the blocks of a page."""
    for block in blocks(page):
        if block.language == "console":
            for line in block.text.splitlines():
                words = _words(line.partition("$ ")[2])
                if words[:1] == ["smp"]:
                    yield words[1:]


def links(page: Path) -> list[str]:
    """The links of a page to other files of the project."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    return [link for link in LINK.findall(text) if "://" not in link]


def _pattern(text: str) -> str:
    words = (re.escape(NUMBER.sub("\0", word)) for word in text.split())
    pattern = r"\s*".join(words).replace("partitions", "partitions?")
    return pattern.replace(re.escape("\0"), r"([-+]?\d+(\.\d+)?|[0-9a-f]{8})")


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # what a command printed, with an apostrophe in it
        return []
