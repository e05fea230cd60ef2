"""Whether this machine can run the pipeline, and what to do where it can't."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.encoders.precision import FULL
from pipeline.errors import UserError
from pipeline.messages import counted
from pipeline.system import device, processor, resources

if TYPE_CHECKING:
    from pipeline.dag.spec import StagesFile
    from pipeline.dag.stage import Stage

OK, NOTE, PROBLEM = "ok", "note", "problem"
PACKAGE = "smp-sentiment"
GB = 1e9
LEAST_MEMORY, ENOUGH_MEMORY = 1 * GB, 4 * GB  # the default networks take 3 GB in each process
LEAST_DISK, ENOUGH_DISK = 0.2 * GB, 5 * GB  # a clip takes about 1 MB, a dataset of 2,000 so 2 GB
NEEDED_CODECS = {"h264", "aac"}  # what CMU-MOSI, CH-SIMS and the sample come in
DRIVER_SIGNS = ("/dev/nvidia0", "/proc/driver/nvidia/version", "/dev/kfd", "/dev/dxg")


@dataclass(frozen=True)
class Check:
    """One thing checked. state: `ok`, `note`, or `problem`: extraction will not work."""

    name: str
    state: str
    found: str
    advice: str = ""

    def to_json(self) -> dict[str, str]:
        """Its entry in `smp doctor --json`."""
        return asdict(self)


def checks(stages_file: StagesFile, cache: str) -> Iterator[Check]:
    """Check everything that the stages of a file need, and the place of a cache."""
    for check in (packages, opencv, codecs, gpu, cores, memory):
        yield check()
    yield disk(cache)
    yield engines(stages_file)
    yield from precision(stages_file)
    hub = network()
    yield hub
    yield models(stages_file, can_fetch=hub.state == OK)


def packages() -> Check:
    """Python, and the version of every package that this one requires."""
    from packaging.requirements import Requirement

    wrong, seen = [], []
    for line in importlib.metadata.requires(PACKAGE) or ():
        wanted = Requirement(line)
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        version = _version(wanted.name)
        seen.append(f"{wanted.name} {version}")
        if version is None or not wanted.specifier.contains(version, prereleases=True):
            there = version or "is not installed"
            wrong.append(f"{wanted.name} {there} (needed: {wanted.specifier})")
    if wrong:
        advice = f"pip install --upgrade {PACKAGE}, in an environment of its own"
        return Check("packages", PROBLEM, "; ".join(wrong), advice)
    python = ".".join(map(str, sys.version_info[:3]))
    return Check("packages", OK, f"Python {python}, {', '.join(seen)}")


def opencv() -> Check:
    """OpenCV, which needs libraries of the system."""
    try:
        import cv2
    except ImportError as error:
        advice = "apt-get install libgl1 libglib2.0-0, or your system's packages for them"
        return Check("libGL", PROBLEM, f"OpenCV can't be loaded: {error}", advice)
    return Check("libGL", OK, f"OpenCV {cv2.__version__} finds its libraries")


def codecs() -> Check:
    """What clips may be encoded in."""
    try:
        from pipeline.media.codecs import codecs as all_codecs
    except ImportError as error:
        return Check(
            "codecs", PROBLEM, f"nothing can be decoded: {error}", "see libGL and packages"
        )
    found = list(all_codecs())
    bad = {codec.name: codec.error for codec in found if codec.error}
    tried = [codec.name for codec in found if codec.tried and not codec.error]
    untried = [codec.name for codec in found if not codec.tried and not codec.error]
    told = f"decoded {', '.join(tried)}; available but not tested: {', '.join(untried) or 'none'}"
    if not bad:
        return Check("codecs", OK, told)
    state = PROBLEM if bad.keys() & NEEDED_CODECS else NOTE
    failing = ", ".join(f"{name} ({error})" for name, error in bad.items())
    advice = "reinstall av and opencv-python from wheels; clips in these codecs fail until then"
    return Check("codecs", state, f"not decoded: {failing}; {told}", advice)


def gpu() -> Check:
    """A GPU; torch, which takes seconds to load, is loaded only where there is a driver."""
    if not shutil.which("nvidia-smi") and not any(map(os.path.exists, DRIVER_SIGNS)):
        advice = "not required: every stage runs on a CPU, most of them more slowly"
        return Check("GPU", NOTE, "none", advice)
    import torch

    built_for = torch.version.cuda or torch.version.hip
    if not torch.cuda.is_available():
        advice = "update the driver, or install the torch build for it (pytorch.org)"
        return Check("GPU", NOTE, f"a driver, but torch (CUDA {built_for}) can't use it", advice)
    try:
        device.require("cuda")
    except UserError as error:
        advice = "set `device: cpu` in the stages file, or fix the driver or torch's build"
        return Check("GPU", PROBLEM, str(error).partition(";")[0], advice)
    names = []
    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        names.append(f"{about.name}, {about.total_memory / GB:.0f} GB")
    return Check("GPU", OK, f"{'; '.join(names)} (torch for CUDA {built_for})")


def cores() -> Check:
    """The cores that may be used: a run has a thread on each."""
    found = resources.cores_found()
    threads = f"`smp extract` runs {counted(found.usable, 'thread')}, each on one"
    if limit := found.limit:
        told = f"{found.usable} of {found.there} may be used: limited by {limit}; {threads}"
        return Check("cores", NOTE, told, "raise that limit if more cores are free")
    return Check("cores", OK, f"{counted(found.there, 'core')}; {threads}")


def memory() -> Check:
    """Free memory, within the limit of a container."""
    free = resources.free_bytes()
    if free is None:
        return Check("memory", NOTE, "unknown", f"have {ENOUGH_MEMORY / GB:.0f} GB free")
    state = _state(free, LEAST_MEMORY, ENOUGH_MEMORY)
    advice = {
        PROBLEM: "close other programs, or raise the limit",
        NOTE: "run without --workers: each process takes up to 3 GB for its networks",
    }
    return Check("memory", state, f"{free / GB:.1f} GB free", advice.get(state, ""))


def disk(cache: str) -> Check:
    """Free space for the cache, and whether it can be written to."""
    if "://" in cache:
        return Check("disk", OK, f"{cache} is object storage; its free space is unknown")
    place = Path(cache).absolute()
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        advice = "give --cache a folder that is writable"
        return Check("disk", PROBLEM, f"{place} can't be written to", advice)
    free = shutil.disk_usage(place).free
    state = _state(free, LEAST_DISK, ENOUGH_DISK)
    advice = "a clip takes about 1 MB: free space (smp clean), or give another --cache"
    told = f"{free / GB:.1f} GB free for {cache} (on {place})"
    return Check("disk", state, told, "" if state == OK else advice)


def _state(free: float, least: float, enough: float) -> str:
    return PROBLEM if free < least else NOTE if free < enough else OK


def engines(stages_file: StagesFile) -> Check:
    """What computes, on a processor, each network that has a setting `engine`."""
    from pipeline.encoders import engine, engine_library

    told = ["torch " + (_version("torch") or "?")]
    told += [f"{name} {version}" for name, version in engine_library.installed().items()]
    stages: list[Any] = [s for s in _stages(stages_file) if hasattr(s.settings, "engine")]
    try:
        for stage in stages:
            engine.require(stage.settings.engine)
    except UserError as error:
        return Check("engines", PROBLEM, str(error), "install it, or set `engine` to torch or auto")
    told += [f"{stage.name}: {_computed_by(stage)}" for stage in stages]
    return Check("engines", OK, "; ".join(told))


def _computed_by(stage: Any) -> str:
    """The engine that computes a stage here, by what came of engines so far."""
    from pipeline.checks.models import needed
    from pipeline.encoders import engine

    choice = engine.used(stage.settings.engine, stage.settings.precision, "cpu")
    if choice == engine.TORCH:
        return choice
    try:
        is_here = all(model.is_here for model in needed([stage], ask=False))
        digest = stage.make().weights().digest if is_here else None
    except UserError:  # `models` tells why
        digest = None
    if digest is None:
        return f"{choice}, once its model is here"
    if not (tried := engine.tried_here(digest)):
        return f"{choice}, tried at its first use here"
    if best := engine.chosen(tried, choice):
        return f"{best.engine}, {best.faster:.1f} times as fast as torch, {best.agreement}"
    wrong = "; ".join(f"{one.engine}: {one.error}" for one in tried if one.error)
    return f"torch ({wrong or 'no engine is faster'})"


def precision(stages_file: StagesFile) -> Iterator[Check]:
    """A word on bfloat16 where the processor has instructions for it that stages don't use."""
    if not processor.can("amx_bf16"):
        return
    full = [s.name for s in _stages(stages_file) if getattr(s.settings, "precision", "") == FULL]
    if full:
        told = f"this processor has AMX, and {', '.join(full)} would be faster in bfloat16"
        advice = "set `precision: bfloat16` for them if errors of 1e-2 do: see docs/engines.md"
        yield Check("precision", NOTE, told, advice)


