"""Picture encoders of any family give what their library gives, with its own preparation."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import transformers
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from timm.data import create_transform, resolve_data_config
from torchvision.transforms.functional import to_pil_image

from pipeline.dag.spec import Stages
from pipeline.encoders import image_encoder, shades
from pipeline.encoders.image_network import Asked
from pipeline.errors import UserError
from pipeline.extractors.image_encoder import ImageEncoder
from pipeline.weights.repository import PICTURE
from tests.support.image_checkpoints import FAMILIES, LAYOUTS, PAGE, VIDEOS, faces, with_table

CLASSES = {"CLIP": "CLIPVisionModel", "SigLIP": "SiglipVisionModel"}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of every family, in .safetensors."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for name, family in FAMILIES.items():
        family.save(folder / name, "safetensors")
    return folder


def extractor(weights: object, **settings: Any) -> ImageEncoder:
    return ImageEncoder(
        ImageEncoder.Settings(**{"weights": str(weights), "device": "cpu", **settings})
    )


def by_transformers(folder: Path) -> Any:
    """What the library gives, its own processor and classes named in so many words."""
    name = folder.name
    config = json.loads((folder / "config.json").read_text())
    kind = CLASSES.get(name) or config["architectures"][0].replace(
        "ForImageClassification", "Model"
    )
    network = getattr(transformers, kind).from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    x = processor([to_pil_image(face) for face in faces()], return_tensors="pt")
    with torch.inference_mode():
        return network(**x, output_hidden_states=True)


def by_timm(folder: Path) -> tuple[Any, torch.Tensor]:
    """timm's network as it loads it itself from the folder, and its input."""
    network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    transform = create_transform(**resolve_data_config(model=network))
    return network, torch.stack([transform(to_pil_image(face)) for face in faces()])


def expected(folder: Path) -> np.ndarray:
    """The library's own pooling."""
    family = FAMILIES[folder.name]
    if family.library == "timm":
        network, x = by_timm(folder)
        with torch.inference_mode():
            rows = network.forward_head(network.forward_features(x), pre_logits=True)
            return np.asarray(rows)
    found = by_transformers(folder)
    rows = found.last_hidden_state[:, 0] if folder.name in ("ViT", "DeiT") else found.pooler_output
    return np.asarray(rows.flatten(1))


@pytest.mark.parametrize("name", FAMILIES)
def test_features_are_the_librarys_own(name: str, checkpoints: Path) -> None:
    stage = extractor(checkpoints / name)
    features = stage.features(faces())
    assert features.dtype == np.float32
    assert stage.writes()["features"].width == features.shape[1]
    off = np.abs(features - expected(checkpoints / name)).max()
    assert off <= min(1e-4, 0.05 * features.std(axis=0).mean()), "also far below what faces differ"


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("settings", [{}, {"input_px": 96, "crop": False, "mean": (0.1, 0.2, 0.3)}])
def test_bytes_on_a_device_become_the_librarys_own_floats(
    settings: dict[str, Any], name: str, checkpoints: Path
) -> None:
    stage = extractor(checkpoints / name, **settings)
    encoder = image_encoder.opened(stage.weights(), stage._asked(), "cpu")
    encoder.shades = shades.found(encoder.prepared, encoder.sized, "cpu:0")
    assert (encoder.shades is None) == (name == "EfficientNet")
    assert torch.equal(encoder.input_of(faces(), torch.device("cpu")), encoder.prepared(faces()))


