"""What a dataset declares: its targets, what is missing of them, and what no target is."""

from pathlib import Path

import pytest

from pipeline import dataset
from pipeline.dataset.clip import Clip
from pipeline.dataset.target import Target, all_targets
from pipeline.errors import UserError
from pipeline.io.folder import Folder
from pipeline.store.clips_table import ClipsTable
from pipeline.store.merge import merged

DECLARED = """
sentiment: {columns: [label], range: [-3, 3]}
emotions: {kind: labels, range: [0, 3], columns: [label_happy, label_sad]}
emotion: {kind: classes, classes: [sad, angry, neutral]}
valence: {range: [1, 5]}
"""
TABLE = """id,text,label,label_happy,label_sad,label_valence,label_T,class_emotion,class_who,split
a,so,-10,0.5,0,5,0.5,angry,eve,train
b,so,2,,,9,,xxx,,valid
c,so,,1,7,,,, adam ,test
"""


def talks(folder: Path, declared: str = DECLARED, table: str = TABLE) -> Path:
    (folder / "targets.yaml").write_text(declared)
    (folder / "talks.csv").write_text(table)
    return folder / "talks.csv"


def test_what_is_not_declared_is_a_score_or_classes_by_its_column(tmp_path: Path) -> None:
    targets = dataset.load(talks(tmp_path)).targets
    declared, (modality, who) = targets[:4], targets[4:]
    assert [target.name for target in declared] == ["sentiment", "emotions", "emotion", "valence"]
    assert declared[1].labels == ("happy", "sad")
    assert declared[2].columns == ("class_emotion",)
    assert (modality.name, modality.kind, modality.range) == ("T", "score", None)
    assert (who.name, who.kind, who.classes) == ("who", "classes", ("adam", "eve"))


def test_a_value_that_no_target_takes_is_missing_and_counted(tmp_path: Path) -> None:
    found = dataset.load(talks(tmp_path))
    a, b, c = (dict(clip.values()) for clip in found.clips)
    assert a == {
        "label_happy": 0.5, "label_sad": 0, "label_valence": 5, "label_T": 0.5,
        "class_emotion": "angry", "class_who": "eve",
    }  # fmt: skip
    assert b == {"label": 2}
    assert c == {"label_happy": 1, "class_who": "adam"}
    counted = {note.split(" outside")[0] for note in found.notes}
    assert counted == {f"{c}: 1 value" for c in ("label", "label_valence", "label_sad")} | {
        "class_emotion: 1 value"
    }


def test_one_column_may_be_of_two_targets(tmp_path: Path) -> None:
    four = "emotion: {kind: classes, classes: [sad, angry]}\n"
    six = "six: {kind: classes, columns: [class_emotion], classes: [sad, angry, xxx]}\n"
    found = dataset.load(talks(tmp_path, four + six))
    assert found.clips[1].classes == {"emotion": "xxx"}
    assert [t.name for t in found.targets if "class_emotion" in t.columns] == ["emotion", "six"]


def test_columns_of_one_name_are_two_targets(tmp_path: Path) -> None:
    lines = "id,text,label_mood,class_mood,split\na,so,1,good,train\nb,so,2,bad,train\n"
    found = dataset.load(talks(tmp_path, "", lines))
    assert [target.name for target in found.targets] == ["mood", "class_mood"]


def test_targets_are_read_from_the_cache_without_the_dataset(tmp_path: Path) -> None:
    found = dataset.load(talks(tmp_path))
    table = merged(None, found)
    table.write(Folder(tmp_path / "cache"))
    again = ClipsTable.read(Folder(tmp_path / "cache"))
    assert again is not None
    assert again.targets == found.targets
    assert tuple(row.clip for row in again.rows) == found.clips


def test_a_table_of_scores_alone_says_nothing_of_targets(tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("id,text,label,label_T,split\na,so,1,0.5,train\n")
    found = dataset.load(tmp_path / "old.csv")
    merged(None, found).write(Folder(tmp_path / "cache"))
    content = (tmp_path / "cache" / "clips.json").read_text()
    assert "targets" not in content
    assert "classes" not in content
    assert [target.name for target in found.targets] == ["label", "T"]


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ("- a", "expected targets"),
        ("valence: 3", "valence: expected its kind and range"),
        ("valence: {range: [5, 1]}", "the lowest of its range is not below the highest"),
        ("valence: {range: [1]}", "range"),
        ("valence: {rnage: [1, 5]}", "valence: rnage: Extra inputs are not permitted"),
        ("valence: {kind: number}", "kind: Input should be 'score', 'classes' or 'labels'"),
        ("valence: {columns: [valence]}", "its columns should begin with label_"),
        ("emotion: {kind: classes}", "two `classes` or more"),
        ("emotion: {kind: classes, classes: [sad, sad]}", "a class appears twice"),
        ("emotion: {kind: classes, classes: [yes, no]}", "classes.0: Input should be a valid str"),
        ("emotion: {kind: classes, classes: [a, b], range: [0, 1]}", "classes have no range"),
        ("emotions: {kind: labels, range: [0, 3]}", "labels have two columns or more"),
        ("emotions: {kind: labels, columns: [label_a, label_b]}", "labels need a range"),
        ("all: {range: [1, 5]}", "no target can be called all"),
        ("a/b: {range: [1, 5]}", "a/b: name: String should match"),
    ],
)
def test_what_cannot_be_right_is_refused_by_file_and_target(
    tmp_path: Path, declared: str, told: str
) -> None:
    with pytest.raises(UserError, match=r"targets\.yaml") as refused:
        dataset.load(talks(tmp_path, declared))
    assert told in str(refused.value)


def test_a_single_class_is_no_target() -> None:
    clip = Clip("a", classes={"who": "eve"})
    assert all_targets((), [clip]) == ()
    assert all_targets((Target(name="label"),), [clip]) == (), "nobody has a score"
