"""Features sent to others, as a dataset that Hugging Face `datasets` reads."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from model.data.provenance import random_stages
from model.publish.card import LOCAL, rendered, stage_rows
from model.publish.place import send
from pipeline.dataset.clip import SPLITS
from pipeline.formats import parquet
from pipeline.formats.bundle import Bundle


def push_features(
    bundle: Bundle, where: str, licence: str = "", private: bool = False, with_text: bool = True
) -> str:
    """Send the features with their card to a folder or the hub; say where they are.

    with_text: with the transcripts too, which not every dataset lets one publish.
    """
    told = {key: value for key, value in bundle.provenance.items() if key not in LOCAL}
    clips = bundle.clips if with_text else [replace(clip, text="") for clip in bundle.clips]
    bundle = replace(bundle, provenance=told, clips=clips)
    split = Counter(clip.split for clip in bundle.clips)
    with TemporaryDirectory(prefix="smp-push-") as temporary:
        folder = Path(temporary) / "features"
        parquet.write(bundle, folder)
        card = rendered(
            "features_card",
            bundle=bundle,
            where=where,
            licence=licence,
            random=", ".join(random_stages(bundle.provenance)),
            steps=next(iter(bundle.features.values())).shape[1],
            modalities=list(bundle.features),
            counts={name: split[name] for name in SPLITS if split[name]},
            stages=stage_rows(bundle.provenance),
        )
        (folder / "README.md").write_text(card, encoding="utf-8")
        return send(folder, where, "dataset", private)
