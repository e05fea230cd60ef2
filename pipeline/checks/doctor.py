"""What of this machine helps or keeps extraction from working, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.errors import UserError
from pipeline.messages import counted
from pipeline.system import device, resources

OK, NOTE, PROBLEM = "ok", "note", "problem"
PACKAGE = "smp-sentiment"
GB = 1e9
LEAST_MEMORY, ENOUGH_MEMORY = 1 * GB, 4 * GB  # the default networks take 3 GB in each process
LEAST_DISK, ENOUGH_DISK = 0.2 * GB, 5 * GB  # a clip takes about 1 MB, a dataset of 2,000 so 2 GB
NEEDED_CODECS = {"h264", "aac"}  # what CMU-MOSI, CH-SIMS and the sample come in
DRIVER_SIGNS = ("/dev/nvidia0", "/proc/driver/nvidia/version", "/dev/kfd", "/dev/dxg")


@dataclass(frozen=True)
class Finding:
    """One thing looked at. state: `ok`, `note`, or `problem`: extraction will not work."""

    name: str
    state: str
    found: str
    advice: str = ""

    def to_json(self) -> dict[str, str]:
        """Its entry in `smp doctor --json`."""
        return asdict(self)


def findings(stages_file: Path, cache: str) -> Iterator[Finding]:
    """Look at everything that the stages of a file need, and at the place of a cache."""
    for look in (packages, opencv, codecs, gpu, cores, memory):
        yield look()
    yield disk(cache)
    hub = network()
    yield hub
    yield models(stages_file, can_fetch=hub.state == OK)


def packages() -> Finding:
    """Python and every package that this one requires, held against its own limits."""
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
        return Finding("packages", PROBLEM, "; ".join(wrong), advice)
    python = ".".join(map(str, sys.version_info[:3]))
    return Finding("packages", OK, f"Python {python}, {', '.join(seen)}")


def opencv() -> Finding:
    """OpenCV, which links to libraries of the system."""
    try:
        import cv2
    except ImportError as error:
        advice = "apt-get install libgl1 libglib2.0-0, or what the system calls them"
        return Finding("libGL", PROBLEM, f"OpenCV can't be loaded: {error}", advice)
    return Finding("libGL", OK, f"OpenCV {cv2.__version__} finds its libraries")


def codecs() -> Finding:
    """What clips may be encoded in."""
    try:
        from pipeline.media.codecs import codecs as all_codecs
    except ImportError as error:
        return Finding("codecs", PROBLEM, f"no decoding: {error}", "see libGL and packages")
    found = list(all_codecs())
    bad = {codec.name: codec.error for codec in found if codec.error}
    tried = [codec.name for codec in found if codec.tried and not codec.error]
    untried = [codec.name for codec in found if not codec.tried and not codec.error]
    told = f"decoded {', '.join(tried)}; there, but not tried: {', '.join(untried) or 'none'}"
    if not bad:
        return Finding("codecs", OK, told)
    state = PROBLEM if bad.keys() & NEEDED_CODECS else NOTE
    failing = ", ".join(f"{name} ({error})" for name, error in bad.items())
    advice = "reinstall av and opencv-python from wheels; clips in these codecs fail until then"
    return Finding("codecs", state, f"not decoded: {failing}; {told}", advice)


def gpu() -> Finding:
    """An accelerator, if one is to be seen; torch, which takes seconds, is loaded only then."""
    if not shutil.which("nvidia-smi") and not any(map(os.path.exists, DRIVER_SIGNS)):
        advice = "nothing: every stage runs on processors, faces and wav2vec2 slower than on a GPU"
        return Finding("GPU", NOTE, "none", advice)
    import torch

    built_for = torch.version.cuda or torch.version.hip
    if not torch.cuda.is_available():
        advice = "update the driver, or install the torch build for it (pytorch.org)"
        return Finding("GPU", NOTE, f"a driver, but torch (CUDA {built_for}) can't use it", advice)
    try:
        device.require("cuda")
    except UserError as error:
        advice = "set `device: cpu` in the stages file, or mend the driver or torch's build"
        return Finding("GPU", PROBLEM, str(error).partition(";")[0], advice)
    names = []
    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        names.append(f"{about.name}, {about.total_memory / GB:.0f} GB")
    return Finding("GPU", OK, f"{'; '.join(names)} (torch for CUDA {built_for})")


def cores() -> Finding:
    """Cores that may be used, on each of which a run has a thread."""
    found = resources.cores_found()
    threads = f"`smp extract` runs {counted(found.usable, 'thread')}, each on one"
    if limit := found.limit:
        told = f"{found.usable} of {found.there} may be used: limited by {limit}; {threads}"
        return Finding("cores", NOTE, told, "raise that limit where more are free")
    return Finding("cores", OK, f"{counted(found.there, 'core')}; {threads}")


def memory() -> Finding:
    """Memory that is free, within the limit of a container."""
    free = resources.free_bytes()
    told = f"{free / GB:.1f} GB free"
    if free < LEAST_MEMORY:
        return Finding("memory", PROBLEM, told, "end other programs, or raise the limit")
    if free < ENOUGH_MEMORY:
        advice = "run without --workers: each process takes up to 3 GB for its networks"
        return Finding("memory", NOTE, told, advice)
    return Finding("memory", OK, told)


def disk(cache: str) -> Finding:
    """Room at the cache, and whether it can be written to."""
    if "://" in cache:
        return Finding("disk", OK, f"{cache} is object storage, whose room nobody tells")
    place = Path(cache).absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    told = f"{free / GB:.1f} GB free for {cache} (on {place})"
    if not os.access(place, os.W_OK):
        advice = "give --cache a folder that can be written to"
        return Finding("disk", PROBLEM, f"{place} can't be written to", advice)
    if free < ENOUGH_DISK:
        advice = "a clip takes about 1 MB: make room (smp clean), or give another --cache"
        return Finding("disk", PROBLEM if free < LEAST_DISK else NOTE, told, advice)
    return Finding("disk", OK, told)


def network() -> Finding:
    """Whether the hub is asked for models, and answers."""
    from huggingface_hub import constants

    advice = "models that stages need must be here: see smp models"
    if constants.HF_HUB_OFFLINE:
        return Finding("network", NOTE, "HF_HUB_OFFLINE is set: no hub is asked", advice)
    if resources.answers(constants.ENDPOINT):
        return Finding("network", OK, f"{constants.ENDPOINT} answers")
    return Finding("network", NOTE, f"{constants.ENDPOINT} does not answer", advice)


def models(stages_file: Path, can_fetch: bool) -> Finding:
    """Whether the models that the stages need are here or, if not, can be fetched."""
    from pipeline.checks.models import needed
    from pipeline.dag.spec import Stages

    try:
        found = needed(Stages.load(stages_file), ask=False)
    except UserError as error:
        return Finding("models", PROBLEM, str(error), "mend the stages file")
    away = [model.source.id for model in found if not model.is_here]
    if not away:
        return Finding("models", OK, f"all {len(found)} of {stages_file} are here")
    told = f"not here, of {stages_file}: {', '.join(away)}"
    if can_fetch:
        advice = "they are fetched when first needed; ahead: smp models pull"
        return Finding("models", NOTE, told, advice)
    advice = (
        "smp models pull where there is a network, then copy its cache; or set `weights` to local "
        "paths, or to random for a trial"
    )
    return Finding("models", PROBLEM, told, advice)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
