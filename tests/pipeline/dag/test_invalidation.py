"""What a change costs: exactly the stages and partitions that it touches, field by field."""

import io
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import constants
from safetensors.torch import save
from torchvision.models import resnet18

from pipeline import dataset
from pipeline.dag.plan import Plan, prepare
from pipeline.dag.spec import DEFAULT_FILE, Stages
from pipeline.encoders.action_units import HUB, LANDMARKS_FILE
from pipeline.errors import UserError
from pipeline.io.folder import Folder
from pipeline.io.hashing import of_file
from pipeline.stage.result import OK
from pipeline.store.commit import Commit, RowState
from pipeline.store.current import set_current

PARTITION, CLIPS = 4, 10
Settings = Mapping[str, Any]

OF_FACES = {"faces", "resnet18", "image_encoder", "video_encoder", "action_units"}
# The stage itself and all that depends on it.
TOUCHED = {
    "frames": {*OF_FACES, "openface"},  # frames has no store
    "faces": OF_FACES,
    "resnet18": {"resnet18"},
    "image_encoder": {"image_encoder"},
    "video_encoder": {"video_encoder"},
    "action_units": {"action_units"},
    "openface": {"openface"},
    "audio": {
        "audio",
        "mfcc",
        "opensmile",
        "prosody",
        "wav2vec2",
        "asr",
        "alignment",
        "bert",
        "tencent",
    },
    "mfcc": {"mfcc"},
    "opensmile": {"opensmile"},
    "prosody": {"prosody"},
    "wav2vec2": {"wav2vec2"},
    "asr": {"asr", "alignment", "bert", "tencent"},
    "alignment": {"alignment"},
    "bert": {"bert"},
    "tencent": {"tencent"},
}
STORED = set().union(*TOUCHED.values())
WEIGHED = (
    "resnet18", "image_encoder", "video_encoder", "action_units", "wav2vec2", "asr", "alignment",
    "bert", "tencent",
)  # fmt: skip
RANDOM = {name: {"weights": "random"} for name in WEIGHED}

LOWER = {"precision": "bfloat16"}

