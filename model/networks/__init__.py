"""The models, one file each; a new file here is a new model."""

import pkgutil


def names() -> list[str]:
    """Every model there is: SMP, then those that it is compared with; none of them is imported."""
    found = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return sorted(found, key=lambda name: name != "smp")
