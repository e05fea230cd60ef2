"""What is written for other tools is what they read, and comes back as it was."""

import csv
import json
import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy
from torch.utils.data import DataLoader

from pipeline import open_cache
from pipeline.dataset.clip import Clip
from pipeline.errors import UserError
from pipeline.formats import feature_pickle, merbench, mmsa, parquet, safetensors
from pipeline.formats.bundle import Bundle, atomic_output
from pipeline.store.cache import Cache
from tests.conftest import Transcripts
from tests.pipeline.extractors.test_bert import checkpoint
from tests.support import feature_files
from tests.support.commands import smp
from tests.support.feature_files import WIDTHS

SPLITS = ("train", "valid", "test")
MODALITIES = {"vision": "visual", "audio": "audio", "text": "text"}


@pytest.fixture
def cache() -> Cache:
    """CH-SIMS's kind of labels; one clip without a face, one without a label."""
    splits = feature_files.mmsa(sims=True)
    splits["train"]["vision"][0] = 0
    splits["test"]["regression_labels"][3] = np.nan
    smp("import", feature_files.write(Path("talks.pkl"), splits))
    return open_cache("cache/talks")


def exported(*options: object) -> dict[str, dict[str, Any]]:
    smp("export", "talks", "out.pkl", "--format", "mmsa", *options)
    content: dict[str, dict[str, Any]] = pickle.loads(Path("out.pkl").read_bytes())
    return content


NAMES = {"numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"}  # in numpy 1 and 2


def names_in(content: bytes) -> set[str]:
    found = pickletools.genops(content)
    return {str(argument) for op, argument, _ in found if "GLOBAL" in op.name}


class MmsaLoader:
    """What MMSA 2.2's `MMDataset` and 2.x's collation ask of a split, field by field."""

    def __init__(self, split: dict[str, Any], sims: bool, use_bert: bool = False) -> None:
        self.text = split["text_bert" if use_bert else "text"].astype(np.float32)
        self.audio = split["audio"].astype(np.float32)
        self.vision = split["vision"].astype(np.float32)
        self.dims = [x.shape[2] for x in (split["text"], self.audio, self.vision)]
        self.raw_text, self.ids = split["raw_text"], split["id"]
        self.labels = {"M": np.array(split["regression_labels"]).astype(np.float32)}
        for m in "TAV" if sims else "":
            self.labels[m] = split[f"regression_labels_{m}"].astype(np.float32)
        self.audio_lengths, self.vision_lengths = split["audio_lengths"], split["vision_lengths"]
        self.audio[self.audio == -np.inf] = 0

    def __len__(self) -> int:
        return len(self.labels["M"])

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {
            "raw_text": self.raw_text[index],
            "id": self.ids[index],
            **{name: getattr(self, name)[index] for name in ("text", "audio", "vision")},
            "audio_lengths": self.audio_lengths[index],
            "vision_lengths": self.vision_lengths[index],
            "labels": {m: y[index].reshape(-1) for m, y in self.labels.items()},
        }


