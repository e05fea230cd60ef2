"""The models, one file each with its presets beside it; a new file here is a new model."""

import sys

from pipeline.io import plugin


def names() -> list[str]:
    """Every model there is: SMP, then those that it is compared with; none of them is imported."""
    return sorted(plugin.names(sys.modules[__name__]), key=lambda name: name != "smp")