def test_where_a_library_does_more_with_a_pixel_it_does_all_of_it() -> None:
    def sized(faces: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(faces).permute(0, 3, 1, 2)

    def of_bytes(faces: np.ndarray) -> torch.Tensor:
        return sized(faces).float() / 255

    def of_the_place(faces: np.ndarray) -> torch.Tensor:
        x = of_bytes(faces)
        return x + torch.arange(x.shape[-1])

    assert shades.found(of_bytes, sized, "cpu:0") is not None
    assert shades.found(of_bytes, sized, "cpu") is None
    assert shades.found(of_the_place, sized, "cpu:0") is None
    assert shades.found(of_bytes, of_bytes, "cpu:0") is None


@pytest.mark.parametrize("name", FAMILIES)
def test_a_bin_file_holds_the_same(name: str, checkpoints: Path, tmp_path: Path) -> None:
    other = extractor(FAMILIES[name].save(tmp_path / name, "bin")).weights()
    same = extractor(checkpoints / name)
    assert other.digest == same.weights().digest
    asked = Asked()
    network = image_encoder.opened(other, asked, "cpu")
    features = image_encoder.features(network, faces(), asked)
    assert features == pytest.approx(same.features(faces()), abs=1e-6)


def test_the_table_in_the_docs_is_of_what_is_tested() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.count("| loads ") == (len(FAMILIES) + len(VIDEOS)) * len(LAYOUTS)
    assert page == with_table(page), "run `make docs`"


# ---- layers and pooling


def test_layers_and_pooling_are_of_the_librarys_hidden_states(checkpoints: Path) -> None:
    folder = checkpoints / "DINOv2"
    found = by_transformers(folder)
    one, two, last = (np.asarray(state) for state in found.hidden_states)
    output = np.asarray(found.last_hidden_state)
    for how, expected in (
        ({"pooling": "cls"}, output[:, 0]),
        ({"pooling": "mean"}, output[:, 1:].mean(axis=1)),
        ({"pooling": "cls", "layer": -2}, two[:, 0]),
        ({"pooling": "mean", "layer": 0}, one[:, 1:].mean(axis=1)),
        ({"pooling": "mean", "layer": [-2, -1]}, ((two + last) / 2)[:, 1:].mean(axis=1)),
    ):
        assert extractor(folder, **how).features(faces()) == pytest.approx(expected, abs=1e-4), how


def test_timms_hidden_states_are_taken_likewise(checkpoints: Path) -> None:
    folder = checkpoints / "timm's ViTs"
    network, x = by_timm(folder)
    with torch.inference_mode():
        output = network.forward_features(x).numpy()
        states = network.forward_intermediates(x, intermediates_only=True, output_fmt="NLC")
    for how, expected in (
        ({"pooling": "cls"}, output[:, 0]),
        ({"pooling": "mean"}, output[:, 1:].mean(axis=1)),
        ({"pooling": "mean", "layer": -2}, states[-2].mean(dim=1).numpy()),
        ({"pooling": "mean", "layer": [0, 1]}, ((states[0] + states[1]) / 2).mean(dim=1).numpy()),
    ):
        assert extractor(folder, **how).features(faces()) == pytest.approx(expected, abs=1e-4), how


def test_tokens_of_no_place_are_no_patches(checkpoints: Path) -> None:
    """DeiT has two: the class's and the teacher's."""
    output = np.asarray(by_transformers(checkpoints / "DeiT").last_hidden_state)
    features = extractor(checkpoints / "DeiT", pooling="mean").features(faces())
    assert output.shape[1] == 18
    assert features == pytest.approx(output[:, 2:].mean(axis=1), abs=1e-4)


@pytest.mark.parametrize(
    ("name", "how", "words"),
    [
        ("ResNet", {"pooling": "cls"}, "no class token"),
        ("SigLIP", {"pooling": "cls"}, "no class token"),
        ("ViT", {"pooling": "cls", "layer": 3}, "`layer` 3 to 3: this network has 3"),
        ("timm's ViTs", {"pooling": "cls", "layer": -9}, "no features of a face"),
        ("ConvNeXt", {"pooling": "mean", "layer": [-2, -1]}, "24 and 32 wide"),
    ],
)
def test_what_a_network_does_not_have_is_told_before_it_is_loaded(
    name: str, how: dict[str, Any], words: str, checkpoints: Path
) -> None:
    told(extractor(checkpoints / name, **how), words)


@pytest.mark.parametrize("layer", [[-1, -2], [-1, 1], "last"])
def test_layers_are_given_in_order(layer: object) -> None:
    with pytest.raises(ValidationError):
        extractor("random", pooling="cls", layer=layer)
    with pytest.raises(ValidationError, match="needs `pooling`"):
        extractor("random", layer=-1)


# ---- preparation


@pytest.mark.parametrize("name", ["CLIP", "DINOv2", "ConvNeXt", "ViT", "timm's ViTs"])
def test_size_and_crop_can_be_set(name: str, checkpoints: Path) -> None:
    folder = checkpoints / name
    larger = extractor(folder, input_px=96).features(faces())
    whole = extractor(folder, input_px=96, crop=False).features(faces())
    assert larger.shape == whole.shape == extractor(folder).features(faces()).shape
    encoder = image_encoder.opened(extractor(folder).weights(), Asked(input_px=96), "cpu")
    assert encoder.prepared(faces()).shape == (3, 3, 96, 96)
    cuts = name not in ("CLIP", "ViT", "timm's ViTs")  # these show all of a square face anyway
    assert (np.abs(larger - whole).max() > 1e-3) == cuts


@pytest.mark.parametrize("name", ["CLIP", "timm's ResNets"])
def test_colours_and_interpolation_can_be_set(name: str, checkpoints: Path) -> None:
    weights = extractor(checkpoints / name).weights()
    grey = image_encoder.opened(weights, Asked(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)), "cpu")
    x = grey.prepared(faces()).numpy()
    assert 0 <= x.min() < x.max() <= 1
    rough = image_encoder.opened(weights, Asked(interpolation="bilinear"), "cpu").prepared(faces())
    fine = image_encoder.opened(weights, Asked(interpolation="bicubic"), "cpu").prepared(faces())
    assert (rough - fine).abs().max() > 1e-2


