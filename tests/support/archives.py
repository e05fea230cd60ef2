"""Small folders laid out exactly as the public archives unpack, what is odd in them included."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np

Media = Callable[[Path], object]  # puts a media file at a path

MELD_HEAD = [
    "Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID",
    "Season", "Episode", "StartTime", "EndTime",
]  # fmt: skip
MELD_TIMES = ["8", "21", "00:16:16,059", "00:16:21,731"]
# IEMOCAP's recordings: turns as speaker, number, start, end, emotion, dimensions, what is said.
TURNS = {
    "Ses01F_impro01": [
        ("F", 0, 6.2901, 8.2357, "neu", (2.5, 2.5, 2.5), "Excuse me."),
        ("M", 0, 7.5712, 10.475, "xxx", (2.5, 3.0, 3.0), "Do you have your forms?"),
        ("F", 1, 10.01, 11.3925, "exc", (4.5, 4.0, 3.0), "Yeah."),
    ],
    "Ses03M_script01_1": [("M", 0, 0.5, 2.25, "ang", (1.5, 4.0, 4.5), "It’s not fair.")],
    "Ses04M_impro02": [("F", 0, 1.0, 2.0, "hap", (4.0, 3.0, 3.0), "I do.")],
    "Ses05F_script02_2": [
        ("M", 3, 1.0, 2.0, "fru", (2.0, 3.5, 5.5), "What?"),
        ("F", 0, 2.0, 3.0, "sad", (1.5, 2.0, 2.0), "Nothing."),
        ("F", 1, 3.0, 4.0, "oth", (3.0, 3.0, 3.0), "Hm."),
    ],
}


def table(path: Path, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])


def put(media: Media, *paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        media(path)


def meld(folder: Path, media: Media = Path.touch) -> Path:
    """With MELD's corrupt clip, its missing one, those of no row, and its cp1252 characters."""
    rows = {
        "train/train_sent_emo.csv": [
            (1, "I was the point person on my company\x92s transition", "neutral", "neutral", 0, 0),
            (2, "You must\x92ve had your hands full.", "surprise", "positive", 0, 1),
            (3, "No, no!", "neutral", "neutral", 125, 3),
        ],
        "dev_sent_emo.csv": [
            (1, "Oh my God, he\u2019s lost it.", "sadness", "negative", 0, 0),
            (1153, "Did they tell you anything?", "neutral", "neutral", 110, 7),
        ],
        "test_sent_emo.csv": [
            (1, "Why do all you\u2019re coffee mugs have numbers?", "surprise", "positive", 0, 0),
            (2, "Push!", "joy", "positive", 1, 1),
        ],
    }  # fmt: skip
    for name, own in rows.items():
        cells = [(*row[:2], "Chandler", *row[2:], *MELD_TIMES) for row in own]
        table(folder / name, MELD_HEAD, cells)
    dev, test = folder / "dev_splits_complete", folder / "output_repeated_splits_test"
    train = folder / "train/train_splits"
    put(media, train / "dia0_utt0.mp4", train / "dia0_utt1.mp4", dev / "dia0_utt0.mp4")
    put(media, dev / "dia66_utt9.mp4", test / "dia0_utt0.mp4", test / "dia1_utt1.mp4")
    put(media, *(test / f"final_videos_testdia{n}_utt0.mp4" for n in (0, 93)))
    (train / "dia125_utt3.mp4").write_bytes(b"\0\0\0 ftypisom")  # its moov atom is missing
    return folder


def iemocap(folder: Path, media: Media = Path.touch) -> Path:
    for recording, turns in TURNS.items():
        session = folder / f"Session{recording[4]}"
        judged = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
        said = ["F: (overlapping)"]
        for speaker, number, start, end, emotion, values, text in turns:
            turn = f"{recording}_{speaker}{number:03d}"
            dimensions = ", ".join(f"{value:.4f}" for value in values)
            judged.append(f"[{start:.4f} - {end:.4f}]\t{turn}\t{emotion}\t[{dimensions}]")
            judged += ["C-E2:\tNeutral;\t()", "A-E3:\tval 3; act 2; dom  2;\t()", ""]
            said.append(f"{turn} [{start:08.4f}-{end:08.4f}]: {text}")
        said.append(f"{recording}_MXX0 [011.0000-011.5000]: Mm.")
        for place, lines in (("EmoEvaluation", judged), ("transcriptions", said)):
            path = session / "dialog" / place / f"{recording}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes("\n".join(lines).encode("cp1252"))
        put(media, session / f"dialog/avi/DivX/{recording}.avi")
    (folder / "Session1/dialog/EmoEvaluation/._Ses01F_impro01.txt").write_bytes(b"\0\5\x16\7")
    return folder


