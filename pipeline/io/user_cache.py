"""The user's own folder for what is remembered and may be lost at any time."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache(name: str) -> Path:
    """Where a file or folder of that name is kept, there or not: in `~/.cache/smp`, by default."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smp" / name
