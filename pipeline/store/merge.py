"""A dataset as it is now, brought together with the table that its cache has of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from pipeline.dataset.clip import MEDIA, Clip
from pipeline.dataset.load import Dataset
from pipeline.dataset.region import told
from pipeline.dataset.span import WHOLE
from pipeline.errors import DataError, UserError
from pipeline.io import hashing
from pipeline.io.file_digests import UNREADABLE, FileDigests, Seen, glance
from pipeline.messages import counted, listed, printable
from pipeline.store.clip_rows import OF_CLIP, Row, clip_columns
from pipeline.store.clips_table import ClipsTable

NOTHING = (None, UNREADABLE, hashing.of_bytes(b""))  # digests of media that hold no content
THREADS = 8  # a network disk answers many questions at once
NAMED = 3  # clips; the others are counted
NEVER = (-1, -1)  # the stamp of no file

Part = tuple[str, str]  # the id of a clip, and one of MEDIA
Place = TypeVar("Place")
Found = TypeVar("Found")


def merged(
    known: ClipsTable | None,
    dataset: Dataset,
    name: str | None = None,
    drop_missing: bool = False,
    adopt: bool = False,
) -> ClipsTable:
    """The known table brought up to date: known clips keep their rows, new ones are appended.

    A new clip with the content of one that is gone is that clip under another name, and takes its
    row. A clip whose file is gone, empty or unreadable keeps the digest that it had and is stale.

    name: what the cache calls the dataset, where that is not the dataset's own name. drop_missing:
    take such a clip as it is, so that its features go. adopt: take over a cache that was extracted
    from another dataset. Raises UserError where it is another's otherwise, or was imported.
    """
    seen, name = _seen(dataset.clips), name or dataset.name
    if known and _is_as_known(known, dataset, seen):
        return replace(known, name=name, declared=dataset.declared)
    rows = _rows(known, _fresh(dataset.clips, seen), drop_missing)
    if known:
        _require_own(known, dataset, rows, adopt)
    language = known.language if known else dataset.language
    return ClipsTable(name, language, str(dataset.root), rows, declared=dataset.declared)


def in_step(known: ClipsTable, dataset: Dataset) -> ClipsTable:
    """The known table with the dataset's labels, splits and files as they are now, for a reader.

    Only files that look otherwise than when they were extracted are read.
    Raises UserError where the cache is another dataset's.
    """
    seen = _seen(dataset.clips, known)
    if _is_as_known(known, dataset, seen):
        return replace(known, declared=dataset.declared)
    rows = _rows(known, _fresh(dataset.clips, seen))
    _require_own(known, dataset, rows)
    return replace(known, root=str(dataset.root), rows=rows, declared=dataset.declared)


def require_current(known: ClipsTable, now: ClipsTable) -> None:
    """Raise DataError where clips of `now` are new, or are not what was extracted."""
    new = [row.clip.id for row in now.rows[len(known.rows) :]]
    pairs = zip(known.rows, now.rows, strict=False)
    changed = [row.clip.id for was, row in pairs if not row.removed and row.digests != was.digests]
    kinds = ((changed, "changed"), (new, "came"))
    told = [f"{counted(len(c), 'clip')} {what} ({listed(c, NAMED)})" for c, what in kinds if c]
    if told:
        raise DataError(f"{now.name}: {' and '.join(told)} since `smp extract`; run it again")


def _rows(known: ClipsTable | None, fresh: Sequence[Row], drop_missing: bool = False) -> list[Row]:
    old = known.rows if known else ()
    by_id = {row.clip.id: row for row in fresh}
    known_ids = {row.clip.id for row in old}
    kept = [_brought_up(row, by_id.get(row.clip.id), drop_missing) for row in old]
    return _renamed(kept, [row for row in fresh if row.clip.id not in known_ids])


def _brought_up(row: Row, fresh: Row | None, drop_missing: bool) -> Row:
    if fresh is None:
        return replace(row, removed=True)
    fresh = replace(fresh, known_as=row.known_as) if row.known_as else fresh
    return fresh if drop_missing else _standing(row, fresh)


def _standing(row: Row, fresh: Row) -> Row:
    """The fresh row, with what was known of the media that are there no more."""
    lost = [
        part
        for part in MEDIA
        if row.digests.get(part) not in NOTHING and fresh.digests.get(part) in NOTHING
    ]
    if not lost:
        return fresh
    # A part that is named no more is gone too: so a layout tells that its whole folder is.
    paths = {part: getattr(fresh.clip, part) or getattr(row.clip, part) for part in lost}
    how = {None: "is gone", UNREADABLE: "can't be read"}
    return replace(
        fresh,
        clip=replace(fresh.clip, **paths),
        digests={**fresh.digests, **{part: row.digests[part] for part in lost}},
        files={**fresh.files, **{part: row.files[part] for part in lost if part in row.files}},
        stale={
            part: printable(f"{part} {how.get(fresh.digests.get(part), 'is empty')}: {paths[part]}")
            for part in lost
        },
    )


def _renamed(kept: list[Row], added: list[Row]) -> list[Row]:
    """All rows, each added one in the place of a removed one of the same content, if any."""
    gone: dict[str, list[int]] = {}
    for number, row in enumerate(kept):
        if row.removed:
            gone.setdefault(hashing.of_json(row.digests), []).append(number)
    rows = list(kept)
    for row in added:
        places = gone.get(hashing.of_json(row.digests)) if gone else None
        if places:
            place = places.pop(0)
            rows[place] = replace(row, known_as=kept[place].known_as or kept[place].clip.id)
        else:
            rows.append(row)
    return rows


def holds(known: ClipsTable, dataset: Dataset) -> bool:
    """Whether the cache is of this dataset, which may have moved and changed in part."""
    fresh = _fresh(dataset.clips, _seen(dataset.clips, known))
    return not known.imported and _is_own(known, dataset, _rows(known, fresh))


def _is_own(known: ClipsTable, dataset: Dataset, rows: Sequence[Row]) -> bool:
    """Whether the table, brought up to `rows`, is still of the same dataset.

    One that moved is the same as long as half of its clips are what they were.
    """
    has_moved = known.root != str(dataset.root)
    if dataset.is_open:
        return not has_moved
    ids = set(known.ids)
    is_renewed = ids.isdisjoint(clip.id for clip in dataset.clips)
    is_much = 2 * _same(known, rows) >= min(len(dataset.clips), len(known.present))
    return is_much or not (has_moved or is_renewed)


def _same(known: ClipsTable, rows: Sequence[Row]) -> int:
    """How many clips are as they were."""
    pairs = zip(known.rows, rows, strict=False)
    return sum(not now.removed and now.digests == was.digests for was, now in pairs)


def _require_own(
    known: ClipsTable, dataset: Dataset, rows: Sequence[Row], adopt: bool = False
) -> None:
    """Raise UserError where the cache is another dataset's."""
    way = f"give {dataset.root} another name with --name, or another --cache"
    if known.imported:
        raise UserError(f"the cache of {known.name!r} was imported from {known.root}; {way}")
    if not adopt and not _is_own(known, dataset, rows):
        raise UserError(
            f"the cache of {known.name!r} holds another dataset: of the "
            f"{counted(len(dataset.clips), 'clip')} in {dataset.root}, {_same(known, rows)} are as "
            f"they were in {known.root}; {way}, or take this cache over with `smp extract --adopt`"
        )


