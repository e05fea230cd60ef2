"""How long storage is waited for: variables of the environment, which workers have too."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pipeline.errors import UserError

MOST = 86_400.0  # a day


@dataclass(frozen=True)
class Limit:
    """A number above 0 that stands in the environment, or the default."""

    variable: str
    default: float

    def __call__(self) -> float:
        """The number; UserError where the variable holds none."""
        given = os.environ.get(self.variable)
        try:
            found = self.default if given is None else float(given)
        except ValueError:
            found = 0.0
        if not 0 < found <= MOST:
            raise UserError(f"{self.variable} is {given!a:.40}: set it to a number, 0 to {MOST:g}")
        return found


S3_CONNECT_S = Limit("SMP_S3_CONNECT_S", 5)
S3_ANSWER_S = Limit("SMP_S3_ANSWER_S", 15)
S3_TRIES = Limit("SMP_S3_TRIES", 2)  # botocore's; s3fs asks for them five times
WRITING_S = Limit("SMP_WRITING_S", 3)  # for what a run beside the reader is about to write