class TestMmsa:
    def test_every_field_has_the_shape_and_type_that_mmsa_reads(self, cache):
        """As in MMSA/data_loader.py: `.astype` needs arrays, collation plain texts and numbers."""
        content = exported()
        assert list(content) == ["train", "valid", "test"]
        for name, split in content.items():
            n = {"train": 40, "valid": 8, "test": 11}[name]
            for field, width in WIDTHS.items():
                assert type(split[field]) is np.ndarray
                assert (split[field].shape, split[field].dtype) == ((n, 32, width), np.float32)
                assert np.isfinite(split[field]).all()
            for field in ("regression_labels", *(f"regression_labels_{m}" for m in "TAV")):
                assert type(split[field]) is np.ndarray
                assert (split[field].shape, split[field].dtype) == ((n,), np.float32)
                assert np.isfinite(split[field]).all()
            assert (split["classification_labels"].shape, split["classification_labels"].dtype) == (
                (n,),
                np.int64,
            )
            assert set(split["classification_labels"].tolist()) <= {0, 1, 2}
            for field in ("raw_text", "id", "annotations"):
                assert type(split[field]) is list
                assert len(split[field]) == n
                assert {type(text) for text in split[field]} == {str}
            for field in ("audio_lengths", "vision_lengths"):
                assert type(split[field]) is list
                assert {type(length) for length in split[field]} == {int}
                assert min(split[field]) >= 1  # its models pack sequences by them
                assert max(split[field]) <= 32
                assert len(split[field]) == n

    def test_mmsas_way_of_loading_gives_batches(self, cache):
        for split in exported().values():
            dataset = MmsaLoader(split, sims=True)
            assert dataset.dims == [6, 4, 5]
            for batch in DataLoader(dataset, batch_size=4, shuffle=True):  # type: ignore[arg-type]
                clips = len(batch["id"])
                assert batch["vision"].shape == (clips, 32, 5)
                assert batch["vision_lengths"].shape == (clips,)
                assert {m: tuple(y.shape) for m, y in batch["labels"].items()} == dict.fromkeys(
                    "MTAV", (clips, 1)
                )

    def test_it_comes_back_as_it_was(self, cache):
        exported()
        smp("import", "out.pkl")
        back, kept = open_cache("cache/out"), cache.clips["label"].notna().to_numpy()
        for field in WIDTHS:
            assert np.array_equal(back[field].read(), cache[field].read()[kept])
            assert np.array_equal(back[field].lengths, cache[field].lengths[kept])
            assert np.array_equal(back[field].states, cache[field].states[kept])
        columns = ["id", "text", "label", "split", "annotation", "label_T", "label_A", "label_V"]
        assert back.clips[columns].equals(cache.clips[kept][columns].reset_index(drop=True))
        assert back["vision"].states[0] == "missing"

    def test_older_numpy_knows_the_names_in_it(self, cache):
        exported()
        assert names_in(Path("out.pkl").read_bytes()) == NAMES

    def test_scores_of_modalities_are_all_there_or_none(self):
        splits = feature_files.mmsa(sims=True)
        splits["valid"]["regression_labels_A"][1] = np.nan
        smp("import", feature_files.write(Path("talks.pkl"), splits))
        done = smp("export", "talks", "out.pkl", "--format", "mmsa")
        assert "MMSA can't read them as sims" in done.output
        content = pickle.loads(Path("out.pkl").read_bytes())
        assert not [field for field in content["train"] if field.startswith("regression_labels_")]
        assert len(MmsaLoader(content["valid"], sims=False)) == 8

    def test_tokens_are_those_of_the_named_tokenizer(self, cache):
        checkpoint(Path("small-bert"))
        content = exported("--tokenizer", "small-bert")
        tokens = content["train"]["text_bert"]
        assert (tokens.shape[:2], tokens.dtype) == ((40, 3), np.int64)
        ids, mask, segments = tokens[0]
        assert ids[mask == 1][[0, -1]].tolist() == [2, 3]  # [CLS] … [SEP]
        assert segments.tolist() == [0] * len(segments)
        loaded = MmsaLoader(content["train"], sims=True, use_bert=True)
        assert loaded[0]["text"].shape == (3, 32)
        smp("import", "out.pkl")
        back = open_cache("cache/out")["text"]
        assert np.array_equal(back.read()[:40], cache["text"].read()[:40])
        assert np.array_equal(back.lengths[:40], cache["text"].lengths[:40])

    def test_a_text_has_no_more_tokens_than_there_are_steps(self):
        """MMSA's MISA takes as many steps of sound and picture as a text has tokens."""
        splits = feature_files.mmsa()
        splits["train"]["raw_text"][0] = "a " * 40
        smp("import", feature_files.write(Path("talks.pkl"), splits))
        checkpoint(Path("small-bert"))
        options = ("--format", "mmsa", "--tokenizer", "small-bert")
        done = smp("export", "talks", "out.pkl", *options)
        assert "at most 32 tokens, as many as there are steps; 1 of 60 texts" in done.output
        ids, mask, _ = pickle.loads(Path("out.pkl").read_bytes())["train"]["text_bert"][0]
        assert (len(ids), mask.sum(), ids[-1]) == (32, 32, 3)  # still ends in [SEP]

    def test_without_a_tokenizer_it_says_what_that_costs(self, cache, monkeypatch):
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        done = smp("export", "talks", "out.pkl", "--format", "mmsa")
        assert "no text_bert, which MMSA's BERT models read" in done.output
        assert "1 of 60 clips have no label and are left out" in done.output
        refused = smp("export", "talks", "b.pkl", "--format", "mmsa", "--tokenizer", "gone", code=2)
        assert "tokenizer 'gone' can't be loaded" in refused.stderr
        assert not Path("b.pkl").exists()

    def test_what_mmsa_could_not_read_is_not_written(self):
        splits = feature_files.mmsa()
        splits["valid"]["regression_labels"][:] = np.nan
        smp("import", feature_files.write(Path("talks.pkl"), splits))
        refused = smp("export", "talks", "out.pkl", "--format", "mmsa", code=2)
        assert "no labelled clip is in valid" in refused.stderr
        for split in splits.values():
            del split["audio"]
        smp("import", feature_files.write(Path("two.pkl"), splits))
        refused = smp("export", "two", "out.pkl", "--format", "mmsa", code=2)
        assert "has no audio features; MMSA reads all three" in refused.stderr
        assert [path.name for path in Path().iterdir() if "out" in path.name] == []


