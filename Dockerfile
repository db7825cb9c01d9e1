# Both README commands in a container. Not built where this was written (no daemon at hand): the
# steps are those of the Makefile, which its tests run.
#
#   docker build --tag htsat-benchmark .
#   docker run --rm --volume "$PWD/reports:/benchmark/reports" --volume "$PWD/results:/benchmark/results" \
#       htsat-benchmark make reproduce
#   docker run --rm htsat-benchmark make test
#
# Apptainer, without a daemon and without root, on a cluster:
#   apptainer build htsat-benchmark.sif docker-archive://htsat-benchmark.tar
#   apptainer run --nv --bind "$PWD" --pwd "$PWD" htsat-benchmark.sif snakemake --cores all
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /benchmark

# The environment first: it changes less often than the code.
COPY Makefile environment.sh requirements*.txt ./
RUN make environment PYTHON=python3.11

COPY . .
ENV PATH=/benchmark/.venv/bin:$PATH \
    MLFLOW_DISABLE_TELEMETRY=true \
    DO_NOT_TRACK=true \
    DVC_NO_ANALYTICS=1
CMD ["make", "reproduce"]
