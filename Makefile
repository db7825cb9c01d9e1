# Two commands do everything on a bare machine: `make reproduce` and `make test`.
# `make help` lists the rest. `make PYTHON=/path/to/python3.12 …` names a Python, else one is found.

export PYTHON
VENV := .venv
BIN := $(VENV)/bin
CORES ?= all
EXPERIMENT ?= default
DEVICE ?= cuda

export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONPATH :=
# pip leaves compiling to the first import, which must then be allowed to keep what it compiled.
export PYTHONDONTWRITEBYTECODE :=
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
export DVC_NO_ANALYTICS := 1

.PHONY: help reproduce rehearse test test-long test-system test-gpu gpu-check torture lint speed ui pictures environment test-environment clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 20

reproduce: environment  ## everything from a bare clone: environment, the whole DAG, where to look
	snakemake --cores $(CORES) --configfile config/$(EXPERIMENT).yaml
	@python -m bench status --config config/$(EXPERIMENT).yaml --results

rehearse: environment  ## a few real steps of every distinct run of EXPERIMENT, before it is paid for
	python -m bench rehearse --config config/$(EXPERIMENT).yaml

test: test-environment lint  ## everything from a bare clone: lint, all tests, the smoke pipeline
	pytest -n 2 --dist loadfile -m "not system and not long and not cuda" --ignore tests/test_smoke_pipeline.py
	pytest tests/test_smoke_pipeline.py

test-long: test-environment  ## the long forms of the randomised comparisons; builds one oracle with gcc
	$(BIN)/python -m pip install --quiet --no-compile --no-deps --disable-pip-version-check \
	    -r requirements-long.txt
	$(BIN)/python -m pip install --quiet --no-compile --no-deps --no-build-isolation \
	    --disable-pip-version-check sed_scores_eval==0.0.4
	pytest -n 2 -m long

test-system: test-environment  ## what needs system packages (browser, LaTeX): installs them from one list
	tests/system/install.sh
	pytest -m system tests/system

test-gpu: test-environment  ## the models beside their peers, and two equal trainings, on the first CUDA device
	pytest -m cuda -rs

gpu-check:  ## on a GPU, in 12 minutes, after `make test-environment` or with your own torch: parity, equal trainings, rates, peers; DEVICE=cpu rehearses it
	@python -c 'import numpy, pydantic, torch, yaml' 2> /dev/null || { echo 'gpu-check: packages are missing: run it after `make test-environment`, or with your own torch and the rest of requirements.txt' >&2; exit 2; }
	python -m bench gpu-check --device $(DEVICE) --output work/gpu-check.json

torture: test-environment  ## 50 times kill -9 at random moments; every run must come out equal
	python tests/torture.py work/torture-test --kills 50

lint: test-environment  ## ruff, mypy, snakefmt, snakemake --lint
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile workflow
	snakemake --lint --configfile config/smoke.yaml

speed: test-environment  ## our models beside installed peers, and what became slower than the committed ratios
	python -m bench speed --only models --pairs htsat/official pann/official --batches 4 --rounds 3 --against docs/speed.json

# It shows the store of the results folder: a server has pages of its own.
ui: export MLFLOW_TRACKING_URI :=
ui: environment  ## the MLflow UI on 127.0.0.1:5000, with links to what people ask of the runs
	@python -m bench track --links http://127.0.0.1:5000 --config config/$(EXPERIMENT).yaml
	mlflow ui --host 127.0.0.1 --port 5000 --backend-store-uri \
	    "$$(python -m bench track --store --config config/$(EXPERIMENT).yaml)"

pictures: test-environment  ## renew the pictures of README and docs from EXPERIMENT's report and runs
	PYTHONPATH=. python tests/system/pictures.py config/$(EXPERIMENT).yaml

# Pinned data through a DVC remote: make data-push REMOTE=/mnt/store (or s3://…, ssh://…); the remote
# is remembered on this machine. DVC itself writes nothing that the DAG reads.
.PHONY: data-push data-pull data-remote
data-push: environment data-remote  ## copy the pinned data to the DVC remote
	python -m bench pin
	dvc commit --quiet --force data.dvc
	dvc push data.dvc

data-pull: environment data-remote  ## get the pinned data from the DVC remote instead of building it
	dvc pull data.dvc

data-remote:
	@test -z "$(REMOTE)" || dvc remote add --quiet --local --force --default store "$(REMOTE)"
	@dvc remote default > /dev/null 2>&1 || { echo "name a DVC remote: make $(firstword $(MAKECMDGOALS)) REMOTE=/path/or/url"; exit 2; }

environment:  ## .venv with the pinned closure
	@./environment.sh runtime

test-environment:
	@./environment.sh test

clean:  ## delete what runs have made here (not the environment, not downloads, no folder elsewhere)
	rm -rf .snakemake
	find work results data reports -mindepth 2 -maxdepth 3 -name .owner -printf "%h\\0" 2> /dev/null | xargs -0 rm -rf