# ---- a bare file


def test_a_file_needs_the_name_of_its_network(checkpoints: Path, tmp_path: Path) -> None:
    """As EmotiEffLib hands out its EfficientNets: the whole module, pickled."""
    network = timm.create_model("test_efficientnet", num_classes=7).eval()
    network.load_state_dict(load_file(checkpoints / "timm's EfficientNets" / "model.safetensors"))
    torch.save(network, tmp_path / "enet.pt")
    stage = extractor(tmp_path / "enet.pt", architecture="test_efficientnet")
    how = {"input_px": 160, "interpolation": "bilinear", "crop": False}
    same = extractor(checkpoints / "timm's EfficientNets", **how).features(faces())
    bare = extractor(tmp_path / "enet.pt", architecture="test_efficientnet", **how)
    assert bare.features(faces()) == pytest.approx(same, abs=1e-4)
    told(extractor(tmp_path / "enet.pt", architecture="test_vit"), "test_vit of timm's")
    told(extractor(tmp_path / "enet.pt"), "config.json")
    assert stage.settings.affecting_results()["architecture"] == "test_efficientnet"


# ---- what can't be taken


def told(stage: ImageEncoder, *words: str) -> None:
    """It is refused in one line that names the weights, as soon as its width is asked for."""
    with pytest.raises(UserError) as caught:
        stage.writes(), stage.features(faces(1))
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def folder_of(folder: Path, config: dict[str, Any]) -> ImageEncoder:
    (folder / "config.json").write_text(json.dumps(config))
    save_file({"x": torch.ones(1)}, folder / "model.safetensors")
    (folder / "preprocessor_config.json").write_text("{}")
    return extractor(folder)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "bert"}, "'bert' model, which makes no features of whole pictures"),
        ({"model_type": "wav2vec2"}, "'wav2vec2' model, which makes no features"),
        ({"model_type": "vit_mae"}, "'vit_mae' model, which makes no features"),
        ({"model_type": "mine"}, "'mine' model, which this version of transformers doesn't have"),
        ({"architecture": "resnet_of_mine"}, "has no 'resnet_of_mine'"),
        ({"architecture": "hf-hub:own/net"}, "has no 'hf-hub:own/net'"),
        ({"architecture": ["test_vit"]}, "has no ['test_vit']"),
        ({}, "names neither an `architecture`"),
        ({"architecture": "test_vit", "model_args": {"checkpoint_path": "x.pt"}}, "checkpoint_p"),
        ({"architecture": "test_vit", "model_args": {"depth": "deep"}}, "can't build 'test_vit'"),
        ({"architecture": "test_vit", "pretrained_cfg": {"crop_pct": 1e-6}}, "resizes to"),
        ({"architecture": "test_vit", "model_args": {"in_chans": 1}}, "no features of a face"),
        ({"architecture": "test_vit"}, "fills 0 of the"),
    ],
)
def test_what_is_no_picture_encoder_is_one_clear_line(
    config: dict[str, Any], words: str, tmp_path: Path
) -> None:
    told(folder_of(tmp_path, config), words)