# Another value of every setting that can change a result.
RESULT: dict[str, dict[str, Settings]] = {
    "frames": {"fps": {"fps": 5}},
    "faces": {
        "detect_every": {"detect_every": 1},
        "follow": {"follow": "speaker"},
        "augment": {"augment": {"occluded": 0.3}},
        "min_face_px": {"min_face_px": 60},
        "thresholds": {"thresholds": [0.6, 0.7, 0.8]},
        "factor": {"factor": 0.8},
        "min_iou": {"min_iou": 0.4},
        "max_gap_s": {"max_gap_s": 1},
        "cut_ratio": {"cut_ratio": 3.0},
        "relink": {"relink": True},
    },
    "resnet18": {
        "input_px": {"input_px": 112},
        "sampling": {"sampling": "words", "needs": ["faces", "alignment"]},
        "precision": LOWER,
    },
    "action_units": {
        "backend": {"backend": "xgb", "landmark_weights": "random"},
        "threshold": {"threshold": 0.6},
        "signals": {"signals": ["gaze"]},
        "sampling": {"sampling": "words", "needs": ["frames", "faces", "alignment"]},
        "precision": LOWER,
    },
    "image_encoder": {
        "architecture": {"architecture": "test_resnet"},
        "layer": {"layer": -1, "pooling": "cls"},
        "pooling": {"pooling": "mean"},
        "input_px": {"input_px": 112},
        "crop": {"crop": False},
        "interpolation": {"interpolation": "bicubic"},
        "mean": {"mean": [0.5, 0.5, 0.5]},
        "std": {"std": [0.5, 0.5, 0.5]},
        "sampling": {"sampling": "words", "needs": ["faces", "alignment"]},
        "precision": LOWER,
    },
    "video_encoder": {"layer": {"layer": 1}, "precision": LOWER},
    "openface": {
        "groups": {"groups": ["gaze"]},
        "pool": {"pool": 5},
        "sampling": {"sampling": "mean"},
    },
    "audio": {
        "level_dbfs": {"level_dbfs": -6},
        "span": {"span": "sound"},
        "augment": {"augment": {"snr_db": 10}},
    },
    "mfcc": {
        "coefficients": {"coefficients": 20},
        "filters": {"filters": 40},
        "window_ms": {"window_ms": 32},
        "hop_ms": {"hop_ms": 16},
        "delta_window": {"delta_window": 1},
        "sampling": {"sampling": "mean"},
    },
    "opensmile": {
        "feature_set": {"feature_set": "IS09"},
        "level": {"level": "lld"},
        "sampling": {"sampling": "mean"},
    },
    "prosody": {
        "groups": {"groups": ["f0", "energy"]},
        "f0_min_hz": {"f0_min_hz": 80},
        "f0_max_hz": {"f0_max_hz": 400},
        "sampling": {"sampling": "mean"},
    },
    "wav2vec2": {
        "layer": {"layer": 1},
        "sampling": {"sampling": "mean"},
        "window_s": {"window_s": 30},
        "precision": LOWER,
    },
    "asr": {"language": {"language": "en"}},
    "alignment": {"window_s": {"window_s": 30}},
    "bert": {"layer": {"layer": 1}, "sampling": {"sampling": "mean"}, "precision": LOWER},
    "tencent": {"sampling": {"sampling": "mean"}},
}
# Another value of every setting that changes speed alone.
RUNTIME: dict[str, dict[str, Settings]] = {
    "frames": {
        "time_limit_s": {"time_limit_s": 5},
        "picture_limit_mpx": {"picture_limit_mpx": 5},
        "clip_limit_gpx": {"clip_limit_gpx": 5},
    },
    "faces": {
        "batch_clips": {"batch_clips": 2},
        "batch_frames": {"batch_frames": 2},
        "device": {"device": "cpu"},
        "doubt": {"doubt": {"coverage": 0.5}},
        "search_limit_gpx": {"search_limit_gpx": 5},
    },
    "audio": {
        "time_limit_s": {"time_limit_s": 5},
        "sound_limit_s": {"sound_limit_s": 5},
        "sound_limit_gb": {"sound_limit_gb": 1},
    },
    "resnet18": {
        "batch_size": {"batch_size": 2},
        "device": {"device": "cpu"},
        "engine": {"engine": "auto"},
    },
    "image_encoder": {"device": {"device": "cpu"}},
    "video_encoder": {"device": {"device": "cpu"}},
    "action_units": {"device": {"device": "cpu"}, "engine": {"engine": "auto"}},
    "wav2vec2": {
        "batch_size": {"batch_size": 2},
        "device": {"device": "cpu"},
        "engine": {"engine": "auto"},
    },
    "asr": {"batch_size": {"batch_size": 2}, "device": {"device": "cpu"}},
    "alignment": {
        "doubt": {"doubt": 0.5},
        "batch_size": {"batch_size": 2},
        "device": {"device": "cpu"},
    },
    "bert": {
        "batch_size": {"batch_size": 2},
        "device": {"device": "cpu"},
        "engine": {"engine": "auto"},
    },
}
FILES = {
    "resnet18": "net.pt",
    "image_encoder": "model.safetensors",
    "video_encoder": "model.safetensors",
    "action_units": HUB["multitask"][1],
    "wav2vec2": "model.safetensors",
    "asr": "model.safetensors",
    "alignment": "model.safetensors",
    "bert": "model.safetensors",
    "tencent": "vectors.txt",
}
BESIDE = ("config.json", "tokenizer.json", "vocab.json", "preprocessor_config.json")
HUB_ID = "own/net"
WIRING = {
    "needs",
    "weights",
    "enabled",
}  # what is kept of the project's stages file, for the defaults' sake
# Settings of one content; the same content by another value; another content.
Content = tuple[Settings, Settings, Settings]