lengths_of_clips = st.lists(st.integers(1, 4), min_size=3, max_size=6)


@settings(deadline=None, max_examples=40)
@given(lengths_of_clips, st.data())
def test_any_features_come_back_from_an_mmsa_file(lengths, data):
    values = of_numpy.arrays(
        np.float32,
        (len(lengths), 4, 2),
        elements=st.floats(-9, 9, width=32).filter(lambda x: x != 0),
    )
    real = np.arange(4)[None, :, None] < np.array(lengths)[:, None, None]
    features = {m: data.draw(values) * real for m in MODALITIES.values()}
    labels = data.draw(st.lists(st.floats(-3, 3, width=32), min_size=6, max_size=6))
    clips = [
        Clip(f"v/{i}", text=data.draw(st.text()), label=labels[i], split=SPLITS[i % 3])
        for i in range(len(lengths))
    ]
    counts = dict.fromkeys(features, np.array(lengths))
    Path("some.pkl").unlink(missing_ok=True)
    mmsa.write(Bundle("some", "en", clips, features, counts, {}, {}), Path("some.pkl"))
    source = feature_pickle.read(Path("some.pkl"))
    assert {(c.id, c.text, c.label, c.split) for c in source.clips} == {
        (c.id, c.text, c.label, c.split) for c in clips
    }
    number = {clip.id: i for i, clip in enumerate(clips)}
    for field, modality in MODALITIES.items():
        for row, clip in enumerate(source.clips):
            found, i = source.features[field].values(row), number[clip.id]
            assert np.array_equal(found, features[modality][i, : lengths[i]])


def test_merbench_reads_one_file_a_clip_and_gives_it_back(cache):
    smp("export", "talks", "mer", "--format", "merbench")
    kept = cache.clips["label"].notna().to_numpy()
    names = [id.replace("/", "_") for id in cache.clips["id"][kept]]
    assert sorted(path.name for path in Path("mer").iterdir()) == [
        "features",
        "label.npz",
        "transcription-engchi-polish.csv",
    ]
    for field, modality in MODALITIES.items():
        rows, lengths = cache[field].read()[kept], cache[field].lengths[kept]
        for name, values, length in zip(names, rows, lengths, strict=True):
            found = np.load(Path("mer/features") / modality / f"{name}.npy")
            assert found.dtype == np.float32
            assert np.array_equal(found, values[: max(1, length)])
    with zipfile.ZipFile("mer/label.npz") as archive:
        assert names_in(archive.read("val_corpus.npy")[128:]) == NAMES
    corpus = np.load("mer/label.npz", allow_pickle=True)["val_corpus"].tolist()
    assert list(corpus) == [f"valid0_{i}" for i in range(8)]
    assert corpus["valid0_1"] == {"emo": 0, "val": cache.clips["label"][41]}
    with open("mer/transcription-engchi-polish.csv", newline="") as file:
        assert next(csv.DictReader(file)) == {
            "name": "train0_0",
            "chinese": "",
            "english": "words of clip 0",
        }
    smp("import", "mer")
    back = open_cache("cache/mer")
    assert back.clips["id"].tolist() == names
    assert back.clips["label"].tolist() == cache.clips["label"][kept].tolist()
    assert back.clips["text"].tolist() == cache.clips["text"][kept].tolist()
    for field, modality in MODALITIES.items():
        assert np.array_equal(back[modality].read(), cache[field].read()[kept])
        assert np.array_equal(back[modality].states, cache[field].states[kept])


@pytest.mark.parametrize("form", [mmsa, merbench, safetensors, parquet])
def test_half_a_character_in_a_transcript_stops_no_format(tmp_path, form):
    features = {m: np.ones((3, 32, 2), np.float32) for m in MODALITIES.values()}
    lengths = dict.fromkeys(features, np.array([32] * 3))
    clips = [Clip(f"a/{s}", text="good \ud83d!", label=1.0, split=s) for s in SPLITS]
    form.write(Bundle("some", "en", clips, features, lengths, {}, {}), tmp_path / "out")
    assert (tmp_path / "out").exists()


