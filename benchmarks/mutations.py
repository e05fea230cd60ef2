"""Whether the tests notice wrong code: core functions broken one at a time, in a copy.

Prints for each which test failed, or that the mutant survived; exits with 1 where one did.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent
COPIED = ("pipeline", "model", "tests", "benchmarks", "docs", "pyproject.toml", "stages.yaml")
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.M)


@dataclass(frozen=True)
class Mutant:
    """`old` in `file`, where it stands once, replaced by `new`; tests: those that should notice."""

    file: str
    old: str
    new: str
    tests: str


MUTANTS = (
    Mutant(
        "pipeline/stage/steps.py",
        "np.linspace(0, n - 1, steps)",
        "np.linspace(0, n - 2, steps)",
        "pipeline/stage/test_steps.py",
    ),
    Mutant(
        "pipeline/stage/steps.py", "share / share.sum()", "share", "pipeline/stage/test_steps.py"
    ),
    Mutant(
        "pipeline/io/hashing.py",
        "if of_json(record) != seal:",
        "if not seal:",
        "pipeline/store/test_verify.py",
    ),
    Mutant(
        "pipeline/dag/identity.py",
        '"version": stage.kind.version,',
        '"version": 1,',
        "pipeline/dag/test_invalidation.py",
    ),
    Mutant(
        "pipeline/store/store.py",
        "[result.length for result in results]",
        "[result.length + 1 for result in results]",
        "pipeline/store/test_store.py",
    ),
    Mutant(
        "pipeline/media/waveform.py",
        "level_dbfs / 20",
        "level_dbfs / 10",
        "pipeline/extractors/test_audio.py",
    ),
    Mutant(
        "pipeline/media/waveform.py",
        "before = max(late, 0)",
        "before = 0",
        "pipeline/extractors/test_audio.py",
    ),
    Mutant("pipeline/faces/tracker.py", " - shared\n", "\n", "pipeline/extractors/test_faces.py"),
    Mutant(
        "pipeline/faces/align.py",
        "w.mean() - turn * z.mean()",
        "w.mean() + turn * z.mean()",
        "pipeline/extractors/test_faces.py",
    ),
    Mutant(
        "pipeline/faces/scene_cuts.py",
        "is_cut and not self._comes_back(last, change)",
        "is_cut",
        "pipeline/faces/test_scene_cuts.py",
    ),
    Mutant(
        "pipeline/faces/keyframes.py",
        "a[i] * (1 - share) + b[j] * share",
        "a[i] * share + b[j] * (1 - share)",
        "pipeline/faces/test_keyframes.py",
    ),
    Mutant(
        "pipeline/encoders/batching.py",
        "(len(last) + 1) * length",
        "len(last) * length",
        "pipeline/encoders/test_batching.py",
    ),
    Mutant(
        "pipeline/extractors/mfcc.py",
        "[static, first, second]",
        "[static, first, first]",
        "pipeline/extractors/test_mfcc.py",
    ),
    Mutant("model/metrics.py", "lambda x: (x >= 0)", "lambda x: (x > 0)", "model/test_metrics.py"),
    Mutant(
        "model/data/nearest_step.py",
        "(2 * step * last + end)",
        "(2 * step * last)",
        "model/networks/test_baselines.py",
    ),
    Mutant(
        "model/data/scaler.py",
        "(x[piece] - mean)",
        "(x[piece] + mean)",
        "model/networks/test_smp.py",
    ),
    Mutant(
        "model/step/dropout.py",
        "factor.mul_(LEVELS / kept)",
        "factor",
        "model/step/test_dropout.py",
    ),
    Mutant(
        "model/layers/attention.py", "mask[:, None, None],", "None,", "model/networks/test_smp.py"
    ),
    Mutant(
        "model/training/loop.py",
        "if valid_loss < best_loss:",
        "if valid_loss > best_loss or epoch == 1:",
        "model/training/test_loop.py",
    ),
    Mutant(
        "model/training/loop.py",
        "F.l1_loss(outputs, targets)",
        "F.mse_loss(outputs, targets)",
        "model/training/test_loop.py",
    ),
)


def main() -> None:
    """Break each in turn."""
    survivors = 0
    with TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, symlinks=True)
            else:
                shutil.copy(source, copy / name)
        for mutant in MUTANTS:
            killer = killed_by(mutant, copy)
            survivors += killer is None
            print(f"{mutant.file}: {mutant.old.strip()} -> {mutant.new.strip()}", end=": ")
            print(killer or "SURVIVED", flush=True)
    print(f"{len(MUTANTS) - survivors} of {len(MUTANTS)} noticed")
    sys.exit(survivors > 0)


def killed_by(mutant: Mutant, copy: Path) -> str | None:
    """The first test that fails with the mutant in place; None where none does."""
    file = copy / mutant.file
    sound = file.read_text(encoding="utf-8")
    if sound.count(mutant.old) != 1:
        raise SystemExit(
            f"{mutant.file} has {mutant.old!r} {sound.count(mutant.old)} times, not once"
        )
    file.write_text(sound.replace(mutant.old, mutant.new), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-x", "-q", f"tests/{mutant.tests}"]
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    try:
        run = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    finally:
        file.write_text(sound, encoding="utf-8")
    found = FAILED.search(run.stdout)
    return found[1] if run.returncode == 1 and found else None


if __name__ == "__main__":
    main()
