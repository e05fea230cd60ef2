"""The models that the stages need: which, how large, under what licence, here or yet to fetch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.dag.spec import Stages
from pipeline.errors import UserError
from pipeline.weights import hub
from pipeline.weights.random_weights import RANDOM
from pipeline.weights.repository import Wanted
from pipeline.weights.resolve import Source

CARD = "README.md"
LICENCES = {  # notes, not advice: the model's own card has the last word
    "audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim": "CC BY-NC-SA 4.0, not commercial",
    "bert-base-chinese": "Apache 2.0",
    "bert-base-uncased": "Apache 2.0",
    "facebook/wav2vec2-base": "Apache 2.0",
    "facenet-pytorch/mtcnn": "MIT",
    "imagenet": "BSD 3-clause (torchvision); ImageNet's pictures are for research",
    "openai/whisper-small": "Apache 2.0",
    "py-feat/face_multitask_v2": "for research, not commercial (py-feat's PYFEAT-V2.md)",
    "py-feat/mobilefacenet": "none stated (py-feat's PYFEAT-V1.md)",
    "py-feat/svm_au": "MIT, beside the terms of its data (py-feat's PYFEAT-V1.md)",
    "py-feat/xgb_au": "MIT, beside the terms of its data (py-feat's PYFEAT-V1.md)",
}
HUB, LOCAL, BUILT_IN, DOWNLOAD = "hub", "local", "package", "download"


@dataclass(frozen=True)
class Model:
    """A model that stages need.

    kind: `hub`, `local` (a path), `package` (comes with one), `download` (a file elsewhere) or
    `random` (made up). revision: the commit of a hub model that is here, else the one asked for.
    path: where it is, None where it is not. lacking: what of it is not there, for people.
    size_bytes: of what is here, or of what would be fetched; None where nobody could be asked.
    """

    stages: tuple[str, ...]
    source: Source
    kind: str
    revision: str | None
    path: Path | None
    size_bytes: int | None
    licence: str
    lacking: tuple[str, ...] = ()

    @property
    def is_here(self) -> bool:
        """Whether nothing has to be fetched."""
        return self.kind == RANDOM or (self.path is not None and not self.lacking)

    def to_json(self) -> dict[str, Any]:
        """Its entry in `smp models --json`."""
        content = {k: v for k, v in asdict(self).items() if k not in ("source", "path", "stages")}
        path = str(self.path) if self.path else None
        here = {"cached": self.is_here, "path": path}
        return {"id": self.source.id, "stages": list(self.stages), **content, **here}


def needed(stages: Stages, ask: bool = True) -> list[Model]:
    """Every model that the stages need, once. ask: the hub, for sizes of what is not here."""
    users: dict[Source, list[str]] = {}
    for stage in stages:
        for source in stage.make().models():
            users.setdefault(replace(source, files=Wanted.of(source.files)), []).append(stage.name)
    found = [_looked_at(source, tuple(names)) for source, names in users.items()]
    return list(_asked(found)) if ask else found


def fetch(model: Model) -> Model:
    """Have a model here; one that is, is left alone. Raises UserError where it can't be had."""
    if model.is_here:
        return model
    if model.kind == HUB:
        _from_hub(model.source)
    elif model.source.fetch is not None:
        model.source.fetch()
    elif model.kind == LOCAL:
        raise UserError(f"{model.source.id} lacks {'; '.join(model.lacking)}; put it there")
    else:
        raise UserError(f"{model.source.id}: nothing at {model.source.path}; install its package")
    return _looked_at(model.source, model.stages)


def _looked_at(source: Source, stages: tuple[str, ...]) -> Model:
    """What can be told without asking anyone."""
    kind, path = _place(source)
    here = path if path is not None and path.exists() else None
    wanted = Wanted.of(source.files)
    revision = here.name if here and kind == HUB else source.revision
    size = sum(p.stat().st_size for p in _files(here, wanted)) if here else None
    licence = LICENCES.get(source.id) or (_card_licence(here) if here and kind == HUB else "")
    lacking = tuple(wanted.lacking_in(here)) if here and here.is_dir() else ()
    return Model(stages, source, kind, revision, here, size, licence or _unknown(kind), lacking)


def _place(source: Source) -> tuple[str, Path | None]:
    if source.id == RANDOM:
        return RANDOM, None
    if source.path is not None:
        return (DOWNLOAD if source.fetch else BUILT_IN), source.path
    local = Path(source.id).expanduser()
    if local.exists():
        return LOCAL, local
    return HUB, hub.snapshot(source.id, source.revision)


def _files(path: Path, wanted: Wanted) -> list[Path]:
    return [path] if path.is_file() else wanted.files(path)


def _unknown(kind: str) -> str:
    return {RANDOM: "–", HUB: "see its card on the hub"}.get(kind, "see where it is from")


def _card_licence(snapshot: Path) -> str:
    """What the model's card says, if it was fetched too."""
    if not (snapshot / CARD).exists():
        return ""
    from huggingface_hub import ModelCard

    try:
        card = ModelCard.load(snapshot / CARD, ignore_metadata_errors=True)
    except ValueError:
        return ""
    return str(card.data.get("license") or "")


def _asked(models: Iterable[Model]) -> Iterator[Model]:
    """With what the hub says of those that are not here, unless it is out of reach."""
    from huggingface_hub import constants

    is_up = not constants.HF_HUB_OFFLINE
    for model in models:
        if not is_up or model.kind != HUB or model.is_here:
            yield model
            continue
        try:
            yield _as_the_hub_says(model)
        except Exception as error:  # the hub client raises many kinds
            is_up = not _is_out_of_reach(error)
            yield model


def _as_the_hub_says(model: Model) -> Model:
    from huggingface_hub import HfApi

    source = model.source
    found = HfApi().model_info(source.id, revision=source.revision, files_metadata=True, timeout=5)
    sizes = {file.rfilename: file.size or 0 for file in found.siblings or ()}
    size = sum(sizes[name] for name in Wanted.of(source.files).chosen(sizes))
    said = found.card_data.get("license") if found.card_data else None
    licence = LICENCES.get(source.id) or str(said or model.licence)
    return replace(model, revision=found.sha, size_bytes=size, licence=licence)


def _from_hub(source: Source) -> None:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise UserError(f"{source.id}: HF_HUB_OFFLINE is set, so the hub is not asked; unset it")
    try:
        found = hub.fetched(source.id, source.files, source.revision, [CARD])
    except UserError:
        raise
    except Exception as error:  # the hub client raises many kinds
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        if not _is_out_of_reach(error):
            raise UserError(f"{source.id}: {reason}") from error
        raise UserError(
            f"{source.id}: the hub at {constants.ENDPOINT} can't be reached ({reason}); set "
            "HF_ENDPOINT to one that can, or run this on a machine with a network and copy its "
            f"{constants.HF_HUB_CACHE}"
        ) from error
    if lacking := Wanted.of(source.files).lacking_in(found):
        raise UserError(f"{source.id}: what the hub has of it lacks {'; '.join(lacking)}")


def _is_out_of_reach(error: BaseException) -> bool:
    """Whether there was no answer at all, not one that says no."""
    from huggingface_hub.errors import HfHubHTTPError

    causes = [error, error.__cause__]
    return not any(isinstance(cause, HfHubHTTPError) for cause in causes)
