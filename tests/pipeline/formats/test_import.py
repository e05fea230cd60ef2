"""Other tools' features become a cache that tells the truth, whatever befalls the import."""

import csv
import json
import math
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.networks import names
from pipeline import open_cache
from pipeline.errors import ClipError, MissingModalityError, UserError
from pipeline.formats import feature_pickle, merbench
from pipeline.formats.feature_set import Feature
from pipeline.stage.steps import pad, to_steps
from pipeline.store.dataset_cache import open_dataset
from pipeline.store.store import Store
from pipeline.store.verify import verify
from tests.conftest import Transcripts
from tests.pipeline.io.test_pickle_io import Reduced
from tests.support import feature_files
from tests.support.commands import smp
from tests.support.feature_files import WIDTHS, Splits

SPLITS = ("train", "valid", "test")


def imported(splits: Splits, *options: object, code: int = 0) -> Any:
    """The cache that `smp import` makes of them."""
    smp("import", feature_files.write(Path("talks.pkl"), splits), *options, code=code)
    return open_cache("cache/talks")


def joined(splits: Splits, field: str) -> list[Any]:
    return [value for name in SPLITS for value in splits[name][field]]


def expected(rows: list[np.ndarray]) -> np.ndarray:
    return np.stack([pad(to_steps(x)) for x in rows])


class TestMmsa:
    def test_an_unaligned_file_is_cut_to_its_lengths_and_sampled(self):
        splits = feature_files.mmsa()
        for split in splits.values():
            split["audio"][3, 0] = -np.inf  # the logarithm of silence
            split["audio_lengths"][3] = 5
        cache = imported(splits)
        words = [int(tokens[1].sum()) for tokens in joined(splits, "text_bert")]
        lengths = {
            **{f: joined(splits, f"{f}_lengths") for f in ("vision", "audio")},
            "text": words,
        }
        for field in WIDTHS:
            rows = [x[:n] for x, n in zip(joined(splits, field), lengths[field], strict=True)]
            rows = [np.where(np.isneginf(x), 0, x) for x in rows]
            assert np.array_equal(cache[field].read(), expected(rows))
            assert cache[field].lengths.tolist() == [min(n, 32) for n in lengths[field]]
        assert max(lengths["audio"]) > 32

    @pytest.mark.parametrize("front", [False, True])
    def test_an_aligned_file_keeps_its_fields_side_by_side(self, front):
        splits = feature_files.mmsa(aligned=True, front=front)
        words = [int(tokens[1].sum()) for tokens in joined(splits, "text_bert")]
        first, last = (-words[0], -1) if front else (0, words[0] - 1)
        splits["train"]["vision"][0][first] = 0  # no face at the first word, and at the last
        splits["train"]["vision"][0][last] = 0
        cache = imported(splits)
        assert {f: cache[f].lengths.tolist() for f in WIDTHS} == dict.fromkeys(WIDTHS, words)
        cut = [
            x[-n:] if front else x[:n] for x, n in zip(joined(splits, "vision"), words, strict=True)
        ]
        assert np.array_equal(cache["vision"].read(), expected(cut))

    def test_clips_keep_ids_texts_splits_and_scores(self):
        splits = feature_files.mmsa(sims=True)
        splits["train"]["regression_labels"][2] = np.nan
        splits["train"]["regression_labels_A"][5] = np.nan
        clips = imported(splits).clips
        assert clips["id"].tolist() == [i.replace("$_$", "/") for i in joined(splits, "id")]
        assert clips["text"].tolist() == joined(splits, "raw_text")
        assert clips["annotation"].tolist() == joined(splits, "annotations")
        assert clips["split"].value_counts().to_dict() == feature_files.SIZES
        for column, field in (("label", ""), *((f"label_{m}", f"_{m}") for m in "TAV")):
            assert np.array_equal(
                clips[column], joined(splits, f"regression_labels{field}"), equal_nan=True
            )
        assert math.isnan(clips["label"][2])

    def test_arrays_of_a_clip_each_are_read_too(self):
        splits, ragged = feature_files.mmsa(), feature_files.mmsa()
        for split in ragged.values():
            lengths = split["vision_lengths"]
            split["vision"] = [x[:n] for x, n in zip(split["vision"], lengths, strict=True)]
        assert np.array_equal(imported(ragged)["vision"].read(), imported(splits)["vision"].read())

    def test_zeros_are_a_missing_modality_and_nan_a_failed_clip(self):
        splits = feature_files.mmsa()
        splits["train"]["vision"][0] = 0
        splits["train"]["vision_lengths"][0] = 1
        splits["test"]["text"][1, 0, 2] = np.nan
        cache = imported(splits, code=1)
        assert (cache["vision"].states[0], cache["vision"].reasons[0]) == ("missing", "only zeros")
        last = len(cache.clips) - feature_files.SIZES["test"] + 1
        assert cache["text"].states[last] == "failed"
        assert cache["text"].reasons[last] == "holds NaN or infinity, first at step 0"
        assert cache["text"].lengths[last] == 0
        told = smp("status", "talks").output
        assert "train0/0: missing, only zeros" in told
        assert "test0/1: failed, holds NaN" in told

    def test_a_field_less_is_noted_and_none_at_all_refused(self):
        splits = feature_files.mmsa()
        for split in splits.values():
            del split["audio"]
        done = smp("import", feature_files.write(Path("talks.pkl"), splits))
        assert "note: the file has no audio" in done.output
        assert list(open_cache("cache/talks")) == ["vision", "text"]
        for split in splits.values():
            del split["vision"], split["text"]
        with pytest.raises(UserError, match="no features"):
            feature_pickle.read(feature_files.write(Path("talks.pkl"), splits))

    def test_windows_may_be_averaged_instead(self):
        splits = feature_files.mmsa()
        rows = [
            x[:n]
            for x, n in zip(joined(splits, "audio"), joined(splits, "audio_lengths"), strict=True)
        ]
        cache = imported(splits, "--sampling", "mean")
        assert np.array_equal(
            cache["audio"].read(), np.stack([pad(to_steps(x, "mean")) for x in rows])
        )


