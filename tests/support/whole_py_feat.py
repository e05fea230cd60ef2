"""py-feat as it imports itself, which takes a torchcodec that this torch can load."""

from importlib import import_module

import pytest


def require() -> None:
    """Skip a test where there is none."""
    try:
        import_module("torchcodec")
    except (ImportError, OSError, RuntimeError) as error:
        pytest.skip(f"torchcodec can't be loaded: {error}")