def _stages(stages_file: StagesFile) -> list[Stage]:
    """The stages of the file; none where it can't be used, of which `models` tells."""
    from pipeline.dag.spec import Stages

    try:
        return list(Stages.load(stages_file))
    except UserError:
        return []


def network() -> Check:
    """Whether models can be downloaded from the hub."""
    from huggingface_hub import constants

    advice = "the stages' models must be on this machine: see smp models"
    if constants.HF_HUB_OFFLINE:
        return Check("network", NOTE, "HF_HUB_OFFLINE is set: nothing is downloaded", advice)
    if resources.answers(constants.ENDPOINT):
        return Check("network", OK, f"{constants.ENDPOINT} answers")
    return Check("network", NOTE, f"{constants.ENDPOINT} does not answer", advice)


def models(stages_file: StagesFile, can_fetch: bool) -> Check:
    """Whether the models that the stages need are on this machine, or can be downloaded."""
    from pipeline.checks.models import needed
    from pipeline.dag.spec import Stages

    try:
        found = needed(Stages.load(stages_file), ask=False)
    except UserError as error:
        return Check("models", PROBLEM, str(error), "fix the stages file")
    away = [model.source.id for model in found if not model.is_here]
    if not away:
        return Check("models", OK, f"all {len(found)} of {stages_file} are on this machine")
    told = f"missing for {stages_file}: {', '.join(away)}"
    if can_fetch:
        advice = "they are downloaded when first needed, or now: smp models pull"
        return Check("models", NOTE, told, advice)
    advice = (
        "run smp models pull on a machine with a network and copy its cache; or set `weights` to "
        "local paths, or to random for a trial"
    )
    return Check("models", PROBLEM, told, advice)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
