"""`python -m model`: all that `smp` does."""

from __future__ import annotations

from model.cli.group import main

if __name__ == "__main__":
    main()
