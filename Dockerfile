# On processors:  docker build -t smp .
# With CUDA:      docker build -t smp --build-arg BASE=nvidia/cuda:13.0.1-base-ubuntu24.04 .
#   (torch brings CUDA's libraries itself; the base says what the driver must be able to run)
# Then:           docker run --rm -v "$PWD/data:/work/data" -v "$PWD/cache:/work/cache" \
#                     --user "$(id -u):$(id -g)" smp extract data/mydata
#   and with a GPU --gpus all; with several processes --shm-size 2g.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]

RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        libgl1 libglib2.0-0 python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

# What it needs comes first, to be fetched anew only when that changes.
COPY pyproject.toml constraints.txt /source/
RUN python3 -m venv /opt/smp \
    && /opt/smp/bin/pip install --no-cache-dir "$(grep '^uv==' /source/constraints.txt)" \
    && /opt/smp/bin/uv pip install --no-cache --python /opt/smp/bin/python \
        -c /source/constraints.txt -r /source/pyproject.toml \
        --extra chinese --extra parquet --extra s3 --extra tensorboard
COPY . /source
RUN /opt/smp/bin/uv pip install --no-cache --python /opt/smp/bin/python --no-deps /source \
    && rm -rf /source

# What is fetched stays under /work/models. Anyone may write there, for `--user`.
ENV PATH=/opt/smp/bin:$PATH HOME=/work/models HF_HOME=/work/models/huggingface \
    TORCH_HOME=/work/models/torch XDG_CACHE_HOME=/work/models/cache
RUN useradd --create-home smp \
    && mkdir -p /work/data /work/cache /work/models /work/runs \
    && chown -R smp /work \
    && chmod -R a+rwX /work
USER smp
WORKDIR /work
VOLUME ["/work/data", "/work/cache", "/work/models", "/work/runs"]
ENTRYPOINT ["smp"]
CMD ["--help"]
