"""What makes the public archive of a dataset a table of clips: one class a file in `adapters/`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Self

from pipeline.dataset import adapters
from pipeline.dataset.clip import SPLITS
from pipeline.dataset.tables import TableRow
from pipeline.dataset.target import Target
from pipeline.errors import UserError
from pipeline.io.plugin import classes_of


@dataclass(frozen=True)
class Published:
    """How many clips a dataset was published with.

    sizes: by split, "" for clips of none. classes: by column and class, a number for each of train,
    valid and test.
    """

    sizes: Mapping[str, int]
    classes: Mapping[str, Mapping[str, Sequence[int]]] = field(default_factory=dict)

    def of_classes(self, split: str) -> dict[str, dict[str, int]]:
        """The published clips of each class in a split, by column."""
        if split not in SPLITS:
            return {}
        at = SPLITS.index(split)
        return {c: {name: n[at] for name, n in own.items()} for c, own in self.classes.items()}


@dataclass(frozen=True)
class Adapter(ABC):
    """A dataset's folder as its public archive unpacks.

    root: absolute; it holds what the class's docstring lists. test: which of `tests` is the test
    split, where a dataset has several that may be. title: what the dataset is called. targets: what
    its clips have true values of. extras: files that come with it and are no clips, by the
    beginning of their names, and what they are. folds: the file of the dataset's SDK that has its
    splits, where the archive has none. The docstring of the file says where each layout and count
    was read.
    """

    root: Path
    test: str = ""

    title: ClassVar[str]
    targets: ClassVar[tuple[Target, ...]]
    tests: ClassVar[tuple[str, ...]] = ()
    extras: ClassVar[Mapping[str, str]] = {}
    folds: ClassVar[str] = ""

    @classmethod
    @abstractmethod
    def at(cls, folder: Path) -> Self | None:
        """The dataset in this folder, None where it does not look like it."""

    @abstractmethod
    def rows(self) -> Iterator[TableRow]:
        """Each clip as a row of a manifest, with where it was found; media by absolute paths.

        Raises UserError for a file that can't be read.
        """

    @property
    @abstractmethod
    def published(self) -> Published:
        """How many clips there should be."""

    def testing(self, test: str) -> Self:
        """The same with another of `tests` as the test split. Raises UserError."""
        if test not in self.tests:
            has = f"one of {', '.join(self.tests)}" if self.tests else "it has one test split"
            raise UserError(f"{self.title} has no test split {test!r}; {has}")
        return replace(self, test=test)


def adapter_at(folder: Path) -> Adapter | None:
    """What reads `folder`, None where it is laid out as no known archive."""
    known = classes_of(adapters, Adapter)  # type: ignore[type-abstract]
    return next(filter(None, (kind.at(folder.absolute()) for kind in known.values())), None)


def first(places: Iterable[Path]) -> Path | None:
    """The first of some places that is there."""
    return next((place for place in places if place.exists()), None)