def put(path: Path, content: str) -> None:
    """Weights of that content: a network's, where the stage looks into the file."""
    tensors = {"x": torch.tensor(ord(content))}
    if path.name == FILES["bert"]:
        path.write_bytes(save(tensors))
        for name in BESIDE:
            (path.parent / name).write_text("{}")
    elif path.name in (FILES["resnet18"], "first", "copy", "other"):
        with torch.device("meta"):
            shapes = resnet18().state_dict()
        state = {n: torch.full(t.shape, float(ord(content))) for n, t in shapes.items()}
        torch.save(state, file := io.BytesIO())
        path.write_bytes(file.getvalue())
    else:
        path.write_text(content)


def by_path(stage: str, setting: str = "weights", file: str = "", **others: Any) -> Content:
    """The weights in three folders or files, the second a copy of the first."""
    folders = [Path(name) for name in ("first", "copy", "other")]
    for folder, content in zip(folders, ("a", "a", "b"), strict=True):
        folder.mkdir()
        put(folder / (file or FILES[stage]), content)
    first, copy, other = ({**others, setting: str(folder.resolve())} for folder in folders)
    return first, copy, other


def by_revision(stage: str, setting: str = "revision", file: str = "", **others: Any) -> Content:
    """Three revisions of a repository in the hub's cache, two of the same content."""
    root = Path(constants.HF_HUB_CACHE) / "models--own--net"
    for revision, content in (("first", "a"), ("copy", "a"), ("other", "b")):
        snapshot = root / "snapshots" / (revision * 8)
        snapshot.mkdir(parents=True)
        put(snapshot / (file or FILES[stage]), content)
        (root / "refs").mkdir(exist_ok=True)
        (root / "refs" / revision).write_text(snapshot.name)
    first, copy, other = ({**others, setting: name} for name in ("first", "copy", "other"))
    return first, copy, other


def by_file(**others: Any) -> Content:
    """Three files in one folder, two of the same content."""
    Path("nets").mkdir()
    for name, content in (("first", "a"), ("copy", "a"), ("other", "b")):
        put(Path("nets", name), content)
    weights = str(Path("nets").resolve())
    first, copy, other = ({**others, "weights": weights, "file": n} for n in os.listdir("nets"))
    return tuple(sorted((first, copy, other), key=lambda s: "fco".index(s["file"][0])))  # type: ignore[return-value]


def trusted() -> Content:
    """Files that are loaded only if trusted: with the weights the trust changes too."""
    first, copy, other = by_path("action_units", file=HUB["xgb"][1])
    return tuple(  # type: ignore[return-value]
        {
            **settings,
            "backend": "xgb",
            "landmark_weights": "random",
            "trusted_sha256": of_file(Path(settings["weights"]) / HUB["xgb"][1]),
        }
        for settings in (first, copy, other)
    )


def binary(**others: Any) -> Content:
    """Three programs, two of the same content."""
    first, copy, other = by_path("openface", "binary", file="FeatureExtraction")
    made = []
    for settings in (first, copy, other):
        program = Path(settings["binary"]) / "FeatureExtraction"
        program.chmod(0o755)
        made.append({**others, "binary": str(program)})
    return tuple(made)  # type: ignore[return-value]