def test_safetensors_hold_every_clip_and_every_word(cache):
    from safetensors import safe_open

    smp("export", "talks", "out.safetensors", "--format", "safetensors")
    with safe_open("out.safetensors", "np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        words = {name: json.loads(text) for name, text in file.metadata().items()}
    for field, modality in MODALITIES.items():
        assert np.array_equal(tensors[modality], cache[field].read())
        assert np.array_equal(tensors[f"{modality}_lengths"], cache[field].lengths)
    assert np.array_equal(tensors["labels"], cache.clips["label"], equal_nan=True)
    assert np.array_equal(tensors["labels_T"], cache.clips["label_T"])
    assert words["ids"] == cache.clips["id"].tolist()
    assert words["splits"] == cache.clips["split"].tolist()
    assert words["raw_text"] == cache.clips["text"].tolist()
    assert words["channels"] == {"visual": ["vision"], "audio": ["audio"], "text": ["text"]}
    assert words["provenance"]["imported_from"] == cache.imported_from


def test_parquet_is_a_dataset_of_hugging_face(cache, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    from datasets import load_dataset

    smp("export", "talks", "out", "--format", "parquet")
    splits = load_dataset("parquet", data_dir="out", cache_dir="hub")
    assert {name: len(rows) for name, rows in splits.items()} == {
        "train": 40,
        "validation": 8,
        "test": 12,
    }
    rows = splits["test"]
    start = 48
    for field, modality in MODALITIES.items():
        feature = rows.features[modality]
        assert (feature.length, feature.feature.length) == (32, WIDTHS[field])
        assert feature.feature.feature.dtype == "float32"
        found = np.array(rows.with_format("numpy")[modality])
        assert np.array_equal(found, cache[field].read()[start:])
        assert rows[f"{modality}_length"][:] == cache[field].lengths[start:].tolist()
    assert rows["id"][:] == cache.clips["id"][start:].tolist()
    assert rows["raw_text"][:] == cache.clips["text"][start:].tolist()
    assert rows["label"][3] is None
    assert rows["label"][4] == cache.clips["label"][start + 4]
    assert rows["label_V"][4] == cache.clips["label_V"][start + 4]


class TestChannels:
    @pytest.fixture
    def talks(self, transcripts: Transcripts) -> Cache:
        transcripts.texts(["one", "seven", "", "a text", "words", "six"])
        letters: dict[str, object] = {"extractor": "tests.support.toys.letters"}
        tripled: dict[str, object] = {"extractor": "tests.support.toys.letters", "scale": 3.0}
        echoed: dict[str, object] = {
            "extractor": "tests.support.toys.echoed",
            "needs": ["doubled", "letters"],
        }
        transcripts.stages(
            letters=letters, mfcc=letters, wav2vec2=tripled, bert=letters, echoed=echoed
        )
        transcripts.extract()
        return open_cache(transcripts.cache_url)

    def tensors(self, talks: Cache, *options: str) -> Any:
        from safetensors.numpy import load_file

        Path("out.st").unlink(missing_ok=True)
        said = smp("export", talks.url, "out.st", "--format", "safetensors", *options).output
        return load_file("out.st"), said

    def test_all_of_a_modality_lie_side_by_side_by_default(self, talks):
        tensors, said = self.tensors(talks)
        both = [talks["mfcc"].read(), talks["wav2vec2"].read()]
        assert np.array_equal(tensors["audio"], np.concatenate(both, axis=2))
        assert "audio: mfcc + wav2vec2, 4 wide" in said
        assert "note: visual: the cache has no resnet18 and no action_units" in said
        assert "visual" not in tensors

    def test_stages_can_be_named(self, talks):
        tensors, said = self.tensors(talks, "--audio", "wav2vec2", "--visual", "letters, mfcc")
        assert np.array_equal(tensors["audio"], talks["wav2vec2"].read())
        assert tensors["visual"].shape[2] == 4
        assert "visual: letters + mfcc" in said
        refused = ["export", talks.url, "b.st", "--format", "safetensors", "--text", "tencent"]
        assert "no stage 'tencent'; extracted:" in smp(*refused, code=2).stderr
        refused[-1] = "echoed"
        assert "stage 'echoed' has no features of [steps, width]" in smp(*refused, code=2).stderr


def test_what_is_there_is_not_overwritten_and_nothing_is_left_half_written(tmp_path):
    place = tmp_path / "out"

    def write_half() -> None:
        with atomic_output(place) as part:
            part.mkdir()
            (part / "half").write_text("x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert list(tmp_path.iterdir()) == []
    with atomic_output(place) as part:
        part.write_text("all")
    with pytest.raises(UserError, match="already exists"), atomic_output(place):
        raise AssertionError("not reached")
    assert place.read_text() == "all"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
