"""The stages file: what is refused, and what changes a fingerprint."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from pipeline.dag.spec import DEFAULT_FILE, Stages, file_for
from pipeline.dag.stage import Stage
from pipeline.errors import UserError
from pipeline.stage.extractor import Extractor
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, by_content, runtime
from pipeline.system.device import Device
from pipeline.weights.resolve import Weights

LETTERS = {"extractor": "tests.support.toys.letters"}
DOUBLED = {"extractor": "tests.support.toys.doubled", "needs": "letters"}


def stages(**boxes: Any) -> Stages:
    return Stages({"stages": boxes})


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ({"leters": {}}, "stage 'leters': no extractor 'leters'"),
        ({"mfccs": {}}, "did you mean 'mfcc'"),
        ({"own": {"extractor": "..own"}}, "stage 'own': '..own' can't be the name of an extractor"),
        ({"letters": {**LETTERS, "scal": 2}}, r"stage 'letters': scal: Extra inputs .*got 2"),
        ({"letters": {**LETTERS, "scale": "big"}}, r"scale: .*valid number.*got 'big'"),
        ({"doubled": DOUBLED}, "stage 'doubled' needs 'letters'; known: doubled"),
        (
            {"doubled": {**DOUBLED, "needs": []}, "letters": LETTERS},
            r"takes 'features', which none",
        ),
        (
            {"letters": {**LETTERS, "needs": "doubled"}, "doubled": DOUBLED},
            "stages need each other: ",
        ),
        ({}, "must name at least one stage"),
        ({"letters": {**LETTERS, "keep": "false"}}, "keep: .* valid boolean .got 'false'"),
        ({"letters": {**LETTERS, "enabled": "no"}}, "enabled: .* valid boolean .got 'no'"),
        (
            {"letters": {**LETTERS, "enabled": False}, "doubled": DOUBLED},
            "stage 'doubled' takes 'features', which none",
        ),
        ({"letters": LETTERS, "doubled": {**DOUBLED, "needs": 3}}, "needs: .* valid list .got 3"),
        (
            {
                "letters": LETTERS,
                "more": LETTERS,
                "doubled": {**DOUBLED, "needs": ["letters", "more"]},
            },
            "takes 'features', which 2 of the stages it needs .letters, more. write",
        ),
    ],
)
def test_a_stages_file_that_cannot_run_is_refused_in_one_line(
    boxes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as refusal:
        stages(**boxes)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "content",
    [
        "a: [", "- 1", "stages: {letters: 3}", "partition: 0", "stages: 3", "null", "",
        "partition: 10001", "partition: 100000000000000000000", "steps: 1000000000", "steps: 1.5",
        "stages: {mfcc: {filters: 'inf'}}", "stages: {faces: {max_gap_s: 'nan'}}",
    ],
)  # fmt: skip
def test_a_file_of_another_form_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "stages.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=r"stages.yaml"):
        Stages.load(path)
    with pytest.raises(UserError, match="can't be read"):
        Stages.load(tmp_path / "none.yaml")


def test_a_message_shows_the_beginning_of_what_is_wrong() -> None:
    with pytest.raises(UserError) as refusal:
        stages(bert={"weights": ["many"] * 1000, **{f"wrong{i}": "x" * 1000 for i in range(100)}})
    assert len(str(refusal.value)) < 600


@pytest.mark.parametrize("width", [1, 2, 9])
def test_stages_that_need_each_other_along_countless_ways_are_refused(width: int) -> None:
    layers = [[f"s{layer}_{i}" for i in range(width)] for layer in range(600 // width)]
    boxes = {
        name: {"extractor": "bert", "weights": "random", "needs": below}
        for below, layer in zip([[], *layers], layers, strict=False)
        for name in layer
    }
    with pytest.raises(UserError, match="more than 200 ways lead to what it needs"):
        Stages({"stages": boxes})


def test_a_datasets_own_stages_file_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (folder := tmp_path / "talks").mkdir()
    (manifest := folder / "talks.jsonl").touch()
    assert file_for(folder).path == file_for(manifest).path == DEFAULT_FILE
    Path("stages.yaml").touch()
    assert file_for(folder).path == file_for(manifest).path == Path("stages.yaml")
    (folder / "stages.yaml").touch()
    assert file_for(folder).path == file_for(manifest).path == folder / "stages.yaml"


def test_fields_are_checked_between_stages_before_anything_runs() -> None:
    faces = {"extractor": "faces", "needs": "letters"}
    with pytest.raises(UserError, match="stage 'faces' takes 'frames', which none"):
        stages(letters=LETTERS, faces=faces)


def test_a_value_by_language_is_resolved(tmp_path: Path) -> None:
    path = tmp_path / "stages.yaml"
    letters = {**LETTERS, "scale": {"en": 1, "zh": 2}}
    path.write_text(yaml.safe_dump({"stages": {"letters": letters}}))
    assert Stages.load(path, "zh")["letters"].settings.model_dump()["scale"] == 2
    path.write_text(yaml.safe_dump({"stages": {"letters": {**LETTERS, "scale": {"zh": 2}}}}))
    with pytest.raises(UserError, match="no value for language 'en'"):
        Stages.load(path, "en")


def fingerprints(**letters: Any) -> tuple[str, str]:
    made = stages(letters={**LETTERS, **letters}, doubled=DOUBLED)
    identities = made.identities(made.chosen([]))
    return identities["letters"]["fingerprint"], identities["doubled"]["fingerprint"]


def test_a_fingerprint_covers_what_changes_results_and_nothing_else() -> None:
    plain = fingerprints()
    assert fingerprints() == plain
    assert fingerprints(calls="elsewhere.txt") == plain
    assert fingerprints(scale="1.0") == fingerprints(scale=1) == plain
    changed = fingerprints(scale=2)
    assert changed[0] != plain[0]
    assert changed[1] != plain[1], "what is upstream counts"


def test_an_extractors_version_changes_its_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.support.toys.letters import Letters

    plain = fingerprints()
    monkeypatch.setattr(Letters, "version", 2)
    assert fingerprints() != plain


def test_the_order_of_what_a_stage_needs_changes_nothing() -> None:
    boxes = {"letters": LETTERS, "doubled": DOUBLED}
    echoed = {"extractor": "tests.support.toys.echoed"}
    made = [
        stages(**boxes, echoed={**echoed, "needs": needs})
        for needs in (["letters", "doubled"], ["doubled", "letters", "letters"])
    ]
    first, second = (one.identities(one.chosen([]))["echoed"]["fingerprint"] for one in made)
    assert first == second


def test_a_setting_is_by_content_only_where_there_are_weights() -> None:
    class Lost(Extractor):
        version = 1

        class Settings(StageSettings):
            weights: str = by_content("random")

        def writes(self) -> dict[str, Field]:
            return {"features": Field(("step", 2), "float32")}

        def extract(self, batch: Sequence[ClipInputs]) -> Iterable[ClipResult]:
            raise NotImplementedError

    made = stages(letters=LETTERS)
    lost = Stage("lost", "lost", (), Lost.Settings(), keep=False, steps=32)
    lost.__dict__["kind"] = Lost
    with pytest.raises(TypeError, match="'weights' by content, but no `weights"):
        made.identities([lost])


OFF = (
    "image_encoder", "video_encoder", "alignment", "asr", "openface", "opensmile", "prosody",
    "tencent",
)  # fmt: skip


def test_the_project_stages_are_the_documented_ones_at_their_defaults() -> None:
    stages = list(Stages.load(DEFAULT_FILE))
    assert [stage.name for stage in stages] == [
        "frames", "faces", "resnet18", "action_units", "audio", "mfcc", "wav2vec2", "bert",
    ]  # fmt: skip
    boxes = yaml.safe_load(DEFAULT_FILE.read_text())["stages"]
    everything = Stages({"stages": {n: {**box, "enabled": True} for n, box in boxes.items()}})
    assert {s.name for s in everything} - {s.name for s in stages} == set(OFF)
    for stage in [*stages, *(everything[name] for name in OFF)]:
        assert stage.settings == type(stage.settings)(), f"{stage.name} is not at its defaults"


def test_a_stage_that_is_off_is_as_if_it_were_not_there() -> None:
    bert = {"weights": "random"}
    asr = {"needs": "audio", "weights": "random", "enabled": False}
    off = stages(audio={}, asr=asr, bert={**bert, "needs": "asr"})
    alone = stages(bert=bert)
    assert [stage.name for stage in off] == ["audio", "bert"]
    assert off["bert"].needs == ()
    assert off.reads(off["bert"]) == {"text"}
    found = [s.identities(s.chosen(["bert"]))["bert"]["fingerprint"] for s in (off, alone)]
    assert found[0] == found[1]
    with pytest.raises(UserError, match="stage 'asr' is off; set `enabled: true`"):
        off.chosen(["asr"])
    on = stages(audio={}, asr={**asr, "enabled": True}, bert={**bert, "needs": "asr"})
    assert on.reads(on["bert"]) == {"text", "audio", "video"}
    assert on.identities(on.chosen(["bert"]))["bert"]["fingerprint"] != found[0]


def test_a_stage_may_stand_before_what_it_needs() -> None:
    assert [stage.name for stage in stages(doubled=DOUBLED, letters=LETTERS)] == [
        "letters", "doubled",
    ]  # fmt: skip


def test_the_default_text_model_follows_the_language() -> None:
    chosen = {
        language: Stages.load(DEFAULT_FILE, language)["bert"].settings.model_dump()["weights"]
        for language in ("en", "zh")
    }
    assert chosen == {"en": "bert-base-uncased", "zh": "bert-base-chinese"}


# ---- other runtime settings


class Sought(Extractor):
    """Counts how often its weights are looked for."""

    version = 1
    looked: ClassVar[list[str]] = []

    class Settings(StageSettings):
        device: Device = runtime("auto")
        batch_clips: int = runtime(0)
        batch_frames: int = runtime(5)

    def writes(self) -> dict[str, Field]:
        return {"features": Field(("step", 1), "float32")}

    def extract(self, batch: Sequence[ClipInputs]) -> Iterable[ClipResult]:
        return []

    def weights(self) -> Weights | None:
        self.looked.append("once more")
        return None


def test_a_stage_on_one_device_has_the_weights_that_were_found_for_all() -> None:
    stage = stages(sought={"extractor": __name__})["sought"]
    stage.make().weights()
    other = stage.on("cuda:1")
    other.make().weights()
    assert (other.device, stage.device) == ("cuda:1", "auto")
    assert Sought.looked == ["once more"]


def test_batches_are_halved_down_to_one_and_zero_still_means_any_size() -> None:
    sizes, settings = [], Sought.Settings()
    for _ in range(4):
        settings = settings.with_smaller_batches()
        sizes.append((settings.batch_clips, settings.batch_frames))
    assert sizes == [(0, 2), (0, 1), (0, 1), (0, 1)]
