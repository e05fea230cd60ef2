"""Which files of a model's repository are needed, in a folder and on the hub alike."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from pipeline.errors import UserError

INDEX = ".index.json"  # ends the name of the list of a checkpoint's shards
# What transformers looks for, in its order; a repository that has several holds the same in each.
TENSORS = (
    ("model.safetensors",),
    ("model.safetensors.index.json", "model-*-of-*.safetensors"),
    ("pytorch_model.bin",),
    ("pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin"),
)
PIECES = ("spiece", "sentencepiece.bpe", "sentencepiece", "spm", "tokenizer")  # of sentencepiece
VOCABULARIES = (
    ("tokenizer.json",),
    ("vocab.txt",),
    ("vocab.json", "merges.txt"),
    *((f"{name}.model",) for name in PIECES),
)
TOKENIZER_CONFIGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
TOKENIZER = (
    *dict.fromkeys(name for group in VOCABULARIES for name in group),
    *TOKENIZER_CONFIGS,
    "bpe.codes",
)
PREPROCESSORS = (("preprocessor_config.json",), ("processor_config.json",))


@dataclass(frozen=True)
class Part:
    """Something that has to be there. any_of: groups of file names, each of which is enough."""

    name: str
    any_of: tuple[tuple[str, ...], ...]

    def is_among(self, names: Iterable[str]) -> bool:
        """Whether one of the groups is whole."""
        there = set(names)
        return any(there.issuperset(group) for group in self.any_of)


@dataclass(frozen=True)
class Wanted:
    """Files that are needed.

    first_of: groups of patterns, the best first; of the first group that is there, all that fit.
    beside: names of what is taken too, where it is there. parts: what has to be there. Without
    `at_root` files of any folder below fit by their own name.
    """

    first_of: tuple[tuple[str, ...], ...]
    beside: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    at_root: bool = False

    @classmethod
    def of(cls, files: Files) -> Wanted:
        """Patterns stand for whatever fits one of them."""
        return files if isinstance(files, Wanted) else cls((tuple(files),))

    def tensors(self, names: Iterable[str]) -> list[str]:
        """Those of the names, relative paths with slashes, of the best group that is there."""
        listed = sorted(names)
        found = ([n for n in listed if self._fits(n, group)] for group in self.first_of)
        return next(filter(None, found), [])

    def chosen(self, names: Iterable[str]) -> list[str]:
        """All of the names that are needed."""
        listed = list(names)
        beside = sorted(name for name in listed if self._fits(name, self.beside))
        return [*self.tensors(listed), *beside]

    def lacking(self, names: Iterable[str]) -> list[str]:
        """What of all that has to be there is not, for people."""
        listed = list(names)
        lacking = [part.name for part in self.parts if not part.is_among(listed)]
        return lacking if self.tensors(listed) else [f"weights ({self._patterns()})", *lacking]

    def lacking_in(self, folder: Path) -> list[str]:
        """As `lacking`; also a shard that the list of shards names, and that list itself."""
        names = self.names(folder)
        chosen = self.tensors(names)
        missing = sorted(set(_shards(folder, chosen)) - set(names))
        has_list = any(name.endswith(INDEX) for name in chosen)
        if self.at_root and not has_list and any("-of-" in name for name in chosen):
            missing = [f"the list of the shards (*{INDEX})"]
        return [*self.lacking(names), *missing]

    def names(self, folder: Path) -> list[str]:
        """The files of a folder, relative and with slashes."""
        found = folder.iterdir() if self.at_root else folder.rglob("*")
        return sorted(path.relative_to(folder).as_posix() for path in found if path.is_file())

    def files(self, folder: Path) -> list[Path]:
        """The files of a folder that are needed."""
        return [folder / name for name in self.chosen(self.names(folder))]

    def tensor_files(self, folder: Path) -> list[Path]:
        """Those of them that hold tensors, by the list of shards where there is one."""
        chosen = self.tensors(self.names(folder))
        return [folder / name for name in _shards(folder, chosen) or chosen]

    def _fits(self, name: str, patterns: Sequence[str]) -> bool:
        path = PurePosixPath(name)
        if self.at_root and len(path.parts) > 1:
            return False
        return any(fnmatch(path.name, pattern) for pattern in patterns)

    def _patterns(self) -> str:
        patterns = (pattern for group in self.first_of for pattern in group)
        return " or ".join(p for p in patterns if not (p.endswith(INDEX) or "-of-" in p))


Files = Sequence[str] | Wanted


def _shards(folder: Path, names: Iterable[str]) -> list[str]:
    """The files that the lists of shards among `names` tell of."""
    return [shard for name in names if name.endswith(INDEX) for shard in shards_of(folder / name)]


def shards_of(index: Path) -> list[str]:
    """The files that a list of shards names; UserError where it can't be read."""
    try:
        shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        return sorted({str(shard) for shard in shards})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{index} can't be read as a list of shards ({error})") from error


def _hub(*parts: Part, beside: tuple[str, ...] = ()) -> Wanted:
    """A repository in the layout of transformers."""
    config = Part("a configuration (config.json)", (("config.json",),))
    return Wanted(TENSORS, ("config.json", *beside), (config, *parts), at_root=True)


_VOCABULARY = Part(
    "a vocabulary (tokenizer.json, vocab.txt, vocab.json with merges.txt or a sentencepiece model)",
    VOCABULARIES,
)
_PREPROCESSOR = Part("a feature extractor (preprocessor_config.json)", PREPROCESSORS)
_PREPARED = tuple(name for group in PREPROCESSORS for name in group)
NETWORK = _hub()
PICTURE = _hub(beside=_PREPARED)  # timm's config.json says itself how pictures go in
TEXT = _hub(_VOCABULARY, beside=TOKENIZER)
SOUND = VIDEO = _hub(_PREPROCESSOR, beside=_PREPARED)
SPEECH_TO_TEXT = _hub(
    _VOCABULARY, _PREPROCESSOR, beside=(*TOKENIZER, *_PREPARED, "generation_config.json")
)
SPEECH_TO_LETTERS = _hub(
    Part("letters (vocab.json)", (("vocab.json",),)),
    _PREPROCESSOR,
    beside=("vocab.json", *TOKENIZER_CONFIGS, *_PREPARED),
)
