# Sets up .venv from requirements.lock and runs the experiment or its tests in it.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/ready
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)

.PHONY: repro test ui lint lock help

help: ## List these targets
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 10

repro: $(READY) ## Run every stage that is out of date, then say where the results are
	dvc repro
	@echo "report:  reports/report.md, and the ablation: reports/ablation.md"
	@echo "runs:    $${MLFLOW_TRACKING_URI:-mlflow.db} (look at them with: make ui)"

test: $(READY) ## Run all tests and the linter
	ruff check .
	pytest -q --numprocesses 2

ui: $(READY) ## Show the runs in mlflow.db in a browser, side by side
	mlflow ui --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}"

lint: $(READY) ## Check and format the code
	ruff check --fix .
	ruff format .

lock: $(READY) ## Update requirements.lock from pyproject.toml
	uv pip compile --universal --extra dev --upgrade --no-header pyproject.toml --output-file requirements.lock

$(READY): requirements.lock pyproject.toml
	@echo "installing the locked packages into $(VENV): about 6 GB, a few minutes"
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet uv
	uv pip sync --quiet --compile-bytecode requirements.lock
	uv pip install --quiet --no-deps --editable .
	@touch $(READY)