# Settings that say where weights are: their content counts.
LANDMARKS = {"backend": "xgb", "weights": "random"}
CONTENT: dict[str, dict[str, Callable[[], Content]]] = {
    "resnet18": {
        "weights": lambda: by_path("resnet18"),
        "revision": lambda: by_revision("resnet18", weights=HUB_ID),
        "file": by_file,
    },
    "action_units": {
        "weights": lambda: by_path("action_units"),
        "revision": lambda: by_revision("action_units", weights=HUB_ID),
        "file": by_file,
        "trusted_sha256": trusted,
        "binary": lambda: binary(backend="openface"),
        "landmark_weights": lambda: by_path(
            "action_units", "landmark_weights", LANDMARKS_FILE, **LANDMARKS
        ),
        "landmark_revision": lambda: by_revision(
            "action_units",
            "landmark_revision",
            LANDMARKS_FILE,
            landmark_weights=HUB_ID,
            **LANDMARKS,
        ),
    },
    "openface": {"binary": binary},
    "image_encoder": {
        "weights": lambda: by_path("image_encoder"),
        "revision": lambda: by_revision("image_encoder", weights=HUB_ID),
    },
    "video_encoder": {
        "weights": lambda: by_path("video_encoder"),
        "revision": lambda: by_revision("video_encoder", weights=HUB_ID),
    },
    "wav2vec2": {
        "weights": lambda: by_path("wav2vec2"),
        "revision": lambda: by_revision("wav2vec2", weights=HUB_ID),
    },
    "bert": {
        "weights": lambda: by_path("bert"),
        "revision": lambda: by_revision("bert", weights=HUB_ID),
    },
    "asr": {
        "weights": lambda: by_path("asr"),
        "revision": lambda: by_revision("asr", weights=HUB_ID),
    },
    "alignment": {
        "weights": lambda: by_path("alignment"),
        "revision": lambda: by_revision("alignment", weights=HUB_ID),
    },
    "tencent": {
        "weights": lambda: by_path("tencent"),
        "revision": lambda: by_revision("tencent", weights=HUB_ID, file="vectors.bin"),
        "file": by_file,
    },
}


def with_all_enabled() -> dict[str, dict[str, Any]]:
    """The project's stages with every one of them on."""
    boxes = yaml.safe_load(DEFAULT_FILE.read_text())["stages"]
    return {name: {**box, "enabled": True} for name, box in boxes.items()}


KINDS = {stage.name: stage.kind for stage in Stages({"stages": with_all_enabled()})}


def fields(mark: str = "") -> list[tuple[str, str]]:
    """Stage and setting of every built-in's settings, or of those so marked, from the classes."""
    found = []
    for stage, kind in KINDS.items():
        marked = kind.Settings.marked(mark) if mark else kind.Settings.model_fields
        found += [(stage, setting) for setting in marked]
    return found


@dataclass
class World:
    """Ten clips with media that nobody decodes, and a cache in which everything is committed."""

    folder: Path

    def write(self, changes: Mapping[str, Settings] | None = None, **top: Any) -> None:
        """The stages file: the project's at its defaults with random weights, but for `changes`."""
        stages: dict[str, dict[str, Any]] = {}
        for name, box in with_all_enabled().items():
            stages[name] = {k: v for k, v in {**box, **RANDOM.get(name, {})}.items() if k in WIRING}
        for name, settings in (changes or {}).items():
            stages[name] |= settings
            if settings.get("backend") == "openface":
                del stages[name]["weights"]
        spec = {"partition": PARTITION, "stages": stages, **top}
        self.stages_file.write_text(yaml.safe_dump(spec))

    @property
    def stages_file(self) -> Path:
        return self.folder / "stages.yaml"

    def clips(self, number: int = CLIPS, skip: int | None = None, changed: str = "") -> None:
        """The table of the clips; `changed` names a part or column of clip 5 that is another."""
        lines = []
        for i in range(number):
            parts = {part: f"{part} of {i}" for part in ("video", "audio", "text", "split")}
            parts |= {"label": "0", "split": "train"}
            if i == 5 and changed:
                parts[changed] = {"label": "1", "split": "test"}.get(changed, "another")
            for part in ("video", "audio"):
                path = self.folder / f"{i}.{part}"
                if not path.exists() or path.read_text() != parts[part]:
                    path.write_text(parts[part])
                parts[part] = path.name
            if i != skip:
                lines.append(json.dumps({"id": f"v/{i}", **parts}))
        (self.folder / "talks.jsonl").write_text("\n".join(lines))

    def prepare(self) -> Plan:
        clips = dataset.load(self.folder / "talks.jsonl")
        return prepare(clips, self.stages_file, str(self.folder / "cache"))

    def lacking(self) -> set[tuple[str, int]]:
        """The tasks of a run, as (stage, partition)."""
        return {(t.stage, t.partition) for p in self.prepare().by_stage for t in p.tasks}

    def finish(self) -> None:
        """Commit all that lacks, as if it had been extracted."""
        plan = self.prepare()
        cache = Folder(plan.cache_url)
        plan.table.write(cache)
        set_current(cache, {p.stage: plan.identities[p.stage] for p in plan.by_stage})
        for task in (task for by_stage in plan.by_stage for task in by_stage.tasks):
            commit = Commit(tuple(RowState(row.key, OK, 1) for row in task.rows))
            store = Folder(task.stores[task.stage])
            store.write(f"commits/{task.partition:05d}.json", commit.to_bytes())


