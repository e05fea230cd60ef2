"""How cached features were made, so that the same can be made of other clips, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import BaseModel, ConfigDict

from pipeline.dag import trust
from pipeline.dag.changes import of_identity
from pipeline.dag.spec import Stages, validated
from pipeline.dag.stage import extractor_class
from pipeline.errors import UserError
from pipeline.stage.name import require_stage_names
from pipeline.store.cache import Cache
from pipeline.store.layout import store_url
from pipeline.store.store import Store

Identity = Mapping[str, Any]
RECORD = "the record of the extraction"


class _Recorded(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    extractor: str
    version: int
    settings: dict[str, Any]
    located: dict[str, Any]
    weights: str | None
    weights_id: str | None
    needs: dict[str, str]
    steps: int | None
    partition: int
    fingerprint: str


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    partition: int
    steps: int
    stages: dict[str, _Recorded]


@dataclass(frozen=True)
class Recipe:
    """The stages behind some features, as the cache knows them.

    stages: by name, each after what it needs: all that can change its results (`settings`,
    `version`, the digest of its `weights` …) with the `fingerprint` over it, and in `located` the
    settings that say where its weights were.
    """

    partition: int
    steps: int
    stages: Mapping[str, Identity]

    @classmethod
    def of(cls, cache: Cache, names: Sequence[str]) -> Recipe | None:
        """Of the features of the stages `names`; None where they did not come from clips."""
        attributes = {name: cache[name].attributes for name in names}
        is_known = all("upstream" in one.get("identity", {}) for one in attributes.values())
        if cache.imported_from or not is_known:  # or of a cache of an early version
            return None
        stages: dict[str, Identity] = {}
        for name in names:
            for stage, identity in _with_upstream(name, attributes[name]["identity"]):
                if stage not in stages:
                    stages[stage] = _recorded(cache, stage, identity)
        shape = next(iter(attributes.values()))
        return cls(shape["partition"], shape["steps"], stages)

    def only(self, name: str) -> Recipe:
        """That stage alone, with all that it needs."""
        wanted = {name}
        for stage in reversed(list(self.stages)):
            if stage in wanted:
                wanted |= self.stages[stage]["needs"].keys()
        return replace(self, stages={n: s for n, s in self.stages.items() if n in wanted})

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Recipe:
        """What `to_json` gave; UserError where it is something else."""
        record = validated(_Record, content, RECORD)
        require_stage_names(RECORD, record.stages)
        return cls(**record.model_dump())

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return asdict(self)

    def here(
        self, weights: Mapping[str, str] | None = None, where: str = "the run", is_own: bool = False
    ) -> Stages:
        """The stages on this machine, ready to run.

        weights: where the weights of a stage are, for those that lie elsewhere here. where: what
        the record lies in. is_own: whether it may run what is not in the package. Raises UserError
        that names the stage and both values where anything would come out otherwise.
        """
        if unknown := sorted((weights or {}).keys() - self.stages.keys()):
            raise UserError(f"no stage {unknown[0]!r}; there are {', '.join(self.stages)}")
        if not is_own:  # before a module is looked into
            trust.require_own(
                where, ((n, s["extractor"], _given(s)) for n, s in self.stages.items())
            )
        stages = Stages(self._spec(weights or {}), where="the run's stages")
        try:
            found = stages.identities(stages)
        except UserError as error:
            elsewhere = "if they are elsewhere on this machine, give --weights STAGE=WHERE"
            raise UserError(f"{error}; {elsewhere}") from error
        for name, recorded in self.stages.items():
            # What a stage needs comes before it and is told by itself.
            was, now = ({**identity, "needs": {}} for identity in (recorded, found[name]))
            if was["fingerprint"] != now["fingerprint"]:
                prints = f"fingerprint: {was['fingerprint'][:8]} → {now['fingerprint'][:8]}"
                differing = "; ".join(of_identity(was, now)) or prints
                raise UserError(
                    f"stage {name!r} is not what the model was trained on: {differing} here; use "
                    "the same code and weights as then, or train again on new features"
                )
        return stages

    def _spec(self, weights: Mapping[str, str]) -> dict[str, Any]:
        boxes = {}
        for name, stage in self.stages.items():
            kind = extractor_class(name, stage["extractor"])
            # A setting at its default is left out: some may be given with others alone.
            defaults = kind.Settings.model_construct().model_dump(mode="json")
            settings = _given(stage)
            given = {k: v for k, v in settings.items() if k not in defaults or defaults[k] != v}
            instead = {"weights": weights[name]} if name in weights else {}
            needs = list(stage["needs"])
            boxes[name] = {"extractor": stage["extractor"], "needs": needs, **given, **instead}
        return {"partition": self.partition, "steps": self.steps, "stages": boxes}


def _given(stage: Identity) -> dict[str, Any]:
    return {**stage["settings"], **stage["located"]}


def _with_upstream(name: str, identity: Identity) -> Iterator[tuple[str, Identity]]:
    """A stage after all that it needs; what several need comes several times."""
    for need, upstream in identity["upstream"].items():
        yield from _with_upstream(need, upstream)
    yield name, identity


def _recorded(cache: Cache, stage: str, identity: Identity) -> Identity:
    try:
        store = Store(store_url(cache.url, stage, identity["fingerprint"]))
        settings = store.attributes["settings"]
    except UserError:  # what is streamed has no store
        settings = {}
    located = {k: v for k, v in settings.items() if k not in identity["settings"]}
    return {**{k: v for k, v in identity.items() if k != "upstream"}, "located": located}