def test_code_of_a_checkpoint_never_runs(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "mine.py").write_text(f"open({str(ran)!r}, 'w')")
    classes = {"AutoConfig": "mine.Config", "AutoModel": "mine.Model"}
    for config in ({"model_type": "mine", "auto_map": classes}, {"auto_map": classes}):
        told(folder_of(tmp_path, config), "needs code of the checkpoint's own; that is never run")

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return open, (str(ran), "w")

    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "test_vit"}))
    with (tmp_path / "pytorch_model.bin").open("wb") as file:
        pickle.dump({"state": Trap()}, file)
    told(extractor(tmp_path), "pytorch_model.bin")
    assert not ran.exists()


@pytest.mark.parametrize(("name", "tensor"), [("CLIP", "post_layernorm"), ("timm's ViTs", "norm")])
def test_a_missing_tensor_is_refused(
    name: str, tensor: str, checkpoints: Path, tmp_path: Path
) -> None:
    FAMILIES[name].save(tmp_path, "safetensors")
    state = load_file(tmp_path / "model.safetensors")
    lost = next(key for key in state if tensor in key)
    del state[lost]
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    told(extractor(tmp_path), "missing", tensor)


def test_how_pictures_go_in_has_to_be_known(checkpoints: Path, tmp_path: Path) -> None:
    FAMILIES["ViT"].save(tmp_path, "safetensors")
    (tmp_path / "preprocessor_config.json").unlink()
    told(extractor(tmp_path), "preprocessor_config.json")


# ---- the stage


def test_what_is_fetched_of_either_library() -> None:
    tensors = ["model.safetensors", "pytorch_model.bin", "tf_model.h5", "onnx/model.onnx"]
    of_clip = ["config.json", "preprocessor_config.json", "tokenizer.json", *tensors]
    assert sorted(PICTURE.chosen(of_clip)) == ["config.json", "model.safetensors",
                                               "preprocessor_config.json"]  # fmt: skip
    assert PICTURE.chosen(["config.json", *tensors]) == ["model.safetensors", "config.json"]
    assert not PICTURE.lacking(["config.json", "pytorch_model.bin"]), "as timm's older ones"
    assert PICTURE.lacking(tensors) == ["a configuration (config.json)"]
    [source] = extractor("timm/resnet50.a1_in1k", revision="main").models()
    assert (source.id, source.revision) == ("timm/resnet50.a1_in1k", "main")
    assert source.files == PICTURE


def test_how_pictures_go_in_is_part_of_the_digest(tmp_path: Path) -> None:
    FAMILIES["ViT"].save(tmp_path, "safetensors")
    before = extractor(tmp_path).weights().digest
    file = tmp_path / "preprocessor_config.json"
    file.write_text(file.read_text().replace("0.3", "0.35"))
    assert extractor(tmp_path).weights().digest != before


def test_several_stand_side_by_side(checkpoints: Path) -> None:
    boxes = {"frames": {}, "faces": {"needs": "frames"}}
    for name in ("CLIP", "ViT"):
        boxes[name] = {"extractor": "image_encoder", "needs": "faces",
                       "weights": str(checkpoints / name)}  # fmt: skip
    found = Stages({"stages": boxes}).stored_identities()
    assert len({found[name]["fingerprint"] for name in ("CLIP", "ViT")}) == 2


def test_lower_precision_is_close(checkpoints: Path) -> None:
    for name in ("CLIP", "timm's ConvNeXts"):
        exact = extractor(checkpoints / name).features(faces())
        lower = extractor(checkpoints / name, precision="bfloat16").features(faces())
        assert 0 < np.abs(lower - exact).max() < 0.1 * np.abs(exact).max()