def everywhere(stages: set[str], partitions: int = 3) -> set[tuple[str, int]]:
    return {(stage, number) for stage in stages for number in range(partitions)}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("pipeline.dag.identity.require", lambda _: None)  # nothing is run
    (tmp_path / "FeatureExtraction").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    made = World(tmp_path)
    made.clips()
    made.write()
    return made


def test_every_setting_is_classed_here_as_it_is_in_its_extractor() -> None:
    """A new field fails this until a table above says what another value of it does."""
    tables: dict[str, Mapping[str, Mapping[str, Any]]] = {
        "runtime": RUNTIME, "by_content": CONTENT,
    }  # fmt: skip
    for mark, table in tables.items():
        assert listed(table) == set(fields(mark)), f"settings made by `{mark}`"
    rest = set(fields()) - set(fields("runtime")) - set(fields("by_content"))
    assert listed(RESULT) == rest, "settings that can change a result"


def listed(table: Mapping[str, Mapping[str, Any]]) -> set[tuple[str, str]]:
    return {(stage, setting) for stage, settings in table.items() for setting in settings}


@pytest.mark.parametrize(("stage", "setting"), fields(), ids=map(".".join, fields()))
def test_a_setting_costs_its_stage_and_what_depends_on_it_or_nothing(
    world: World, stage: str, setting: str
) -> None:
    if setting in CONTENT.get(stage, {}):
        first, copy, other = CONTENT[stage][setting]()
        world.write({stage: first})
        world.finish()
        world.write({stage: copy})
        assert world.lacking() == set(), "the same content elsewhere"
        world.write({stage: other})
        assert world.lacking() == everywhere(TOUCHED[stage]), "another content"
        world.write({stage: first})
        assert world.lacking() == set(), "going back is free"
        return
    world.finish()
    is_runtime = setting in RUNTIME.get(stage, {})
    world.write({stage: (RUNTIME if is_runtime else RESULT)[stage][setting]})
    assert world.lacking() == (set() if is_runtime else everywhere(TOUCHED[stage]))
    world.write()
    assert world.lacking() == set(), "going back is free"


@pytest.mark.parametrize("stage", [stage for stage in RESULT if "precision" in RESULT[stage]])
def test_a_setting_that_came_later_leaves_the_fingerprint_as_it_was(stage: str) -> None:
    kind: Any = KINDS[stage].Settings
    as_ever = kind(**RANDOM[stage])
    assert "precision" in kind.marked("unless_default")
    assert "precision" not in as_ever.affecting_results()
    assert kind(**RANDOM[stage], precision="float32").affecting_results() == (
        as_ever.affecting_results()
    )
    assert kind(**RANDOM[stage], **LOWER).affecting_results() == {
        **as_ever.affecting_results(),
        **LOWER,
    }


