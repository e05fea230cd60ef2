"""What a person is told: counts, lists, and many alike reasons in few lines."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Line ends, control characters and lone surrogates: they tear a report, or can't be written at all.
TEARING = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
UNPRINTABLE = re.compile(f"[{TEARING}]")
# What is not seen, or turns around what is: soft hyphens, joiners, marks and overrides of
# direction, fillers, byte order marks, tags.
UNSEEN = (
    r"\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    r"\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f"
)
TURNING = re.compile(r"[\u202a-\u202e\u2066-\u2069]")
HIDING = re.compile(f"[{TEARING}{UNSEEN}]")
HIDING_IN_LINES = re.compile(f"(?![\n\t])[{TEARING}{UNSEEN}]")
# As errors name their file at their end, where it may hold spaces, and elsewhere.
PATH_AT_END = re.compile(r": (?:\w+://|/)[^;:]*(?=$|;)")
PATH = re.compile(r"(?:\w+://|(?<![\w.])/)[^\s;,'\"]+[^\s;,'\":)]")
NUMBER = re.compile(r"\d+(?:\.\d+)?")
EXAMPLES = 3  # clips that are named of a group
LONGEST_QUOTE = 60  # characters


def printable(text: str, in_lines: bool = False) -> str:
    """`text` with what would tear a report, or is not seen, written as JSON's escapes.

    in_lines: line ends and tabs stay.
    """
    return (HIDING_IN_LINES if in_lines else HIDING).sub(_escaped, text)


def unturned(text: str) -> str:
    """`text` with what turns its direction around as escapes, for a page that shows all else."""
    return TURNING.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return "\\u007f" if found[0] == "\x7f" else json.dumps(found[0])[1:-1]


def quoted(text: str) -> str:
    """`'text'`, cut where it is long: for a message about what somebody's file holds."""
    return repr(text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}…")


def one_line(error: BaseException, with_kind: bool = False) -> str:
    """What an error says, without line ends; its kind where it says nothing.

    with_kind: its kind before it, for what nobody wrote for people to read.
    """
    message, kind = " ".join(str(error).split()), type(error).__name__
    return f"{kind}: {message}" if with_kind and message else message or kind


def counted(number: int, noun: str) -> str:
    """`1 clip`, `2 clips`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(names: Sequence[object], most: int) -> str:
    """`a, b, c and 2 more`, of which `most` are named."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def folded(message: str, clip: str = "") -> str:
    """The message without a clip's id, paths and numbers: the same for all that say the same."""
    plain = PATH.sub("…", PATH_AT_END.sub("", message))
    plain = re.sub(rf"(?<![\w/]){re.escape(clip)}(?![\w/])", "…", plain) if clip else plain
    return NUMBER.sub("N", plain)


@dataclass(frozen=True)
class Group:
    """Clips with the same reason but for ids, paths and numbers; reason: without what differs."""

    reason: str
    clips: tuple[str, ...]

    def line(self, state: str) -> str:
        """`a: failed, reason` or, for several, `failed, reason: 214 clips, e.g. a, b, c`."""
        if len(self.clips) == 1:
            return f"{self.clips[0]}: {state}, {self.reason}"
        some = "e.g. " * (len(self.clips) > EXAMPLES) + ", ".join(self.clips[:EXAMPLES])
        return f"{state}, {self.reason}: {counted(len(self.clips), 'clip')}, {some}"


def grouped(reasons: Iterable[tuple[str, str]]) -> list[Group]:
    """Groups of (clip, reason), the largest first, else in the order of their first clips."""
    alike: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for clip, reason in reasons:
        alike[folded(reason, clip)].append((clip, reason))
    groups = [_group(shared, members) for shared, members in alike.items()]
    return sorted(groups, key=lambda group: -len(group.clips))


def _group(shared: str, members: Sequence[tuple[str, str]]) -> Group:
    said = {reason for _, reason in members}
    return Group(said.pop() if len(said) == 1 else shared, tuple(clip for clip, _ in members))
