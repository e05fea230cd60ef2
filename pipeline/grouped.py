"""What is wrong with many clips in few lines: reasons that say the same are told once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.prose import counted, folded, listed

EXAMPLES = 3  # clips that are named of a group


@dataclass(frozen=True)
class Group:
    """Clips with the same reason but for ids, paths and numbers; reason: without what differs."""

    reason: str
    clips: tuple[str, ...]

    def line(self, state: str) -> str:
        """`a: failed, reason` or, for several, `failed, reason: 214 clips, e.g. a, b, c`."""
        if len(self.clips) == 1:
            return f"{self.clips[0]}: {state}, {self.reason}"
        some = listed(self.clips, EXAMPLES) if len(self.clips) <= EXAMPLES else self._examples()
        return f"{state}, {self.reason}: {counted(len(self.clips), 'clip')}, {some}"

    def _examples(self) -> str:
        return "e.g. " + ", ".join(self.clips[:EXAMPLES])


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