@pytest.mark.parametrize("stage", TOUCHED)
def test_an_extractors_version_costs_its_stage_and_what_depends_on_it(
    world: World, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.finish()
    monkeypatch.setattr(KINDS[stage], "version", KINDS[stage].version + 1)
    assert world.lacking() == everywhere(TOUCHED[stage])


@pytest.mark.parametrize("stage", FILES)
def test_a_weights_file_that_is_replaced_costs_its_stage(world: World, stage: str) -> None:
    first, _, _ = by_path(stage)
    world.write({stage: first})
    world.finish()
    file = Path(first["weights"]) / FILES[stage]
    os.utime(file, (1, 1))
    assert world.lacking() == set(), "touched is not changed"
    stat = file.stat()
    put(file, "c")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert world.lacking() == everywhere(TOUCHED[stage]), "of the same size, its time restored"


def test_a_stage_that_is_switched_off_costs_what_may_take_from_it_and_going_back_nothing(
    world: World,
) -> None:
    world.finish()
    world.write({"asr": {"enabled": False}})
    assert world.lacking() == everywhere({"alignment", "bert", "tencent"})
    world.finish()
    world.write({"asr": {"enabled": False, "language": "zh"}, "tencent": {"enabled": False}})
    assert world.lacking() == set()
    world.write()
    assert world.lacking() == set()


def test_the_number_of_steps_costs_what_is_sampled_to_it(world: World) -> None:
    world.finish()
    world.write(steps=16)
    assert world.lacking() == everywhere(STORED - {"audio", "asr", "alignment"})


@pytest.mark.parametrize("stage", KINDS)
def test_a_stage_whose_fields_have_steps_uses_them(stage: str) -> None:
    extractor = KINDS[stage](KINDS[stage].Settings(**RANDOM.get(stage, {})))
    has_steps = any("step" in field.axes for field in extractor.writes().values())
    assert extractor.uses_steps == has_steps


def test_the_size_of_a_partition_costs_all(world: World) -> None:
    world.finish()
    world.write(partition=5)
    assert world.lacking() == everywhere(STORED, 2)


@pytest.mark.parametrize(
    ("part", "stages"),
    [
        ("video", STORED),  # sound, and with it what is heard, is placed in the picture's time
        ("audio", TOUCHED["audio"]),
        ("text", TOUCHED["asr"]),
        ("split", set()),
        ("label", set()),
    ],
)
def test_a_clips_content_costs_its_partition_in_the_stages_that_look_at_it(
    world: World, part: str, stages: set[str]
) -> None:
    world.finish()
    world.clips(changed=part)
    assert world.lacking() == {(stage, 1) for stage in stages}
    clips = {p.stage: p.clips for p in world.prepare().by_stage}
    assert clips == {stage: int(stage in stages) for stage in STORED}
    world.clips()
    assert world.lacking() == set()


def test_clips_that_come_cost_themselves_and_clips_that_go_cost_nothing(world: World) -> None:
    world.finish()
    world.clips(CLIPS + 3)
    assert world.lacking() == {(stage, number) for stage in STORED for number in (2, 3)}
    assert {p.clips for p in world.prepare().by_stage} == {3}
    world.clips(skip=5)
    assert world.lacking() == set()


def test_a_dataset_that_is_moved_or_touched_costs_nothing(world: World) -> None:
    world.finish()
    for path in world.folder.glob("*.video"):
        os.utime(path, (1, 1))
    assert world.lacking() == set()
    (moved := world.folder / "moved").mkdir()
    for path in [*world.folder.glob("*.video"), *world.folder.glob("*.audio")]:
        path.rename(moved / path.name)
    (world.folder / "talks.jsonl").rename(moved / "talks.jsonl")
    plan = prepare(
        dataset.load(moved / "talks.jsonl"), world.stages_file, str(world.folder / "cache")
    )
    assert [p.tasks for p in plan.by_stage] == [()] * len(STORED)


def test_a_plan_writes_nothing(world: World) -> None:
    world.lacking()
    assert not (world.folder / "cache").exists()
    world.finish()
    cache = world.folder / "cache"
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    world.write({"mfcc": {"coefficients": 20}})
    world.clips(CLIPS + 1)
    assert world.lacking()
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before


def test_weights_that_are_not_there_are_named_with_their_stage(world: World) -> None:
    world.write({"bert": {"weights": "own/other"}})
    with pytest.raises(UserError, match="stage 'bert': weights 'own/other' not found"):
        world.prepare()
