"""What a dataset has true values of: a score, one of named classes, or several labels at once."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.dataset.clip import CLASS, LABEL, SCORE, Clip, Value
from pipeline.errors import UserError
from pipeline.io.yaml_file import read_yaml
from pipeline.messages import counted

FILE = "targets.yaml"  # beside the table of a dataset
ALL = "all"  # the name that a command has for every target at once
MOST = 100  # classes or labels of a target

NAME = r"^[^\x00-\x1f\x7f/\\]{1,64}$"  # it is part of names of folders
Name = Annotated[str, Field(pattern=NAME)]
Names = Annotated[tuple[str, ...], Field(max_length=MOST)]


class Target(BaseModel):
    """What can be predicted of a clip.

    kind: `score`, a number; `classes`, one of the named ones, in the order in which a model has
    them; `labels`, several numbers at once, each of which is present in a clip where it is above 0.
    columns: where a dataset's table has the values, one but for `labels`; by default that which is
    called after the target. range: of the numbers, lowest and highest; None for a score on a scale
    that its values tell, ±1 or ±3. A value outside, or of no such class, is a missing one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    kind: Literal["score", "classes", "labels"] = "score"
    columns: Names = ()
    range: tuple[float, float] | None = None
    classes: Names = ()

    @model_validator(mode="before")
    @classmethod
    def _with_columns(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("columns"):
            return given
        name, kind = str(given.get("name")), given.get("kind", "score")
        prefix = {"classes": CLASS}.get(kind, "" if name == LABEL else SCORE)
        return {**given, "columns": (f"{prefix}{name}",)}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        has_classes, has_labels = self.kind == "classes", self.kind == "labels"
        prefix, low_high = CLASS if has_classes else SCORE, self.range or (0, 1)
        fits = [c.startswith(prefix) or (c, self.kind) == (LABEL, "score") for c in self.columns]
        for is_wrong, why in (
            (self.name == ALL, f"no target can be called {ALL}, which stands for all of them"),
            (not all(fits), f"its columns should begin with {prefix}"),
            ((len(self.columns) > 1) != has_labels, "labels have two columns or more, others one"),
            ((len(self.classes) > 1) != has_classes, "two `classes` or more are what classes have"),
            ("" in self.classes, "a class without a name is a missing one"),
            (len({*self.columns}) < len(self.columns), "a column appears twice"),
            (len({*self.classes}) < len(self.classes), "a class appears twice"),
            (has_classes and self.range is not None, "classes have no range"),
            (has_labels and self.range is None, "labels need a range, such as [0, 3]"),
            (not low_high[0] < low_high[1], "the lowest of its range is not below the highest"),
        ):
            if is_wrong:
                raise ValueError(why)
        return self

    @property
    def labels(self) -> tuple[str, ...]:
        """What the columns are called: `("happy", "sad")` of label_happy and label_sad."""
        return tuple(c.removeprefix(SCORE).removeprefix(CLASS) for c in self.columns)

    def to_json(self) -> dict[str, Any]:
        """For a record, from which `Target(**record)` makes it again."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def takes(self, value: Value) -> bool:
        """Whether a value is one of this target's: in its range, or one of its classes."""
        if isinstance(value, str):
            return value in self.classes
        return self.range is None or self.range[0] <= value <= self.range[1]


def read_targets(table: Path) -> tuple[Target, ...]:
    """Those that the file beside a dataset's table declares; none where there is no such file.

    Raises UserError, by file and target, for what can't be right.
    """
    path = table.parent / FILE
    content = (read_yaml(path) if path.is_file() else None) or {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected targets, as `valence: {{range: [1, 5]}}`")
    return tuple(_target(f"{path}: {name}", name, own) for name, own in content.items())


def _target(where: str, name: str, own: Any) -> Target:
    if not isinstance(own, dict):
        raise UserError(f"{where}: expected its kind and range, as {{range: [1, 5]}}")
    try:
        return Target(**{**own, "name": name})
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        told = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{where}: {f'{at}: ' * bool(at)}{told}") from error


def all_targets(declared: Sequence[Target], clips: Iterable[Clip]) -> tuple[Target, ...]:
    """The declared targets of which any clip has a value, then one for each other column so.

    Such a column of numbers is a score, one of names has the classes that appear, in their order.
    The clip's own score comes first where it is not declared.
    """
    taken = {column for target in declared for column in target.columns}
    found: dict[str, set[str]] = {}
    for clip in clips:
        for column, value in clip.values():
            own = found.setdefault(column, set())
            if isinstance(value, str):
                own.add(value)
    made = [Target(name=LABEL)] if LABEL in found.keys() - taken else []
    made += [target for target in declared if not found.keys().isdisjoint(target.columns)]
    others = found.keys() - taken - {LABEL}
    for column in sorted(others, key=lambda c: (c.startswith(CLASS), c)):
        made += _undeclared(column, sorted(found[column]), {ALL, *(t.name for t in made)})
    return tuple(made)


def _undeclared(column: str, classes: Sequence[str], taken: Container[str]) -> list[Target]:
    """The target of a column, unless that can have no name, or tells no clips apart."""
    name = column.removeprefix(SCORE).removeprefix(CLASS)
    named: dict[str, Any] = {"name": column if name in taken else name, "columns": (column,)}
    if column.startswith(CLASS):
        if not 2 <= len(classes) <= MOST:
            return []
        named |= {"kind": "classes", "classes": tuple(classes)}
    return [Target(**named)] if re.fullmatch(NAME, named["name"]) else []


def within(
    clips: Sequence[Clip], declared: Sequence[Target]
) -> tuple[tuple[Clip, ...], tuple[str, ...]]:
    """The clips without the values that no target of their column takes, and notes of how many."""
    by_column = {c: [t for t in declared if c in t.columns] for t in declared for c in t.columns}
    refused: dict[str, int] = {}

    def kept(clip: Clip) -> Clip:
        out = [
            column
            for column, value in clip.values()
            if column in by_column and not any(t.takes(value) for t in by_column[column])
        ]
        for column in out:
            refused[column] = refused.get(column, 0) + 1
        return clip.without(out) if out else clip

    told = tuple(map(kept, clips)) if declared else tuple(clips)
    return told, tuple(
        f"{column}: {counted(count, 'value')} outside of what {FILE} or the dataset's format "
        "declares, taken as missing"
        for column, count in refused.items()
    )
