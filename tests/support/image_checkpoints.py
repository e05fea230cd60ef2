"""Small picture encoders saved in the hub's layouts, and the table of them in the docs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import transformers
from safetensors.torch import save_file

from tests.support.paths import ROOT

PAGE = ROOT / "docs/picture-encoders.md"
PX = 64
SHAPE = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
    "image_size": PX, "patch_size": 16,
}  # fmt: skip
TEXT = {
    "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "vocab_size": 20, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
MAP, CLS = "mean of the map", "class token"
SQUARE = {"size": {"height": PX, "width": PX}}
CROPPED = {"size": {"shortest_edge": 80}, "crop_size": {"height": PX, "width": PX}}
OLD_CLIP = {"size": PX, "crop_size": PX, "do_center_crop": True, "resample": 3}
LAYOUTS = ("safetensors", "bin")
NAMES = {"safetensors": "model.safetensors", "bin": "pytorch_model.bin"}


@dataclass(frozen=True)
class Family:
    """A kind of networks.

    example: on the hub. own: what `pooling: own` is. network: a small one, whole. processor: the
    content of its preprocessor_config.json, or of `pretrained_cfg` for timm's.
    """

    library: str
    example: str
    own: str
    network: Callable[[], Any]
    processor: dict[str, Any]

    def save(self, folder: Path, layout: str) -> Path:
        """The checkpoint in that layout, numbers drawn from one seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            network = self.network()
            for name, tensor in network.state_dict().items():
                _draw(name, tensor)
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self._config(network)))
        state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        if layout == "safetensors":
            save_file(state, folder / NAMES[layout], {"format": "pt"})
        else:
            torch.save(state, folder / NAMES[layout])
        if self.library == "transformers":
            (folder / "preprocessor_config.json").write_text(json.dumps(self.processor))
        return folder

    def _config(self, network: Any) -> dict[str, Any]:
        if self.library == "timm":
            own = {**network.pretrained_cfg, **self.processor}
            return {"architecture": network.pretrained_cfg["architecture"],
                    "num_classes": network.num_classes, "num_features": network.num_features,
                    "pretrained_cfg": own}  # fmt: skip
        return {**network.config.to_dict(), "architectures": [type(network).__name__]}


def _draw(name: str, tensor: torch.Tensor) -> None:
    """Numbers with which every layer does something, and a face is not lost on the way."""
    if tensor.ndim > 1:
        tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5)
    elif tensor.is_floating_point():
        tensor.normal_(0, 0.1)
        if name.endswith(("weight", "var", "gamma", "lambda1", "lambda_1", "lambda_2")):
            tensor.add_(1).abs_()


