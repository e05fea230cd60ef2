"""Any dataset as a manifest to correct by hand."""

from pathlib import Path

from click.testing import CliRunner, Result

from model.cli.group import main
from pipeline import dataset
from tests.support.archives import iemocap, mer2023, mosi


def smp(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["dataset", "manifest", *map(str, arguments)])


def test_a_held_out_session_is_chosen_and_targets_are_written_beside(tmp_path: Path) -> None:
    folder, out = iemocap(tmp_path / "IEMOCAP"), tmp_path / "own" / "session3.csv"
    done = smp(folder, "--out", out, "--test-split", "3")
    assert done.exit_code == 0, done.output
    assert "8 clips" in done.output
    told = dataset.load(out)
    assert {clip.id[3:5] for clip in told.clips if clip.split == "test"} == {"03"}
    assert [target.name for target in told.declared][:2] == ["emotion4", "emotion6"]
    again = smp(folder, "--out", tmp_path / "own" / "session5.csv")
    assert again.exit_code == 0, "the targets are the same"
    assert "targets.yaml" not in again.output


def test_nothing_is_written_over(tmp_path: Path) -> None:
    folder, out = mer2023(tmp_path / "MER2023"), tmp_path / "mine.csv"
    out.write_text("mine")
    done = smp(folder, "--out", out)
    assert done.exit_code == 2
    assert "already exists" in done.output
    assert out.read_text() == "mine"
    assert not (tmp_path / "targets.yaml").exists()


def test_media_below_the_manifest_is_named_from_there(tmp_path: Path) -> None:
    folder = mer2023(tmp_path / "MER2023")
    inside, outside = folder / "mine.csv", tmp_path / "elsewhere" / "mine.csv"
    for out in (inside, outside):
        assert smp(folder, "--out", out).exit_code == 0
        assert dataset.load(out).clips == dataset.load(folder).clips
    assert ",train/sample_00000000.mp4," in inside.read_text()
    assert f",{folder}/train/sample_00000000.mp4," in outside.read_text()


def test_spans_stay_what_they_are(tmp_path: Path) -> None:
    folder, out = mosi(tmp_path / "MOSI"), tmp_path / "mine.csv"
    assert smp(folder, "--out", out).exit_code == 0
    assert dataset.load(out).clips == dataset.load(folder).clips
    assert any(clip.end_s for clip in dataset.load(out).clips)


def test_a_dataset_with_one_test_split_says_so(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("id,text,label,split\na,hm,1,train\n")
    done = smp(path, "--out", tmp_path / "new.csv", "--test-split", "3")
    assert done.exit_code == 2
    assert "only some public archives have several" in done.output
