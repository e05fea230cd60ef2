"""IEMOCAP as it unpacks: two actors in one picture, two conventions, five sessions."""

from pathlib import Path

import pytest

from pipeline.dataset.adapters.iemocap import Iemocap
from pipeline.errors import UserError
from tests.support.archives import iemocap


@pytest.fixture
def found(tmp_path: Path) -> Iemocap:
    one = Iemocap.at(iemocap(tmp_path / "IEMOCAP_full_release").parent)
    assert one is not None
    return one


def rows(found: Iemocap) -> dict[str, dict[str, str]]:
    return {row["id"]: dict(row) for _, row in found.rows()}


def test_a_turn_is_a_span_of_its_recording_and_the_speakers_half(found: Iemocap) -> None:
    turns = rows(found)
    assert len(turns) == 8, "and what macOS writes beside them is none"
    turn = turns["Ses01F_impro01_F000"]
    film = found.root / "Session1/dialog/avi/DivX/Ses01F_impro01.avi"
    assert turn["video"] == str(film)
    assert (turn["start"], turn["end"]) == ("6.2901", "8.2357")
    assert turn["text"] == "Excuse me."
    assert turns["Ses03M_script01_1_M000"]["text"] == "It’s not fair."
    assert {id: turns[id]["region"] for id in list(turns)[:4]} == {
        "Ses01F_impro01_F000": "left",  # the woman wears the markers and speaks
        "Ses01F_impro01_M000": "right",
        "Ses01F_impro01_F001": "left",
        "Ses03M_script01_1_M000": "left",
    }


def test_excitement_is_happiness_of_four_classes_and_itself_of_six(found: Iemocap) -> None:
    of = {id: (row["class_emotion4"], row["class_emotion6"]) for id, row in rows(found).items()}
    assert of["Ses01F_impro01_F001"] == ("hap", "exc")
    assert of["Ses04M_impro02_F000"] == ("hap", "hap")
    assert of["Ses05F_script02_2_M003"] == ("", "fru")
    assert of["Ses01F_impro01_M000"] == ("", ""), "xxx: no agreement"
    assert of["Ses05F_script02_2_F001"] == ("", ""), "oth"
    dimensions = rows(found)["Ses01F_impro01_M000"]
    names = ("label_valence", "label_activation", "label_dominance")
    assert [dimensions[name] for name in names] == ["2.5000", "3.0000", "3.0000"]


def test_one_session_is_the_test_split_and_the_one_before_it_for_validation(found: Iemocap) -> None:
    def splits(one: Iemocap) -> dict[str, str]:
        return {row["id"][3:5]: row["split"] for row in rows(one).values()}

    assert splits(found) == {"01": "train", "03": "train", "04": "valid", "05": "test"}
    assert splits(found.testing("1")) == {
        "01": "test", "03": "train", "04": "train", "05": "valid",
    }  # fmt: skip
    with pytest.raises(UserError, match="IEMOCAP has no test split '6'; one of 1, 2, 3, 4, 5"):
        found.testing("6")


@pytest.mark.parametrize("session", Iemocap.tests)
def test_counts_are_the_published_ones_whatever_session_is_held_out(
    found: Iemocap, session: str
) -> None:
    published = found.testing(session).published
    assert sum(published.sizes.values()) == 10_039
    of = {c: sum(map(sum, own.values())) for c, own in published.classes.items()}
    assert of == {"class_emotion4": 5531, "class_emotion6": 7380}
    if session == "5":
        assert published.sizes["test"] == 2170
        four = published.of_classes("test")["class_emotion4"]
        assert four == {"hap": 442, "sad": 245, "neu": 384, "ang": 170}


def test_without_films_the_cut_sound_of_each_turn_is_the_clip(found: Iemocap) -> None:
    for session in found.root.iterdir():
        (session / "dialog/avi").rename(session / "elsewhere")
        (session / "sentences/wav").mkdir(parents=True)
    turn = rows(found)["Ses04M_impro02_F000"]
    sound = found.root / "Session4/sentences/wav/Ses04M_impro02/Ses04M_impro02_F000.wav"
    assert turn["audio"] == str(sound)
    assert not {"video", "start", "region"} & turn.keys()


def test_a_line_that_is_no_turn_is_told_by_its_place(found: Iemocap) -> None:
    path = found.root / "Session4/dialog/EmoEvaluation/Ses04M_impro02.txt"
    path.write_text("[1.0 - 2.0]\tSes04M_impro02_F000\thap\n")
    with pytest.raises(UserError, match=r"Ses04M_impro02.txt:1: expected \[start - end\], turn"):
        rows(found)
