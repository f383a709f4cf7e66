# The image of workers and of their jobs. Build where the project lies, and push it where the pool's machines can pull:
#   docker build -t almost:latest .
# With GPUs, give the CUDA build of the locked torch version:
#   docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 -t almost:latest .
FROM python:3.11-slim
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# A compiler and ninja: DeepSpeed builds an operator on first use of CPU offload.
RUN apt-get update && apt-get install --yes --no-install-recommends build-essential ninja-build git \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/almost
COPY requirements.lock .
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" -r requirements.lock
# Engines of remote stores and pools; add what yours needs.
RUN pip install --no-cache-dir "s3fs>=2026.9"
COPY . .
RUN pip install --no-cache-dir --no-deps -e . && useradd --create-home almost && chown -R almost /opt/almost
USER almost
ENV OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
# A worker by default; Prefect's own pools start a job with `prefect flow-run execute` instead.
CMD ["prefect", "worker", "start", "--pool", "almost-cpu"]
