"""A ready stages file: what is known of published features, and the stages that make them again.

A file of this folder is two YAML documents: the facts, and below `---` the stages file as it is
written for people; without the second it is the package's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict

from pipeline import recipes
from pipeline.dag.spec import DEFAULT_FILE, Stages, validated
from pipeline.dag.stage import nearest
from pipeline.errors import UserError
from pipeline.io.yaml_file import parsed

SUFFIX = ".yaml"
BETWEEN = "\n---\n"


class Feature(BaseModel):
    """What is known of one modality's features, and what comes in their place.

    width: values a step. steps: how many; None where nothing was published, or it is not said.
    made_by: tools and versions. here: the width of each stage that models are trained on. differs:
    what is another, and why it can't be the same; "" for nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    width: int | None = None
    steps: int | None = None
    made_by: str = ""
    here: dict[str, int]
    differs: str = ""


class Facts(BaseModel):
    """title: a line for people. sources: where the facts are from."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    title: str
    language: Literal["en", "zh"] = "en"
    sources: list[str]
    visual: Feature
    audio: Feature
    text: Feature

    @property
    def features(self) -> Mapping[str, Feature]:
        """By modality."""
        return {"visual": self.visual, "audio": self.audio, "text": self.text}


@dataclass(frozen=True)
class Ready:
    """A recipe. content: of the stages file."""

    name: str
    facts: Facts
    content: str

    def stages(self) -> Stages:
        """The stages, valid."""
        where = f"recipe {self.name}"
        return Stages(parsed(self.content.encode(), where), self.facts.language, where)


def names() -> list[str]:
    """Of all recipes, as they lie in the folder."""
    found = (file.name for file in files(recipes).iterdir())
    return sorted(name.removesuffix(SUFFIX) for name in found if name.endswith(SUFFIX))


def read(name: str) -> Ready:
    """The recipe of that name; UserError where there is none."""
    if name not in names():
        raise UserError(f"no recipe {name!r}; {nearest(name, names())}")
    text = (files(recipes) / f"{name}{SUFFIX}").read_text(encoding="utf-8")
    told, _, content = text.partition(BETWEEN)
    where = f"recipe {name}"
    facts = validated(Facts, parsed(told.encode(), where), where)
    return Ready(name, facts, content or DEFAULT_FILE.read_text(encoding="utf-8"))
