"""The user's environment kept out of the tests, and out of every process that they start."""

import atexit
import os
import shutil
import tempfile
import time

# CUDA_VISIBLE_DEVICES stays, for it says which devices are the user's; so does OPENBLAS_CORETYPE,
# without which some processors compute wrongly.
PREFIXES = (
    "AWS_", "BOTO_", "DASK_", "FSSPEC_", "HF_", "HUGGINGFACE_", "HUGGING_FACE_", "KMP_", "LC_",
    "MKL_", "MPL", "NUMEXPR_", "OMP_", "OPENCV_", "PYTHON", "PYTORCH_", "SMP_", "TORCH",
    "TRANSFORMERS_", "XDG_", "ZARR_",
)  # fmt: skip
NAMES = {
    "ALL_PROXY", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "FORCE_COLOR", "FTP_PROXY", "HTTP_PROXY",
    "HTTPS_PROXY", "LANG", "LANGUAGE", "LINES", "NO_COLOR", "NO_PROXY", "OPENBLAS_NUM_THREADS",
    "TZ",
}  # fmt: skip
UMASK = 0o022


def clean() -> None:
    """Take away what may change a result, and give an empty home until this process ends.

    To be called before anything is imported that reads the environment when it is: numpy, torch,
    dask, the hub's client.
    """
    for name in list(os.environ):
        if name.startswith(PREFIXES) or name.upper() in NAMES:
            del os.environ[name]
    time.tzset()
    os.umask(UMASK)
    home = tempfile.mkdtemp(prefix="home-of-tests-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    # Dask looks for settings in /etc/dask too, which DASK_ROOT_CONFIG replaces.
    os.environ.update(HOME=home, DASK_ROOT_CONFIG=home, OMP_NUM_THREADS="1")
