"""`smp` within so many bytes of a device's memory, 0 for all of it.

The last line that it prints: the most bytes that were held there, and how often a batch was halved.
"""

from __future__ import annotations

import sys
from unittest.mock import patch

import torch

from model.cli.group import main as smp
from pipeline.runner.attempt import Attempt


def main() -> None:
    """Bytes, and then what `smp` is given."""
    limit = int(sys.argv[1])
    sys.argv[:2] = ["smp"]
    if limit:
        memory = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(limit / memory)
    counted = patch.object(Attempt, "_in_halves", autospec=True, side_effect=Attempt._in_halves)
    with counted as halvings:
        try:
            smp()
        finally:
            print(torch.cuda.max_memory_reserved(), halvings.call_count)


if __name__ == "__main__":
    main()
