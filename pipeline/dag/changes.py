"""What changed since the last extraction, in the words of the stages file and of the dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pipeline.messages import counted, listed
from pipeline.store.clips_table import ClipsTable, Row

NAMED = 3  # how many clips are named before the others are counted
Identity = Mapping[str, Any]


class Lack(Enum):
    """Why a clip has to be computed; the value is how a plan says so."""

    COMMIT = "no commit"
    DAMAGE = "damaged commit"
    CLIP = "new clips"
    CONTENT = "changed"
    SUCCESS = "failed before"
    BACK = "back in the dataset"
    UPSTREAM = "what it needs has come out otherwise since"


AGAIN = (Lack.SUCCESS, Lack.BACK, Lack.UPSTREAM)  # there is a result under the clip's key


@dataclass(frozen=True)
class Before:
    """What the last extraction knew: every stage's identity, and the rows of the clips table."""

    identities: Mapping[str, Identity]
    rows: Sequence[Row]

    def why(
        self, stage: str, identity: Identity, rows: Sequence[Row], lacking: Mapping[int, Lack]
    ) -> tuple[str, ...]:
        """Why `lacking`, row number to reason, has to run, of the whole table's `rows`.

        What is new about the stage is also told where nothing lacks.
        """
        last = self.identities.get(stage)
        found = of_identity(last, identity) if last else []
        if last is None and lacking and set(lacking.values()) <= {Lack.COMMIT, Lack.CLIP}:
            found = ["never extracted"]
        by_lack = {lack: [n for n, why in lacking.items() if why is lack] for lack in Lack}
        if not found:  # which would be why these lack
            found += self._new(by_lack[Lack.COMMIT], by_lack[Lack.CLIP], identity["partition"])
        damaged = {number // identity["partition"] for number in by_lack[Lack.DAMAGE]}
        found += [f"{Lack.DAMAGE.value}: partition {number}" for number in sorted(damaged)]
        found += self._changed(by_lack[Lack.CONTENT], rows, identity["reads"])
        for lack in AGAIN:
            if ids := [rows[number].clip.id for number in by_lack[lack]]:
                found.append(f"{lack.value}: {listed(ids, NAMED)}")
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
        }
        return tuple(f"{len(c)} {what} ({listed(c, NAMED)})" for what, c in changed.items() if c)

    def _new(self, uncommitted: list[int], new: list[int], partition: int) -> Iterator[str]:
        known = [number for number in uncommitted if number < len(self.rows)]
        if clips := len(new) + len(uncommitted) - len(known):
            yield f"{Lack.CLIP.value}: {clips}"
        if lost := len({number // partition for number in known}):
            yield f"{Lack.COMMIT.value}: {counted(lost, 'partition')}"

    def _changed(
        self, numbers: Sequence[int], rows: Sequence[Row], reads: Sequence[str]
    ) -> Iterator[str]:
        for number in numbers[:NAMED]:
            now = rows[number].digests
            before = self.rows[number].digests if number < len(self.rows) else now
            parts = [part for part in reads if before.get(part) != now.get(part)]
            what = f"{' and '.join(parts)} {Lack.CONTENT.value}".lstrip()
            yield f"clip {rows[number].clip.id}: {what}"
        if (more := len(numbers) - NAMED) > 0:
            yield f"{counted(more, 'more clip')} {Lack.CONTENT.value}"


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
    """What changed in a stage that is needed, but for what was `said` of all stages alike."""
    if need not in old["needs"] or need not in new["needs"]:
        return [f"needs {need} {'no longer' if need in old['needs'] else 'now'}"]
    if old["needs"][need] == new["needs"][need]:
        return []
    if "upstream" not in old:  # a cache of the first days
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
