"""What `benchmarks.fuzz` damages: for each reader, valid files made by code, and how it is read."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from model.data.batch import Batch
from model.data.samples import Samples
from model.data.truth import scored
from model.metrics import MOSI
from model.runs.files import CURVE, METRICS, PREDICTIONS, PROVENANCE, SETTINGS, WEIGHTS
from model.runs.load import load_model
from model.runs.predictions import read_validated
from model.runs.run import Run, find_run, runs_of
from model.runs.save import save_run
from model.training.loop import train
from model.training.settings import TrainSettings
from pipeline.dag.spec import Stages
from pipeline.dataset.clip import SPLITS, Clip
from pipeline.dataset.load import load
from pipeline.encoders.word_vectors import WordVectors
from pipeline.formats import feature_pickle, merbench
from pipeline.formats.bundle import Bundle
from pipeline.io.folder import Folder
from pipeline.io.hashing import of_bytes
from pipeline.store.clip_rows import Row
from pipeline.store.clips_table import ClipsTable
from pipeline.store.commit import Commit, RowState

Files = Mapping[str, bytes]
CLIPS = 6


@dataclass(frozen=True)
class Reader:
    """files: valid inputs, each one or several files of which one is damaged. tokens: what is put
    into them. sealed: they are records that carry their digest."""

    name: str
    files: Sequence[Files]
    read: Callable[[Path], object]
    tokens: Sequence[bytes] = ()
    sealed: bool = False


def _pickle(name: str) -> Reader:
    def split(name: str, n: int) -> dict[str, object]:
        x = np.arange(n * 8, dtype=np.float32).reshape(n, 4, 2)
        labels = np.linspace(-1, 1, n).astype(np.float32)
        return {
            "vision": x,
            "audio": x + 1,
            "text": x + 2,
            "regression_labels": labels,
            "raw_text": ["words"] * n,
            "id": [f"{name}$_${i}" for i in range(n)],
            "annotations": ["Neutral"] * n,
            "audio_lengths": [3] * n,
            "vision_lengths": [4] * n,
        }

    content = {name: split(name, n) for name, n in zip(SPLITS, (4, 2, 2), strict=True)}
    files = [{"a.pkl": pickle.dumps(content, protocol=protocol)} for protocol in (0, 2, 4, 5)]
    codes = [value for value in vars(pickle).values() if isinstance(value, bytes)]
    shared = (b"h\x00h\x00\x86q\x00" * 40, b"](h\x00h\x00eq\x00" * 40, b"}h\x00K\x01s")
    return Reader(name, files, lambda at: feature_pickle.read(at / "a.pkl"), (*codes, *shared))


def _merbench(name: str) -> Reader:
    clips = [Clip(f"v/{i}", text="words", label=0.5, split=SPLITS[i % 3]) for i in range(CLIPS)]
    x, n = np.ones((CLIPS, 4, 3), np.float32), np.full(CLIPS, 4)
    bundle = Bundle("made", "en", clips, {"text": x}, {"text": n}, {"text": ["bert"]}, {})
    with TemporaryDirectory() as temporary:
        merbench.write(bundle, Path(temporary))
        files = {
            merbench.LABELS: (Path(temporary) / merbench.LABELS).read_bytes(),
            merbench.TRANSCRIPTS: (Path(temporary) / merbench.TRANSCRIPTS).read_bytes(),
            "one.npy": next(Path(temporary).rglob("*.npy")).read_bytes(),
        }

    def read(folder: Path) -> None:
        features = folder / merbench.FEATURES / "text"
        features.mkdir(parents=True, exist_ok=True)
        (features / "v_0.npy").write_bytes((folder / "one.npy").read_bytes())
        found = merbench.read(folder, {"text": "text"})
        found.features["text"].values(0)

    return Reader(name, [files], read)


def _label_csv(name: str) -> Reader:
    head = "video_id,clip_id,text,label,annotation,mode,label_T\r\n"
    rows = [
        f'v,{i:04d},"some, ""words""",{i / 9},Neutral,{SPLITS[i % 3]},0.5' for i in range(CLIPS)
    ]
    content = (head + "\r\n".join(rows)).encode()
    return Reader(name, [{"label.csv": content}], lambda folder: load(folder).language)


def _manifest_csv(name: str) -> Reader:
    head = "id,video,audio,text,label,split,start,end\n"
    rows = [f'v/{i},a/{i}.mp4,,"some ""words""",{i / 9},{SPLITS[i % 3]},0,1' for i in range(CLIPS)]
    content = (head + "\n".join(rows)).encode()
    return Reader(name, [{"m.csv": content}], lambda at: load(at / "m.csv").language)