def _of(kind: str, processor: str | None, own: str, example: str, settings: dict[str, Any],
        how: dict[str, Any] = SQUARE, head: str = "Model") -> Family:  # fmt: skip
    def build() -> Any:
        config = getattr(transformers, f"{kind}Config")(**settings)
        return getattr(transformers, kind + head)(config)

    type_key = "feature_extractor_type" if how is OLD_CLIP else "image_processor_type"
    said = {type_key: processor, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    return Family("transformers", example, own, build, {**said, **how})


def _timm(name: str, own: str, example: str, **how: Any) -> Family:
    said = {"input_size": [3, 160, 160], "crop_pct": 0.9, "interpolation": "bicubic"}
    return Family(
        "timm", example, own, lambda: timm.create_model(name, num_classes=7), {**said, **how}
    )


CONV = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
TOWERS = {"vision_config": SHAPE, "text_config": TEXT}
FAMILIES: dict[str, Family] = {
    "ResNet": _of(
        "ResNet", "ConvNextImageProcessor", MAP, "microsoft/resnet-18",
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
        {"size": {"shortest_edge": PX}, "crop_pct": 0.875, "resample": 3},
        head="ForImageClassification",
    ),
    "ConvNeXt": _of(
        "ConvNext", "ConvNextImageProcessor", "mean of the map, normalised",
        "facebook/convnext-tiny-224", CONV, {"size": {"shortest_edge": PX}, "crop_pct": 0.875},
    ),
    "ConvNeXt V2": _of(
        "ConvNextV2", "ConvNextImageProcessor", "mean of the map, normalised",
        "facebook/convnextv2-tiny-22k-224", CONV, {"size": {"shortest_edge": 384}},
    ),
    "EfficientNet": _of(
        "EfficientNet", "EfficientNetImageProcessor", MAP, "google/efficientnet-b0",
        {"width_coefficient": 0.25, "depth_coefficient": 0.1, "hidden_dim": 320},
        {**SQUARE, "include_top": True},
    ),
    "ViT": _of(
        "ViT", "ViTImageProcessor", CLS, "google/vit-base-patch16-224", SHAPE,
        head="ForImageClassification",
    ),
    "DeiT": _of(
        "DeiT", "DeiTImageProcessor", CLS, "facebook/deit-base-distilled-patch16-224", SHAPE,
        {**SQUARE, "size": {"height": 73, "width": 73}, "crop_size": SQUARE["size"]},
    ),
    "BEiT": _of(
        "Beit", "BeitImageProcessor", "mean of the patches, normalised",
        "microsoft/beit-base-patch16-224", SHAPE, {**SQUARE, "do_center_crop": False},
    ),
    "DINOv2": _of(
        "Dinov2", "BitImageProcessor", CLS, "facebook/dinov2-base",
        {**SHAPE, "image_size": 96, "mlp_ratio": 2}, CROPPED,
    ),
    "CLIP": _of(
        "CLIP", "CLIPFeatureExtractor", CLS, "openai/clip-vit-base-patch32", TOWERS, OLD_CLIP,
    ),
    "SigLIP": _of(
        "Siglip", "SiglipImageProcessor", "attention over the patches",
        "google/siglip-base-patch16-224", TOWERS,
    ),
    "Swin": _of(
        "Swin", "ViTImageProcessor", "mean of the patches, normalised",
        "microsoft/swin-tiny-patch4-window7-224",
        {"image_size": PX, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4},
    ),
    "timm's ResNets": _timm("test_resnet", MAP, "timm/resnet50.a1_in1k"),
    "timm's EfficientNets": _timm(
        "test_efficientnet", MAP, "timm/tf_efficientnet_b0.ns_jft_in1k", interpolation="bilinear"
    ),
    "timm's ViTs": _timm(
        "test_vit", CLS, "timm/vit_base_patch16_224.augreg_in21k", crop_pct=1.0,
        fixed_input_size=True,
    ),
    "timm's ConvNeXts": _timm("test_convnext", MAP, "timm/convnext_tiny.fb_in22k"),
}  # fmt: skip

OF_8 = {**SHAPE, "num_frames": 8}
VIDEOS: dict[str, Family] = {
    "VideoMAE": _of(
        "VideoMAE", "VideoMAEImageProcessor", "a step of two faces", "MCG-NJU/videomae-base",
        {**OF_8, "decoder_hidden_size": 32, "decoder_num_hidden_layers": 1,
         "decoder_num_attention_heads": 2, "decoder_intermediate_size": 32},
        CROPPED, head="ForPreTraining",
    ),
    "ViViT": _of(
        "Vivit", "VivitImageProcessor", "a step of two faces", "google/vivit-b-16x2-kinetics400",
        {**OF_8, "tubelet_size": [2, 16, 16]}, CROPPED, head="ForVideoClassification",
    ),
    "TimeSformer": _of(
        "Timesformer", "VideoMAEImageProcessor", "a step of one face",
        "facebook/timesformer-base-finetuned-k400", OF_8, CROPPED, head="ForVideoClassification",
    ),
}  # fmt: skip


def faces(n: int = 3) -> np.ndarray:
    """uint8 rgb [n, 112, 112, 3]: blobs of colour, as no two the same."""
    noise = np.random.default_rng(2).uniform(0, 255, (n, 3, 14, 14)).astype(np.float32)
    grown = torch.nn.functional.interpolate(torch.from_numpy(noise), 112, mode="bicubic")
    return grown.clamp(0, 255).permute(0, 2, 3, 1).numpy().astype(np.uint8)


def table() -> str:
    """Families and layouts, as docs/picture-encoders.md shows them."""
    files = " ".join(f"| `{NAMES[layout]}` " for layout in LAYOUTS) + "|"
    rows = [
        f"| family | library | for example | `pooling: own` {files}",
        "|---|---|---|---" + "|---" * len(LAYOUTS) + "|",
    ]
    for name, family in {**FAMILIES, **VIDEOS}.items():
        loads = "| loads " * len(LAYOUTS)
        rows.append(f"| {name} | {family.library} | `{family.example}` | {family.own} {loads}|")
    return "\n".join(rows)


def with_table(page: str) -> str:
    """The page with the table as it has to be."""
    return re.sub(r"(?m)^\| family (.*\n)(\|.*\n)*", lambda _: table() + "\n", page)


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