def test_the_dialect_of_mult_is_read():
    splits = feature_files.mult()
    cache = imported(splits)
    assert cache.clips["id"][0] == "train0/0.5_1.5"
    assert np.allclose(cache.clips["label"], [float(y[0, 0]) for y in joined(splits, "labels")])
    rows = [x[np.flatnonzero(x.any(axis=1))[0] :] for x in joined(splits, "vision")]
    assert np.array_equal(cache["vision"].read(), expected(rows).astype(np.float32))
    for split in splits.values():
        del split["id"]
    assert feature_pickle.read(feature_files.write(Path("no.pkl"), splits)).clips[0].id == (
        "train/00000"
    )


def change(field: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def changed(split: dict[str, Any]) -> None:
        split[field] = value(split[field]) if callable(value) else value

    return changed


def narrower_clip(rows: np.ndarray) -> list[np.ndarray]:
    return [x if i != 2 else x[:, :3] for i, x in enumerate(rows)]


WRONG: list[tuple[Callable[[dict[str, Any]], None], str]] = [
    (change("vision", lambda x: x[:-1]), "valid: vision has 7 entries for 8 clips"),
    (change("vision", lambda x: x[:, 0]), "clip 'valid0/0': vision has shape [5] of float32"),
    (change("audio", narrower_clip), "clip 'valid0/2': audio has shape [70, 3] of float32"),
    (change("audio", lambda x: x[..., :3]), "audio is 4 wide in one split, 3 in another"),
    (change("text", lambda x: x.astype(str)), "clip 'valid0/0': text has shape [10, 6] of <U32"),
    (change("text_bert", lambda x: x[:, :2]), "clip 'valid0/0': text_bert has shape [2, 10]"),
    (change("audio_lengths", lambda x: [-1, *x[1:]]), "clip 'valid0/0': audio_lengths is -1.0"),
    (change("audio_lengths", lambda x: x[1:]), "audio_lengths has 7 entries for 8 clips"),
    (change("regression_labels", lambda x: np.stack([x, x], 1)), "regression_labels has shape [2]"),
    (change("regression_labels", lambda x: [np.inf, *x[1:]]), "expected one number"),
    (change("regression_labels", 3.0), "regression_labels is 3.0, expected one entry a clip"),
    (
        change("id", lambda x: [x[0], *x[:-1]]),
        "id 'valid0/0' already appears at talks",
    ),
    (change("id", lambda x: ["../../etc$_$passwd", *x[1:]]), "leaves the dataset's folder"),
    (change("id", None), "no field labels; has"),
]


@pytest.mark.parametrize(("wrong", "said"), WRONG, ids=lambda value: str(value)[:40])
def test_what_does_not_fit_is_named_by_split_clip_and_field(wrong, said):
    splits = feature_files.mmsa()
    wrong(splits["valid"])
    done = smp("import", feature_files.write(Path("talks.pkl"), splits), code=2)
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not Path("cache/talks").exists()


def test_what_is_no_feature_file_is_refused_in_a_line():
    write, splits = feature_files.write, feature_files.mmsa()
    whole = pickle.dumps(splits)
    cases = {
        "torn.pkl": (whole[: len(whole) // 2], "not a pickle, or a damaged one"),
        "text.pkl": (b"not a pickle at all", "not a pickle, or a damaged one"),
        "list.pkl": (pickle.dumps([1]), "expected a dict of train, valid and test; holds list"),
        "part.pkl": (pickle.dumps({"train": {}}), "expected a dict of train, valid and test"),
        "none.pkl": (pickle.dumps({s: {"id": []} for s in SPLITS}), "neither regression_labels"),
    }
    for name, (content, said) in cases.items():
        Path(name).write_bytes(content)
        assert said in smp("import", name, code=2).stderr
    assert "can't be read" in smp("import", "gone.pkl", code=2).stderr
    assert "go with a MERBench folder" in smp("import", "x.pkl", "--audio", "a", code=2).stderr
    splits["test"]["raw_text"] = Reduced(eval, ("open('trace', 'w')",))
    assert "builtins.eval" in smp("import", write(Path("bad.pkl"), splits), code=2).stderr
    assert not Path("trace").exists()
    assert not Path("cache").exists()


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=4),
    st.integers(0, 3),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_padding_at_either_end_never_comes_along(lengths, extra, front, seed):
    random = np.random.default_rng(seed)
    steps = max(lengths) + extra
    rows = [random.uniform(1, 2, (n, 3)).astype(np.float32) for n in lengths]
    padded = np.zeros((len(rows), steps, 3), np.float32)
    for values, x in zip(padded, rows, strict=True):
        values[steps - len(x) if front else 0 :][: len(x)] = x
    split = {
        "vision": padded,
        "labels": np.zeros((len(rows), 1, 1)),
        "id": [f"v$_${seed}_{i}" for i in range(len(rows))],
    }
    empty = {"vision": padded[:0], "labels": [], "id": []}
    path = feature_files.write(Path("some.pkl"), {"train": split, "valid": empty, "test": empty})
    feature = feature_pickle.read(path).features["vision"]
    for number, x in enumerate(rows):
        if len(x):
            assert np.array_equal(feature.values(number), x)
        else:
            with pytest.raises(MissingModalityError):
                feature.values(number)


def test_only_audio_has_silence_at_minus_infinity():
    rows = np.array([[-np.inf, 1.0], [2.0, 3.0]])
    assert Feature("audio", 2, lambda _: rows).values(0)[0].tolist() == [0, 1]
    for bad in (rows, rows * [[1, 1], [1e300, 1]], np.full((1, 2), np.nan)):
        with pytest.raises(ClipError, match="NaN or infinity"):
            Feature("visual", 2, [bad].__getitem__).values(0)


class TestCache:
    def test_it_is_found_by_name_by_file_and_as_a_folder(self):
        imported(feature_files.mmsa())
        for named in ("talks", "talks.pkl", "cache/talks"):
            told = json.loads(smp("status", named, "--json").stdout)
            assert told["imported_from"] == str(Path("talks.pkl").absolute())
            assert told["stages"]["vision"]["clips"] == {"ok": 60, "missing": 0, "failed": 0}
            assert told["stages"]["vision"]["partitions"] == [2, 2]
        assert f"imported from {Path('talks.pkl').absolute()}" in smp("status", "talks").output

    def test_features_of_another_file_of_that_name_are_not_taken_for_its_own(self):
        imported(feature_files.mmsa())
        Path("other").mkdir()
        copy = Path(shutil.copy("talks.pkl", "other"))
        for named in ("talks", "talks.pkl", "cache/talks", copy):
            assert len(open_dataset(named, "cache").clips) == 60
        copy.write_bytes(copy.read_bytes() + b"more")
        with pytest.raises(UserError, match=r"talks.pkl, which is another file than other/talks"):
            open_dataset(copy, "cache")

    def test_where_it_came_from_is_in_the_stores_and_in_the_run(self):
        cache = imported(feature_files.mmsa())
        made = cache["audio"].attributes
        assert made["source"] == str(Path("talks.pkl").absolute())
        assert made["extractor"] == "import"
        assert made["settings"]["format"] == "mmsa"
        assert made["settings"]["feature"] == "audio"
        done = smp("train", "talks", "--model", "lf_dnn", "--epochs", "1", "--json")
        run = Path(json.loads(done.stdout)["run"])
        told = json.loads((run / "provenance.json").read_text())
        assert told["imported_from"] == made["source"]
        assert told["stages"]["audio"]["fingerprint"] == cache["audio"].fingerprint
        assert told["stages"]["audio"]["random"] == []

    def test_a_clips_page_tells_where_its_numbers_came_from(self):
        cache = imported(feature_files.mmsa())
        smp("inspect", "talks", "train0/3")
        page = Path("runs/talks-train0-3.html").read_text()
        assert "import, version 1" in page
        assert cache["vision"].attributes["settings"]["content"] in page

    def test_a_second_import_writes_nothing(self, stored_bytes):
        imported(feature_files.mmsa())
        before = stored_bytes("cache/talks")
        assert "Nothing to do" in smp("import", "talks.pkl").output
        assert stored_bytes("cache/talks") == before
        assert verify("cache/talks").faults == ()

    @pytest.mark.parametrize("partitions", [0, 1, 3, 5])
    def test_an_import_that_was_killed_is_no_whole_one_and_goes_on(
        self, partitions, stored_bytes, monkeypatch
    ):
        imported(feature_files.mmsa())
        whole = stored_bytes("cache/talks")
        written: list[int] = []
        write = Store.write

        def killed(store, number, keys, results):
            if len(written) == partitions:
                raise KeyboardInterrupt
            written.append(number)
            return write(store, number, keys, results)

        monkeypatch.setattr(Store, "write", killed)
        again = ["import", "talks.pkl", "--cache", "other"]
        smp(*again, code=130)
        told = json.loads(smp("status", "talks", "--cache", "other", "--json").stdout)
        assert sum(stage["partitions"][0] for stage in told["stages"].values()) == partitions
        refused = smp("train", "talks", "--cache", "other", code=2)
        assert "is not imported yet; run `smp import talks.pkl --cache other`" in refused.stderr
        assert verify("other/talks").faults == ()
        monkeypatch.setattr(Store, "write", write)
        assert f"{6 - partitions} of 6 partitions written" in smp(*again).output
        assert stored_bytes("other/talks") == whole

    def test_a_cache_on_object_storage_is_one_too(self):
        cache = imported(feature_files.mmsa())
        root = "memory://imported/cache"
        smp("import", "talks.pkl", "--cache", root)
        remote = open_cache(f"{root}/talks")
        assert np.array_equal(remote["text"].read(), cache["text"].read())
        assert "Nothing to do" in smp("import", "talks.pkl", "--cache", root).output

    def test_damage_is_found_told_and_mended(self, stored_bytes):
        imported(feature_files.mmsa())
        whole = stored_bytes("cache/talks")
        chunk = next(Path("cache/talks/audio").glob("*.zarr/features/c/1/0/0"))
        chunk.write_bytes(chunk.read_bytes()[:-1] + b"x")
        told = smp("verify", "cache/talks", "--repair", code=1)
        assert "extract these partitions again, run `smp import talks.pkl`: audio/" in told.output
        assert "1 of 6 partitions written" in smp("import", "talks.pkl").output
        assert stored_bytes("cache/talks") == whole

    def test_pages_say_how_it_goes_on(self):
        cache = imported(feature_files.mmsa())
        chunk = next(Path("cache/talks/audio").glob("*.zarr/features/c/1/0/0"))
        chunk.unlink()
        smp("verify", "cache/talks", "--repair", code=1)
        smp("report", "talks", "--output", "report.html")
        smp("inspect", "talks", cache.clips["id"].iloc[-1], "--output", "clip.html")
        for page in ("report.html", "clip.html"):
            html = Path(page).read_text(encoding="utf-8")
            assert "<code>smp import talks.pkl</code>" in html
            assert "smp extract" not in html

    def test_a_changed_file_takes_the_place_of_the_old_one(self):
        imported(feature_files.mmsa())
        splits = feature_files.mmsa(seed=1)
        for field, value in splits["train"].items():
            splits["train"][field] = value[::-1]  # the same clips in another order
        cache = imported(splits)
        rows = [
            x[:n]
            for x, n in zip(joined(splits, "vision"), joined(splits, "vision_lengths"), strict=True)
        ]
        assert np.array_equal(cache["vision"].read(), expected(rows))
        told = smp("clean", "talks").output
        assert told.count("settings.content: ") == 3
        assert "Removed 3 stores" in told
        assert "Removed 0 stores" in smp("clean", "talks", "--strict").output
        assert np.array_equal(open_cache("cache/talks")["vision"].read(), expected(rows))

    def test_it_never_mixes_with_another_dataset(self, transcripts: Transcripts):
        imported(feature_files.mmsa())
        assert "smp import talks.pkl" in smp("extract", "talks.pkl", code=2).stderr
        transcripts.texts(["one", "two"])
        options = ["--stages", transcripts.stages_file, "--cache", "cache"]
        refused = smp("extract", transcripts.folder, *options, code=2)
        assert "was imported from" in refused.stderr
        transcripts.extract(cache_root="extracted")
        refused = smp("import", "talks.pkl", "--cache", "extracted", code=2)
        assert "holds an extraction" in refused.stderr
        other = feature_files.mult()
        for split in other.values():
            split["id"] = [f"other{i}" for i in range(len(split["id"]))]
        path = feature_files.write(Path("other.pkl"), other)
        said = smp("import", path, code=2).stderr
        assert "already appears at other.pkl, train" in said  # in two splits
        for name, split in other.items():
            split["id"] = [f"{name}{id}" for id in split["id"]]
        feature_files.write(path, other)
        assert "holds another dataset" in smp("import", path, "--name", "talks", code=2).stderr
        smp("import", path)


def layout(root: Path, rows: dict[str, np.ndarray], width: int = 3) -> Path:
    """A folder of MERBench, with one feature `hubert-FRA` of the given rows by clip."""
    folder = root / "features" / "hubert-FRA"
    folder.mkdir(parents=True)
    for name, values in rows.items():
        np.save(folder / f"{name}.npy", values)
    names = list(rows)
    labels = {n: {"emo": 0, "val": np.float64(i / 10)} for i, n in enumerate(names)}
    corpora: dict[str, Any] = {
        "train_corpus": {n: labels[n] for n in names[:-2]},
        "val_corpus": {n: labels[n] for n in names[-2:-1]},
        "test_corpus": {n: labels[n] for n in names[-1:]},
    }
    np.savez_compressed(root / "label.npz", **corpora)
    with (root / "transcription-engchi-polish.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["name", "chinese", "english"])
        table.writerows([n, f"话{i}", f"words {i}"] for i, n in enumerate(names))
    return root


class TestMerbench:
    def test_frames_vectors_and_folders_of_faces_are_read(self):
        random = np.random.default_rng(0)
        rows = {f"v_{i}": random.uniform(1, 2, (i + 1, 3)).astype(np.float32) for i in range(6)}
        root = layout(Path("sims-process"), rows)
        features = root / "features" / "hubert-FRA"
        np.save(features / "v_0.npy", rows["v_0"][0])  # a vector: one step
        (features / "v_3.npy").unlink()
        for k, face in enumerate(rows["v_3"]):
            (features / "v_3").mkdir(exist_ok=True)
            np.save(features / "v_3" / f"{k:03d}.npy", face)
        smp("import", root, "--visual", "hubert-FRA")
        cache = open_cache("cache/sims-process")
        assert np.array_equal(cache["hubert-FRA"].read(), expected(list(rows.values())))
        assert cache.clips["id"].tolist() == list(rows)
        assert np.allclose(cache.clips["label"], np.arange(6) / 10)
        assert cache.clips["split"].tolist() == ["train"] * 4 + ["valid", "test"]
        assert cache.clips["text"][1] == "话1"
        assert cache.table.language == "zh"
        smp("import", root, "--visual", "hubert-FRA", "--language", "en")
        assert open_cache("cache/sims-process").clips["text"][1] == "words 1"

    @pytest.mark.parametrize(
        "header",
        [
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 3), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 1000000000000), }",
            "{'descr': '<f4', 'fortran_order': ",
            '"""',
            "  (\n 1",
        ],
    )
    def test_an_absurd_header_costs_its_clip_and_no_memory(self, header):
        root = layout(Path("mosi"), {f"v_{i}": np.ones((2, 3)) for i in range(3)})
        content = header.encode().ljust(117) + b"\n"
        path = root / "features" / "hubert-FRA" / "v_1.npy"
        path.write_bytes(b"\x93NUMPY\x01\x00" + len(content).to_bytes(2, "little") + content)
        smp("import", root, "--audio", "hubert-FRA", code=1)
        assert open_cache("cache/mosi")["hubert-FRA"].states.tolist() == ["ok", "failed", "ok"]

    def test_a_bad_file_costs_its_clip(self):
        rows = {f"v_{i}": np.ones((2, 3), np.float32) for i in range(6)}
        root = layout(Path("mosi"), rows)
        folder = root / "features" / "hubert-FRA"
        np.save(folder / "v_1.npy", np.ones((2, 4)))
        (folder / "v_2.npy").unlink()
        (folder / "v_3.npy").write_bytes(b"torn")
        np.save(folder / "v_4.npy", np.array([Reduced(eval, ("1",))], object))
        np.save(folder / "v_5.npy", np.ones((2, 3, 4)))
        smp("import", root, "--audio", "hubert-FRA", code=1)
        cache = open_cache("cache/mosi")
        assert cache.command == "smp import mosi --audio hubert-FRA"
        view = cache["hubert-FRA"]
        assert view.states.tolist() == ["ok", *["failed"] * 5]
        assert view.reasons[1:3] == ["is 4 wide where others are 3", "no file v_2.npy"]
        assert "v_3.npy can't be read" in view.reasons[3]
        assert "Python objects" in view.reasons[4]
        assert "v_5.npy has shape [2, 3, 4]" in view.reasons[5]

    def test_emotions_of_meld_are_classes_and_no_score_is_missing(self):
        """MERBench writes −10 as the score of a dataset that has none."""
        splits = ["train"] * 8 + ["val", "test"]
        names = [f"{split}_dia{i}_utt0" for i, split in enumerate(splits)]
        random = np.random.default_rng(0)
        root = layout(Path("meld"), {name: random.uniform(1, 2, (4, 3)) for name in names})
        emotions = dict(zip(names, (3, 3, 1, 0, 3, 1, 6, 2, 1, 3), strict=True))
        corpora = (("train", names[:8]), ("val", names[8:9]), ("test", names[9:]))
        labels: dict[str, Any] = {
            f"{split}_corpus": {name: {"emo": emotions[name], "val": -10} for name in own}
            for split, own in corpora
        }
        np.savez_compressed(root / "label.npz", **labels)
        told = smp("import", root, "--audio", "hubert-FRA").stdout
        assert "note: 10 clips without a score" in told
        cache = open_cache("cache/meld")
        [target] = cache.targets
        assert (target.name, target.kind) == ("emotion", "classes")
        assert target.classes == (
            "anger", "joy", "sadness", "neutral", "disgust", "fear", "surprise",
        )  # fmt: skip
        assert list(cache.clips["class_emotion"][:4]) == ["neutral", "neutral", "joy", "anger"]
        assert cache.clips["label"].isna().all()
        options = ("--epochs", "1", "--device", "cpu", "--json", "--model", "lf_dnn")
        trained = json.loads(smp("train", root, *options).stdout)
        assert trained["test"].keys() == {"acc", "f1", "f1_macro", "uar"}
        smp("export", "meld", "again", "--format", "merbench")
        again = merbench.read(Path("again"), {"audio": "audio"})
        assert [clip.classes for clip in again.clips] == [
            {"emotion": name} for name in cache.clips["class_emotion"]
        ]

    def test_targets_are_declared_beside_a_file_of_features(self):
        splits = feature_files.mmsa()
        splits["train"]["regression_labels"][:2] = -10
        Path("targets.yaml").write_text("label: {range: [-3, 3]}\n")
        told = smp("import", feature_files.write(Path("talks.pkl"), splits)).stdout
        assert "note: label: 2 values outside of what targets.yaml" in told
        assert open_cache("cache/talks").clips["label"].isna().sum() == 2

    def test_which_features_are_of_what_has_to_be_said(self):
        root = layout(Path("mosi"), {f"v_{i}": np.ones((2, 3)) for i in range(4)})
        unclear = smp("import", root, code=2).stderr
        assert "--visual, --audio and --text, each one or more of the folders in" in unclear
        assert unclear.endswith("features/: hubert-FRA\n")
        assert "no features 'wavlm'" in smp("import", root, "--audio", "wavlm", code=2).stderr
        twice = ["--audio", "hubert-FRA", "--text", "hubert-FRA"]
        smp("import", root, *twice, code=2)

    def test_labels_that_would_run_something_do_not(self):
        root = layout(Path("mosi"), {f"v_{i}": np.ones((2, 3)) for i in range(4)})
        bad: Any = {"v_0": {"val": Reduced(eval, ("open('trace', 'w')",))}}
        np.savez(root / "label.npz", train_corpus=bad)
        with pytest.raises(UserError, match=r"train_corpus: holds builtins\.eval"):
            merbench.read(root, {"hubert-FRA": "audio"})
        assert not Path("trace").exists()
        np.savez(root / "label.npz", train_corpus=np.ones(3))
        with pytest.raises(UserError, match="expected a dict of clips"):
            merbench.read(root, {"hubert-FRA": "audio"})
        (root / "label.npz").write_bytes(b"torn")
        with pytest.raises(UserError, match="can't be read"):
            merbench.read(root, {"hubert-FRA": "audio"})


@pytest.mark.slow
def test_every_model_trains_on_imported_features():
    splits = feature_files.mmsa(sims=True)
    splits["train"]["regression_labels"][2] = np.nan
    splits["train"]["vision"][1] = 0
    imported(splits)
    options = ["--epochs", "1", "--batch", "16", "--seeds", "1", "--device", "cpu", "--json"]
    told = json.loads(smp("compare", "talks.pkl", "--models", "all", *options).stdout)
    assert {row.get("model") for row in told["rows"]} - {None} == set(names())
    assert told["failed"] == {}
    told = json.loads(smp("train", "talks", "--target", "T", "--epochs", "1", "--json").stdout)
    assert told["splits"]["train"] == {
        "clips": 40,
        "left_out": 0,
        "visual": 39,
        "audio": 40,
        "text": 40,
    }
    assert told["notes"] == [f"the features were imported from {Path('talks.pkl').absolute()}"]
    done = smp("ablate", "talks", "modalities", *options)
    assert sum("model" in row for row in json.loads(done.stdout)["rows"]) == 7
    assert (
        "no features for any of the features" in smp("ablate", "talks", "features", code=2).stderr
    )
