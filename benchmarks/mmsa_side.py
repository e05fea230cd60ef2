"""MMSA's loader, models and trainers on a file of features, run by the Python that has MMSA.

`python mmsa_side.py FILE MODEL SEEDS ANSWERS`, seeds apart by commas; ANSWERS is the JSON that is
written, a list with a value a seed for each of: weights, seconds of the processor, epochs, the best
of them, MMSA's metrics of the test split, and what was said of its clips, in the file's order.

MISA and Self-MM read their text from a BERT of their own. It gives way to a look-up of the file's
text features, so that all models have the same ones; MMSA wants them 768 wide, which zeros fill.
The other models get their padding in front of the words, where their LSTMs forget none of them.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader

SPLITS = ("train", "valid", "test")
WIDTH = 768


class LookedUp(nn.Module):
    """In place of a BERT: ids [n, steps] are rows of `table`, all steps of one clip the same."""

    table = torch.zeros(1, 1, WIDTH)

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__()

    def forward(self, text: Tensor) -> Tensor:
        """[n, 3, steps] to [n, steps, 768]."""
        return self.table[text[:, 0, 0].long()]


def main() -> None:
    file, model, seeds, answers = sys.argv[1:]
    torch.set_num_threads(1)
    # Where its weight decay takes weights to nothing, denormals make a step 60 times as long.
    torch.set_flush_denormal(True)
    runs = [_run(file, model, int(seed)) for seed in seeds.split(",")]
    Path(answers).write_text(json.dumps({key: [run[key] for run in runs] for key in runs[0]}))


def _run(file: str, model: str, seed: int) -> dict[str, Any]:
    """As `MMSA_run` has it, which needs a GPU and keeps no answers."""
    from MMSA.config import get_config_regression
    from MMSA.data_loader import MMDataLoader
    from MMSA.models import AMIO
    from MMSA.trains import ATIO
    from MMSA.utils import count_parameters, setup_seed

    _mend_for_new_torch()
    args = get_config_regression(model, "mosi")
    args.update(device="cpu", train_mode="regression", cur_seed=seed, custom_feature=file)
    args.update(feature_T="", feature_A="", feature_V="")
    setup_seed(seed)
    loaders = MMDataLoader(args, 0)
    args.train_samples = len(loaders["train"].dataset)
    if args.get("use_bert"):
        _look_up(file, {split: loaders[split].dataset for split in SPLITS})
    else:
        for split in SPLITS:
            _pad_in_front(loaders[split].dataset)
    network, trainer = AMIO(args), ATIO().getTrain(args)
    losses: list[float] = []
    said: list[Tensor] = []
    trainer.do_test = _noting(trainer.do_test, losses)
    trainer.metrics = _keeping(trainer.metrics, said)
    with tempfile.TemporaryDirectory() as folder:
        args.model_save_path = f"{folder}/best.pth"
        started = time.process_time()
        trainer.do_train(network, loaders)
        seconds = time.process_time() - started
        network.load_state_dict(torch.load(args.model_save_path))
    epochs = len(losses)
    told = trainer.do_test(network, DataLoader(loaders["test"].dataset, args.batch_size), "TEST")
    return {
        "weights": count_parameters(network),
        "seconds": seconds,
        "epochs": epochs,
        "best": 1 + losses.index(min(losses[:epochs])),
        "told": {key: float(value) for key, value in told.items()},
        "said": said[-1].view(-1).tolist(),
    }


def _noting(do_test: Any, losses: list[float]) -> Any:
    """`do_test`, whose losses are noted."""

    def noting(*given: Any, **named: Any) -> Any:
        told = do_test(*given, **named)
        losses.append(told["Loss"])
        return told

    return noting


def _keeping(metrics: Any, said: list[Tensor]) -> Any:
    """`metrics`, whose answers are kept."""

    def keeping(predicted: Tensor, true: Tensor) -> Any:
        said.append(predicted.detach())
        return metrics(predicted, true)

    return keeping


def _mend_for_new_torch() -> None:
    """Its schedulers are told to print what they do, for which torch has no option any more."""
    for name, module in list(sys.modules.items()):
        if name.startswith("MMSA.") and hasattr(module, "ReduceLROnPlateau"):
            module.ReduceLROnPlateau = _plateau  # type: ignore[attr-defined]


def _plateau(*given: Any, verbose: bool, **named: Any) -> lr_scheduler.ReduceLROnPlateau:
    return lr_scheduler.ReduceLROnPlateau(*given, **named)


def _pad_in_front(dataset: Any) -> None:
    """Let each clip's last step be its last word: MMSA's LSTMs read on over what comes after it."""
    for name in ("text", "audio", "vision"):
        clips = getattr(dataset, name)
        is_step = (clips != 0).any(-1)
        after = np.where(is_step.any(1), is_step[:, ::-1].argmax(1), 0)  # steps of padding
        shifted = [np.roll(clip, n, axis=0) for clip, n in zip(clips, after, strict=True)]
        setattr(dataset, name, np.stack(shifted))


def _look_up(file: str, datasets: dict[str, Any]) -> None:
    """Have the datasets' tokens stand for the clips, and `LookedUp` give their features."""
    content = np.load(file, allow_pickle=True)
    features = torch.cat([torch.from_numpy(content[split]["text"]) for split in SPLITS])
    LookedUp.table = F.pad(features, (0, WIDTH - features.shape[2]))
    mask = (features != 0).any(-1)
    first = 0
    for dataset in datasets.values():
        rows = torch.arange(first, first + len(dataset.ids))
        first += len(rows)
        ids = rows[:, None].expand(-1, mask.shape[1])
        dataset.text = torch.stack([ids, mask[rows], torch.zeros_like(ids)], dim=1).float().numpy()
    for name, module in list(sys.modules.items()):
        if name.startswith("MMSA.") and hasattr(module, "BertTextEncoder"):
            module.BertTextEncoder = LookedUp  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