def csd(path: Path, spans: Mapping[str, Sequence[tuple[float, float, Sequence[float]]]]) -> Path:
    """A computational sequence as the SDK's `write_CSD` writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        root = file.create_group("All Labels")
        for video, own in spans.items():
            intervals = np.array([[start, end] for start, end, _ in own], "float32")
            features = np.array([values for *_, values in own], "float32")
            held = root.create_group(f"data/{video}")
            held.create_dataset("features", data=features, compression="gzip", compression_opts=9)
            held.create_dataset("intervals", data=intervals, compression="gzip", compression_opts=9)
        told = root.create_group("metadata").create_dataset("root name", (1,), h5py.string_dtype())
        told[0] = '"All Labels"'
    return path


def folds(path: Path, **videos: Sequence[str]) -> None:
    lines = [f"standard_{split}_fold={list(own)!r}" for split, own in videos.items()]
    path.write_text("\n".join(lines))


def mosei(folder: Path, media: Media = Path.touch) -> Path:
    """Labels out of order, a start below 0, a video of no fold, one sentence without a label."""
    csd(
        folder / "CMU_MOSEI_Labels.csd",
        {
            "-NFrJFQijFE": [(0.4, 3.9, [0, 0, 0, 0, 0, 0, 0])],
            "_0efYOjQYRc": [
                (7.814, 13.882, [1, 0.6666667, 0, 0, 0.3333333, 0, 0]),
                (-0.487528, 8.025, [-1.3333334, 0, 1, 2, 0, 0.6666667, 0]),
            ],
            "22821": [(40.0, 44.0, [2, 3, 0, 0, 0, 0, 0])],
            "81406": [(1.0, 4.0, [0.3333333, 0, 0, 0, 0, 0, 1])],
        },
    )
    folds(folder / "cmu_mosei_std_folds.py", train=["_0efYOjQYRc"], valid=["22821"], test=["81406"])
    transcripts = folder / "Raw/Transcript/Segmented/Combined"
    transcripts.mkdir(parents=True)
    lines = {
        "_0efYOjQYRc": [
            "_0efYOjQYRc___0___0.0___8.025___Deloitte announced it.",
            "_0efYOjQYRc___1___7.814___13.882___Vettese has served___as partner.",
            "_0efYOjQYRc___2___13.531___20.756___Nobody judged this.",
        ],
        "81406": ["81406___4___1.0___4.0___I liked it."],
        "22821": ["22821___7___10.0___12.0___Another time."],
    }
    for video, own in lines.items():
        (transcripts / f"{video}.txt").write_text("\n".join(own) + "\n")
    raw = folder / "Raw/Videos"
    put(media, *(raw / f"Full/Combined/{v}.mp4" for v in (*lines, "-NFrJFQijFE")))
    put(media, raw / "Segmented/Combined/81406_4.mp4")
    return folder


def mosi(folder: Path, media: Media = Path.touch) -> Path:
    """With full videos alone, and the archive's own scores with start and end."""
    raw = folder / "Raw"
    texts = {"_dI--eQ6qVU": ["GOOD", "BAD"], "03bSnISJMiM": ["SO SO"], "v": ["AH"]}
    for video, said in texts.items():
        lines = "".join(f"{n}_DELIM_{text}\n" for n, text in enumerate(said, 1))
        path = raw / f"Transcript/Segmented/{video}.annotprocessed"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(lines)
        put(media, raw / f"Video/Full/{video}.mp4")
    (raw / "Labels").mkdir()
    scores = ["0.1,2.5,_dI--eQ6qVU,1,2.4", "2.5,4,_dI--eQ6qVU,2,-1.8", "0,1,03bSnISJMiM,1,0"]
    (raw / "Labels/OpinionLevelSentiment.csv").write_text("\n".join([*scores, "3,4.5,v,1,-3"]))
    file = folder / "cmu_mosi_std_folds.py"
    folds(file, train=["_dI--eQ6qVU"], valid=["v"], test=["03bSnISJMiM"])
    return folder


