"""Why a stage runs: what changed since the last extraction, in the words of the stages file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pipeline.messages import counted, listed
from pipeline.store.clip_rows import Row
from pipeline.store.clips_table import ClipsTable

NAMED = 3  # how many clips are named before the others are counted
Identity = Mapping[str, Any]  # a `StageIdentity`, also one that an earlier version stored


class Reason(Enum):
    """Why a clip has to be computed; the value is how a plan says so."""

    NO_COMMIT = "no commit"
    DAMAGED = "damaged commit"
    NEW = "new clips"
    CHANGED = "changed"
    FAILED = "failed before"
    RETURNED = "back in the dataset"
    UPSTREAM = "a stage it needs gave another result since"


AGAIN = (Reason.FAILED, Reason.RETURNED, Reason.UPSTREAM)  # there is a result under the clip's key


@dataclass(frozen=True)
class LastRun:
    """What the last extraction knew: every stage's identity, and the rows of the clips table."""

    identities: Mapping[str, Identity]
    rows: Sequence[Row]

    def why(
        self, stage: str, identity: Identity, rows: Sequence[Row], due: Mapping[int, Reason]
    ) -> tuple[str, ...]:
        """Why the clips that are `due`, by row number in the whole table's `rows`, have to run.

        What is new about the stage is also told where nothing is due.
        """
        last = self.identities.get(stage)
        found = of_identity(last, identity) if last else []
        if last is None and due and set(due.values()) <= {Reason.NO_COMMIT, Reason.NEW}:
            found = ["never extracted"]
        numbers = {reason: [n for n, why in due.items() if why is reason] for reason in Reason}
        if not found:  # which would be why there is no commit
            new = numbers[Reason.NO_COMMIT], numbers[Reason.NEW]
            found += self._new(*new, identity["partition"])
        damaged = {number // identity["partition"] for number in numbers[Reason.DAMAGED]}
        found += [f"{Reason.DAMAGED.value}: partition {number}" for number in sorted(damaged)]
        found += self._changed(numbers[Reason.CHANGED], rows, identity["reads"])
        for reason in AGAIN:
            if ids := [rows[number].clip.id for number in numbers[reason]]:
                found.append(f"{reason.value}: {listed(ids, NAMED)}")
        return tuple(found)

    def clips(self, table: ClipsTable) -> tuple[str, ...]:
        """How the dataset's clips changed: new ones, renamed ones, those that went or came back."""
        known = list(zip(self.rows, table.rows, strict=False))
        same = [(a, b) for a, b in known if a.clip.id == b.clip.id]
        changed = {
            "new": [row.clip.id for row in table.rows[len(self.rows) :]],
            "renamed": [f"{a.clip.id} → {b.clip.id}" for a, b in known if a.clip.id != b.clip.id],
            "removed": [b.clip.id for a, b in same if b.removed and not a.removed],
            "back": [b.clip.id for a, b in same if a.removed and not b.removed],
            "without their files now": [b.clip.id for a, b in same if b.stale and not a.stale],
            "with their files again": [b.clip.id for a, b in same if a.stale and not b.stale],
        }
        return tuple(f"{len(c)} {what} ({listed(c, NAMED)})" for what, c in changed.items() if c)

    def _new(self, uncommitted: list[int], new: list[int], partition: int) -> Iterator[str]:
        known = [number for number in uncommitted if number < len(self.rows)]
        if clips := len(new) + len(uncommitted) - len(known):
            yield f"{Reason.NEW.value}: {clips}"
        if lost := len({number // partition for number in known}):
            yield f"{Reason.NO_COMMIT.value}: {counted(lost, 'partition')}"

    def _changed(
        self, numbers: Sequence[int], rows: Sequence[Row], reads: Sequence[str]
    ) -> Iterator[str]:
        for number in numbers[:NAMED]:
            both = [*self.rows[number : number + 1], rows[number]]
            before, now = both[0].digests, both[-1].digests
            read = dict.fromkeys(part for row in both for part in row.read(reads))
            parts = [part for part in read if before.get(part) != now.get(part)]
            what = f"{' and '.join(parts)} {Reason.CHANGED.value}".lstrip()
            yield f"clip {rows[number].clip.id}: {what}"
        if (more := len(numbers) - NAMED) > 0:
            yield f"{counted(more, 'more clip')} {Reason.CHANGED.value}"


def of_identity(old: Identity, new: Identity) -> list[str]:
    """What tells two identities of a stage apart, `settings.fps: 25 → 10`, upstream included."""
    if old["fingerprint"] == new["fingerprint"]:
        return []
    found = [
        _change(name, old[name], new[name])
        for name in ("extractor", "version", "steps", "partition")
        if old[name] != new[name]
    ]
    found += _of_settings(old["settings"], new["settings"])
    if old["weights"] != new["weights"]:
        found.append(_change("weights", *_weights(old, new)))
    for need in {**old["needs"], **new["needs"]}:
        found += _of_need(need, old, new, found)
    return found


def _of_settings(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    unset = "unset"
    return [
        _change(f"settings.{name}", old.get(name, unset), new.get(name, unset))
        for name in {**old, **new}
        if old.get(name, unset) != new.get(name, unset)
    ]


def _of_need(need: str, old: Identity, new: Identity, said: Sequence[str]) -> list[str]:
    """What changed in a needed stage, without what was `said` of both alike."""
    if need not in old["needs"] or need not in new["needs"]:
        return [f"needs {need} {'no longer' if need in old['needs'] else 'now'}"]
    if old["needs"][need] == new["needs"][need]:
        return []
    if "upstream" not in old:  # a cache of an early version
        return [f"needs {need}, which changed"]
    inner = of_identity(old["upstream"][need], new["upstream"][need])
    return [
        f"needs {need}, {'which' if line.startswith('needs ') else 'whose'} {line}"
        for line in inner
        if line not in said
    ]


def _weights(old: Identity, new: Identity) -> Iterator[str]:
    """The weights of both: their digests, and where they came from if that differs too."""
    for one in (old, new):
        digest = _short(one["weights"])
        is_clear = old["weights_id"] == new["weights_id"] or one["weights_id"] == digest
        yield digest if is_clear else f"{one['weights_id']} ({digest})"


def _short(digest: str | None) -> str:
    return f"{digest[:8]}…" if digest and len(digest) > 8 else str(digest)


def _change(name: str, old: Any, new: Any) -> str:
    return f"{name}: {_shown(old)} → {_shown(new)}"


def _shown(value: Any) -> str:
    """As it would stand in the stages file."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
