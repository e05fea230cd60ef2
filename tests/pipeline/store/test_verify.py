"""`smp verify`: every planted fault is found where it is, and its repair costs its partition."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from model.cli.group import main
from pipeline.errors import UserError
from pipeline.io.folder import Folder
from pipeline.store.verify import verify
from tests.conftest import Transcripts
from tests.support.crashing import VOLATILE, files_of

TEXTS = [f"text number {i}" for i in range(10)]


@pytest.fixture
def cache(transcripts: Transcripts) -> Path:
    transcripts.texts(TEXTS)
    transcripts.extract()
    transcripts.called()
    return Path(transcripts.cache_url)


def flip(path: Path, seed: int = 0) -> None:
    content = bytearray(path.read_bytes())
    bit = random.Random(seed).randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def add(path: Path) -> None:
    path.write_text("not ours")


Plant = Callable[[Path], None]
# What is done to which file; what is to be made again, found under which name.
FAULTS: list[tuple[Plant, str, set[tuple[str, int]], str]] = [
    (flip, "letters/*.zarr/features/c/0/0/0", {("letters", 0)}, "is not what was written"),
    (flip, "letters/*.zarr/lengths/c/1", {("letters", 1)}, "is not what was written"),
    (flip, "letters/*.zarr/codes/p00001/c/0", {("letters", 1)}, "is not what was written"),
    (flip, "letters/*.zarr/codes/p00002/zarr.json", {("letters", 2)}, "is not what was written"),
    (flip, "letters/*.zarr/codes/offsets/c/2/0", {("letters", 2)}, "is not what was written"),
    (Path.unlink, "doubled/*.zarr/total/c/1", {("doubled", 1)}, "is gone"),
    (flip, "doubled/*.zarr/commits/00002.json", {("doubled", 2)}, "damaged commit"),
    (flip, "doubled/*.zarr/zarr.json", set(), "is not what was written"),
    (flip, "letters/*.zarr/features/zarr.json", set(), "is not what was written"),
    (Path.unlink, "letters/*.zarr/codes/zarr.json", set(), "is gone"),
    (flip, "letters/*.zarr/commits/metadata.json", set(), "damaged commit"),
    (Path.unlink, "letters/*.zarr/commits/metadata.json", set(), "is gone"),
    (add, "letters/*.zarr/features/c/0/0/notes.txt", set(), "does not belong here"),
    (add, "doubled/*.zarr/commits/0003.json", set(), "does not belong here"),
    (flip, "clips.json", set(), "is not what was written"),
    (flip, "current.json", set(), "is not what was written"),
    (Path.unlink, "current.json", set(), "is gone"),
]


def find(cache: Path, name: str) -> Path:
    pattern, _, file = name.rpartition("*.zarr/")
    if not pattern:
        return cache / file
    return next(cache.glob(f"{pattern}*.zarr")) / file


@pytest.mark.parametrize(("plant", "name", "lost", "what"), FAULTS)
def test_a_planted_fault_is_found_where_it_is_and_mended_at_its_own_cost(
    transcripts: Transcripts,
    cache: Path,
    plant: Plant,
    name: str,
    lost: set[tuple[str, int]],
    what: str,
) -> None:
    before = files_of(str(cache))
    assert verify(str(cache)).faults == ()
    plant(find(cache, name))
    (fault,) = verify(str(cache), repair=True).faults
    assert cache / fault.store / fault.file == find(cache, name)
    assert what in fault.what
    assert {(fault.stage, fault.partition)} - {(fault.stage, None)} == lost
    done = transcripts.extract()
    assert {(o.stage, o.partition) for o in done.outcomes} == lost
    clips = {f"v/{4 * p + i:04d}" for stage, p in lost for i in range(4) if stage == "letters"}
    assert {clip for call in transcripts.called() for clip in call} == clips & set(ids())
    assert files_of(str(cache)) == before
    assert verify(str(cache)).faults == ()


def ids() -> list[str]:
    return [f"v/{i:04d}" for i in range(len(TEXTS))]


def test_one_flipped_bit_in_any_file_is_found_and_no_other_file_blamed(cache: Path) -> None:
    files = [p for p in sorted(cache.rglob("*")) if p.is_file() and p.name not in VOLATILE]
    for seed, path in enumerate(files):
        content = path.read_bytes()
        flip(path, seed)
        assert [cache / f.store / f.file for f in verify(str(cache)).faults] == [path]
        path.write_bytes(content)
    assert verify(str(cache)).faults == ()


def smp(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_the_command_names_stage_partition_and_the_way_out(
    transcripts: Transcripts, cache: Path
) -> None:
    clean = smp("verify", str(cache))
    assert (clean.exit_code, "6 partitions" in clean.output) == (0, True)
    assert "0 faults" in clean.output
    flip(find(cache, "letters/*.zarr/features/c/1/0/0"))
    flip(find(cache, "doubled/*.zarr/commits/00002.json"))
    found = smp("verify", str(cache))
    assert found.exit_code == 1
    assert "letters, partition 1, letters/" in found.output
    assert "features/c/1/0/0: is not what was written" in found.output
    assert "doubled, partition 2" in found.output
    assert f"smp verify {cache} --repair && smp extract" in found.output
    report = json.loads(smp("verify", str(cache), "--json").stdout)
    assert [(f["stage"], f["partition"]) for f in report["faults"]] == [
        ("doubled", 2),
        ("letters", 1),
    ]
    assert smp("verify", str(cache), "--repair").exit_code == 1
    assert len(transcripts.extract().outcomes) == 2
    assert smp("verify", str(cache)).exit_code == 0
    assert smp("verify", str(cache / "nothing")).exit_code == 2


def test_what_is_half_done_is_no_fault(transcripts: Transcripts, cache: Path) -> None:
    find(cache, "letters/*.zarr/commits/00001.json").unlink()
    find(cache, "letters/*.zarr/features/c/1/0/0").unlink()
    left = find(cache, "letters/*.zarr/features/c/1/0/0.0123456789abcdef0123456789abcdef.partial")
    add(left)
    assert verify(str(cache)).faults == ()
    transcripts.extract()
    assert not left.exists()


def test_a_damaged_commit_costs_its_partition_and_is_named(
    transcripts: Transcripts, cache: Path
) -> None:
    before = files_of(str(cache))
    flip(find(cache, "letters/*.zarr/commits/00001.json"))
    told = smp("status", str(cache))
    assert told.exit_code == 0
    assert "partition 1: damaged commit" in told.output
    options = ["--stages", str(transcripts.stages_file), "--cache", transcripts.cache_root]
    done = smp("extract", str(transcripts.folder), *options, "--serial")
    assert done.exit_code == 0
    assert "letters: 1 partition, 4 clips — damaged commit: partition 1" in done.output
    assert "1 partition in" in done.output
    assert files_of(str(cache)) == before


def test_damage_upstream_is_told_with_the_way_out_and_kept_rows_are_made_again(
    transcripts: Transcripts, cache: Path
) -> None:
    flip(find(cache, "letters/*.zarr/features/c/0/0/0"))
    find(cache, "doubled/*.zarr/commits/00000.json").unlink()
    (outcome,) = transcripts.extract().outcomes
    assert "partition 0 is damaged" in outcome.error
    assert f"smp verify {cache} --repair" in outcome.error
    transcripts.texts(["new", *TEXTS[1:]])
    assert [o.error for o in transcripts.extract().outcomes] == ["", ""]
    assert verify(str(cache)).faults == ()


def test_a_cache_on_object_storage_is_verified_and_repaired_too(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    root = "memory://verified/cache"
    transcripts.extract(cache_root=root)
    assert verify(f"{root}/talks").faults == ()
    store = Folder(f"{root}/talks/letters")
    (name,) = store.names()
    content = (store / name).read("features/c/1/0/0")
    assert content is not None
    (store / name).write("features/c/1/0/0", content[:-1] + bytes([content[-1] ^ 1]))
    (store / name).write("foreign", b"")
    faults = verify(f"{root}/talks", repair=True).faults
    assert [(f.partition, f.file) for f in faults] == [(1, "features/c/1/0/0"), (None, "foreign")]
    assert [o.partition for o in transcripts.extract(cache_root=root).outcomes] == [1]
    assert verify(f"{root}/talks").faults == ()


def test_no_cache_is_a_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no cache"):
        verify(str(tmp_path))
