"""Tests of the pipeline and the models, each by what it asks for."""

import os

# As the runner has it. Here, since numpy and torch read it once, when they are first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