def sims(folder: Path, media: Media = Path.touch) -> Path:
    ids = [("video_0001", 1), ("video_0001", 2), ("video_0002", 1)]
    scores = {"M": (-1, 0.2, 0.8), "T": (0, 0, 1), "A": (-0.4, 0.2, 0.6), "V": (-1, 0, 0.8)}
    for modality, own in scores.items():
        rows = [(*id, score) for id, score in zip(ids, own, strict=True)]
        path = folder / f"metadata/sentiment/label_{modality}.csv"
        table(path, ["video_id", "clip_id", "label"], rows)
    said = [(*id, text, "") for id, text in zip(ids, ["我不想嫁给李茶", "好", "走吧"], strict=True)]
    table(folder / "metadata/Translation.csv", ["video_id", "clip_id", "Chinese", "English"], said)
    for number, name in enumerate(("test", "train", "val")):
        table(folder / f"metadata/{name}_index.csv", ["index"], [(number,)])
    put(media, *(folder / f"Raw/{video}/{clip:04d}.mp4" for video, clip in ids))
    return folder


def sims_v2(folder: Path, media: Media = Path.touch) -> Path:
    scores = ["label", "label_T", "label_A", "label_V"]
    head = ["video_id", "clip_id", "text", *scores, "annotation", "mode"]
    rows = [
        ("aqgy3_0001", "00000", "我知道了", 0.4, 0, 0.6, 0.6, "Weakly Positive", "train"),
        ("aqgy3_0001", "00001", "你走吧", -1, -0.8, -1, -0.6, "Negative", "valid"),
        ("tyxy1_0002", "00000", "好吧", 0, 0, 0, 0, "Neutral", "test"),
    ]
    table(folder / "ch-simsv2s/meta.csv", head, rows)
    more = [("aqgy3_0001", "00000", "谁知道呢"), ("xfz_0009", "00003", "走")]
    table(folder / "ch-simsv2u/meta.csv", head[:3], more)
    put(media, *(folder / f"ch-simsv2s/Raw/{row[0]}/{row[1]}.mp4" for row in rows))
    put(media, *(folder / f"ch-simsv2u/Raw/{row[0]}/{row[1]}.mp4" for row in more))
    return folder


def mer2023(folder: Path, media: Media = Path.touch) -> Path:
    """The third test set has no valence, and MERTools writes −10 for one that is not known."""
    emotions = ["worried", "happy", "neutral", "angry", "surprise", "sad"]
    rows = [(f"sample_{n:08d}", emotion, n - 2.5) for n, emotion in enumerate(emotions)]
    table(folder / "train-label.csv", ["name", "discrete", "valence"], rows)
    put(media, *(folder / f"train/{name}.mp4" for name, *_ in rows))
    for part, emotion, valence in (("1", "happy", "3"), ("2", "sad", "-10"), ("3", "angry", "")):
        name = f"sample_1000000{part}"
        table(folder / f"test{part}-label.csv", ["name", "discrete", "valence"],
              [(name, emotion, valence)])  # fmt: skip
        put(media, folder / f"test{part}/{name}.avi")
    said = [(name, f"第{n}句") for n, (name, *_) in enumerate(rows)]
    table(folder / "transcription.csv", ["name", "sentence"], said)
    return folder


def mer2024(folder: Path, media: Media = Path.touch) -> Path:
    emotions = ["worried", "happy", "neutral", "angry", "surprise", "sad"]
    rows = [(f"samplenew_{n:08d}", emotion, n - 2) for n, emotion in enumerate(emotions)]
    table(folder / "label-disdim.csv", ["name", "discrete", "valence"], rows)
    said = [(name, f"第{n}句", f"line {n}") for n, (name, *_) in enumerate(rows)]
    table(folder / "label-transcription.csv", ["name", "chinese", "english"], said)
    put(media, *(folder / f"video-labeled/{name}.mp4" for name, *_ in rows))
    for part, name in (("semi", "sample_00000001"), ("noise", "sample_00000002")):
        table(folder / f"reference-{part}.csv", ["name", "discrete"], [(name, "happy")])
        put(media, folder / f"video-unlabeled-with-test2noise/{name}.mp4")
    put(media, folder / "video-unlabeled-with-test2noise/sample_00000003.mp4")  # of no table
    return folder


MAKE: dict[str, Callable[[Path], Path]] = {  # by the adapter's file
    "ch_sims": sims, "ch_sims_v2": sims_v2, "cmu_mosei": mosei, "cmu_mosi": mosi,
    "iemocap": iemocap, "meld": meld, "mer2023": mer2023, "mer2024": mer2024,
}  # fmt: skip