def _manifest_jsonl(name: str) -> Reader:
    rows = [
        f'{{"id": "v/{i}", "video": "{i}.mp4", "text": "文", "label": {i / 9}, "split": "train"}}'
        for i in range(CLIPS)
    ]
    content = "\n".join(rows).encode()
    return Reader(name, [{"m.jsonl": content}], lambda at: load(at / "m.jsonl").language)


def _stages(name: str) -> Reader:
    content = (Path(__file__).parent.parent / "stages.yaml").read_bytes()
    tokens = (b"&a ", b"*a", b"- ", b": ", b"<<: *a\n", b"!!python/name:os.system", b"!!binary ")
    return Reader(
        name, [{"stages.yaml": content}], lambda at: Stages.load(at / "stages.yaml"), tokens
    )


def _commit(name: str) -> Reader:
    rows = tuple(RowState(f"v/{i}@abc", "ok", 32, "", "few faces") for i in range(CLIPS))
    content = Commit(rows, {"features/c/0/0/0": "ab" * 32}).to_bytes()

    def read(folder: Path) -> object:
        commit = Commit.from_bytes((folder / "0").read_bytes())
        return commit.damage or (commit.keys, commit.to_bytes())

    return Reader(name, [{"0": content}], read, sealed=True)


def _clips_table(name: str) -> Reader:
    rows = tuple(
        Row(Clip(f"v/{i}", video=f"/d/{i}.mp4", text="w", label=0.5, split="train"), {"text": "ab"})
        for i in range(CLIPS)
    )
    with TemporaryDirectory() as temporary:
        ClipsTable("made", "en", "/d", rows).write(Folder(temporary))
        [path] = Path(temporary).iterdir()
        files = {path.name: path.read_bytes()}

    def read(folder: Path) -> object:
        table = ClipsTable.read(Folder(folder))
        return table and (table.keys(("text",)), table.present)

    return Reader(name, [files], read, sealed=True)


def _run(name: str) -> Reader:
    """A run folder without its seal, which would find every change."""
    clips = 30
    labels = np.linspace(-2, 2, clips)
    batch = Batch({"text": torch.randn(clips, 4, 3)}, {"text": torch.full((clips,), 4)})
    samples = Samples(
        *("made", [f"v/{i}" for i in range(clips)], batch, labels),
        *(np.array(SPLITS * (clips // 3)), scored(MOSI)),
        channels={"text": ["bert"]},
        provenance={"dataset": "made", "stages": {"bert": {"fingerprint": "a", "random": []}}},
    )
    settings = TrainSettings(model="lf_dnn", epochs=1, device="cpu")
    with TemporaryDirectory() as temporary:
        run = save_run(train(samples, settings), samples, settings, Path(temporary))
        names = (CURVE, METRICS, PREDICTIONS, PROVENANCE, SETTINGS, WEIGHTS)
        files = {name: (run / name).read_bytes() for name in names}
    files[PROVENANCE] = files[PROVENANCE].replace(b'"sealed": true', b'"sealed": null')

    def read(folder: Path) -> None:
        runs_of("made", folder.parent)
        load_model(find_run(folder, folder.parent))
        read_validated(folder, Run.read(folder).objective)
        Run.read(folder)

    return Reader(name, [files], read)


def _vectors(name: str) -> Reader:
    words = ("好", "film", "of the", "well")
    vectors = {word: [i / 7, -1.5, 1e-3] for i, word in enumerate(words)}
    lines = [" ".join([word, *map(str, row)]) for word, row in vectors.items()]
    binary = b"".join(
        w.encode() + b" " + struct.pack("<3f", *x) + b"\n" for w, x in vectors.items()
    )
    text = "\n".join(lines).encode()
    kinds = {"text": [b"4 3\n" + text, text], "binary": [b"4 3\n" + binary]}
    files = [{"vectors": content} for content in kinds[name.removeprefix("vectors_")]]

    def read(folder: Path) -> object:
        path = folder / "vectors"
        found = WordVectors(path, of_bytes(path.read_bytes()))
        return [found.of(word) for word in (*words, "none")]

    return Reader(name, files, read, (b"4 3\n", b"99999999999 3\n", b"4 99999999999\n", b" "))


MAKERS: Mapping[str, Callable[[str], Reader]] = {
    "pickle": _pickle,
    "merbench": _merbench,
    "label_csv": _label_csv,
    "manifest_csv": _manifest_csv,
    "manifest_jsonl": _manifest_jsonl,
    "stages": _stages,
    "commit": _commit,
    "clips_table": _clips_table,
    "run": _run,
    "vectors_text": _vectors,
    "vectors_binary": _vectors,
}