def _is_as_known(known: ClipsTable, dataset: Dataset, seen: Mapping[Part, Seen]) -> bool:
    """Whether the table would stay as it is: no clip came, went or changed, and no file did.

    It is what a run with nothing to do comes to, and is told without an object a row.
    """
    if known.imported or known.root != str(dataset.root):
        return False
    of_clips = {name: known.columns[name] for name in OF_CLIP if name in known.columns}
    if not {"removed", "stale"}.isdisjoint(known.columns):
        return False
    return clip_columns(dataset.clips, known.root) == of_clips and all(
        known.rows[number].files.get(part) == seen[clip.id, part]
        for number, clip in enumerate(dataset.clips)
        for part in MEDIA
        if getattr(clip, part)
    )


def _seen(clips: Sequence[Clip], known: ClipsTable | None = None) -> dict[Part, Seen]:
    """Every file; of those that look as they did when they became `known`, none is read."""
    paths = {
        (clip.id, part): path for clip in clips for part in MEDIA if (path := getattr(clip, part))
    }
    glanced = _glanced(paths, known) if known else {}
    seen = {at: file for at, file in glanced.items() if file}
    if unread := {path: at for at, path in paths.items() if at not in seen}:  # once for all spans
        with FileDigests() as digests:
            read = _side_by_side(list(unread), digests.see)
        seen |= {at: read[path] for at, path in paths.items() if at not in seen}
    return seen


def _fresh(clips: Sequence[Clip], seen: Mapping[Part, Seen]) -> list[Row]:
    """A row of each clip."""
    rows = []
    for clip in clips:
        files = {part: file for part in MEDIA if (file := seen.get((clip.id, part)))}
        found = {part: file.digest for part, file in files.items() if file.digest}
        cuts = {"span": "" if clip.span == WHOLE else str(clip.span), "region": told(clip.region)}
        cut = {part: what for part, what in cuts.items() if files and what}
        rows.append(Row(clip, {**found, **cut, "text": hashing.of_text(clip.text)}, files=files))
    return rows


def _glanced(paths: Mapping[Part, str], known: ClipsTable) -> dict[Part, Seen | None]:
    """What can be told of the files by their sizes and times, None of those that must be read."""
    numbers = {id: number for number, id in enumerate(known.ids)}

    def look(at: Part) -> Seen | None:
        number, part = numbers.get(at[0]), at[1]
        row = None if number is None else known.rows[number]
        digest = row.digests.get(part) if row else None
        if row is None or digest in (None, UNREADABLE):
            return glance(paths[at], Seen(paths[at], NEVER, None))
        return glance(paths[at], row.files.get(part) or Seen(paths[at], None, digest))

    return _side_by_side(list(paths), look)


def _side_by_side(places: Sequence[Place], look: Callable[[Place], Found]) -> dict[Place, Found]:
    """What `look` finds at each place; a task a file would cost more than most looks do."""
    portions = [places[start::THREADS] for start in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(lambda portion: [(at, look(at)) for at in portion], portions)
        return dict(pair for portion in found for pair in portion)
