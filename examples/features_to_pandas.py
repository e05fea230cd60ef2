"""Cached features as a pandas table, and a ridge regression on them: paste it into a notebook.

$ python examples/features_to_pandas.py [cache/sample]
"""

import sys

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline import Cache, open_cache

STAGES = ("resnet18", "action_units", "mfcc", "wav2vec2", "bert")


def table(cache: Cache) -> pd.DataFrame:
    """A row a clip: id, split and label, then each stage's mean over the clip's real steps."""
    columns = []
    for stage in STAGES:
        view = cache[stage]
        steps = np.maximum(view.lengths, 1)[:, None]  # padding is zero: it adds nothing to a sum
        names = [f"{stage}.{i}" for i in range(view.width or 0)]
        columns.append(pd.DataFrame(view.read().sum(axis=1) / steps, columns=names))
    return pd.concat([cache.clips[["id", "split", "label"]], *columns], axis=1)


def main(url: str) -> None:
    clips = table(open_cache(url)).dropna(subset="label")
    print(clips.iloc[:3, :6].to_string(index=False), end="\n\n")

    features = clips.columns[3:]
    train, test = (clips[clips["split"] == name] for name in ("train", "test"))
    ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 6, 13)))
    ridge.fit(train[features], train["label"])
    predicted = ridge.predict(test[features])

    error = np.abs(predicted - test["label"]).mean()
    median = np.abs(train["label"].median() - test["label"]).mean()
    print(f"{len(features)} features of {len(train)} training clips, {len(test)} test clips")
    print(f"MAE {error:.3f}; of the training clips' median score: {median:.3f}")
    print(f"correlation {np.corrcoef(predicted, test['label'])[0, 1]:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:] or ["cache/sample"])
