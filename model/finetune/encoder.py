"""A text encoder that learns: from token ids to the steps that its stage makes of them."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from model.finetune.settings import FineTune
from model.step.dropout import Dropout
from pipeline.dag.stage import Stage
from pipeline.encoders import bert, packing
from pipeline.encoders.layers import states_of
from pipeline.errors import UserError
from pipeline.extractors.bert import Bert
from pipeline.stage.steps import Sampling, pad, to_steps

TOGETHER = 4  # padded texts of similar length, on a processor
NUMBER = re.compile(r"\.(\d+)\.")


class Encoder(nn.Module):
    """The network of a `bert` stage, in float32; what isn't trained is no part of its state."""

    def __init__(self, stage: Stage, settings: FineTune) -> None:
        super().__init__()
        extractor = cast(Bert, stage.make())
        self.settings, self.layer = settings, extractor.settings.layer
        self.sampling, self.steps = cast(Sampling, extractor.sampling), extractor.steps
        self.network, _ = bert.fresh(extractor.weights(), "cpu")
        if getattr(self.network, "pooler", None) is not None:
            self.network.pooler = None  # it makes nothing of the states
        if settings.rank:
            self.network = _with_lora(self.network, settings.rank)
        else:
            self.network.requires_grad_(True)
            # Half of a small encoder's weights, of which a batch has a few rows.
            self.network.get_input_embeddings().requires_grad_(False)
        _forget_fixed(self.network)
        _draw_cheaply(self.network)
        self._packs = packing.made_for(self.network)

    def forward(self, tokens: Tensor) -> Tensor:
        """Token ids [n, most], -1 beyond a text, to [n, steps, width], zeros beyond its steps."""
        lengths = (tokens >= 0).sum(dim=1)
        if self._packs:
            return self._steps_of_row(tokens, lengths.tolist())
        order = lengths.argsort(stable=True)
        together = TOGETHER if tokens.device.type == "cpu" else len(tokens)
        steps = [self._steps(tokens[own], lengths[own]) for own in order.split(together)]
        return torch.cat(steps)[order.argsort()]

    def _steps_of_row(self, tokens: Tensor, lengths: list[int]) -> Tensor:
        """All texts side by side: large products, and none with padding."""
        device = tokens.device
        empty = torch.zeros(self.steps, self.network.config.hidden_size, device=device)
        steps, texts = [empty] * len(lengths), [i for i, length in enumerate(lengths) if length]
        if texts:
            ids = tokens.cpu().numpy()
            row = packing.as_row(self.network, [ids[i, : lengths[i]] for i in texts])
            given = {name: x.to(device) if name != "lengths" else x for name, x in row.items()}
            states = states_of(self.network, self.layer, **given)[0].split(row["lengths"])
            for i, own in zip(texts, states, strict=True):
                steps[i] = _shares(len(own), self.sampling, self.steps).to(device) @ own
        return torch.stack(steps)

    def _steps(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Texts below each other, padded to the longest."""
        tokens = tokens[:, : max(1, int(lengths.max()))]  # a text of none has no step
        is_real = tokens >= 0
        padding = getattr(self.network.config, "pad_token_id", None) or 0
        ids = tokens.where(is_real, padding)
        is_real[:, 0] = True  # attention to nothing is no number
        states = states_of(self.network, self.layer, input_ids=ids, attention_mask=is_real.long())
        shares = states.new_zeros(len(ids), self.steps, ids.shape[1])
        for of, length in zip(shares, lengths.tolist(), strict=True):
            of[:, :length] = _shares(length, self.sampling, self.steps)
        return shares @ states

    def by_rate(self) -> list[tuple[list[nn.Parameter], float]]:
        """Its weights by the learning rate of their layer; embeddings are the lowest one.

        Source: Howard and Ruder 2018, discriminative fine-tuning.
        """
        layers: dict[int, list[nn.Parameter]] = {}
        layer = 0
        for name, parameter in self.network.named_parameters():
            number = NUMBER.search(name)
            layer = int(number[1]) + 1 if number else layer
            layers.setdefault(layer, []).append(parameter)
        lr, decay, top = self.settings.lr, self.settings.layer_decay, max(layers)
        return [(own, lr * decay ** (top - layer)) for layer, own in layers.items()]


@lru_cache(maxsize=4096)
def _shares(tokens: int, sampling: Sampling, steps: int) -> Tensor:
    """What each step takes of each token, as the stage samples: [steps, tokens]."""
    each = np.eye(tokens, dtype=np.float32)
    return torch.from_numpy(pad(to_steps(each, sampling, steps), steps))


def _with_lora(network: Any, rank: int) -> Any:
    """The network with two narrow matrices beside each product, which alone learn.

    Scaled by 2, as is usual. Source: Hu et al. 2022, LoRA.
    """
    if not find_spec("peft"):
        raise UserError("LoRA needs peft: pip install 'smp-sentiment[finetune]'")
    from peft import LoraConfig, inject_adapter_in_model

    how = {"lora_alpha": 2 * rank, "target_modules": "all-linear"}
    return inject_adapter_in_model(LoraConfig(r=rank, **how), network)


def _forget_fixed(network: nn.Module) -> None:
    """Make of what isn't trained buffers that no state holds: they are those of the weights."""
    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if not parameter.requires_grad:
                delattr(module, name)
                module.register_buffer(name, parameter.detach(), persistent=False)


def _draw_cheaply(network: nn.Module) -> None:
    """Give its dropout random numbers of fewer bits."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Dropout):
                setattr(module, name, Dropout(child.p))
