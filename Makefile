# make demo   sets everything up and shows the whole road, from training to an alert and what it does
# make test   sets everything up and runs all tests (TORCH=0 leaves PyTorch and its tests out, JAX=0 JAX and its)
# make serve  runs the platform; make help lists the rest

PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
TORCH ?= 1
JAX ?= 1
DATA ?= digits
PYTEST_ARGS ?=
EXTRAS := $(if $(filter-out 0,$(TORCH)),torch) $(if $(filter-out 0,$(JAX)),jax)
LEFT_OUT := $(if $(filter 0,$(TORCH)), and not torch)$(if $(filter 0,$(JAX)), and not jax)
# Left to itself pip compiles some 20,000 modules, of which few are ever imported; Python compiles those itself, once.
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q --no-compile
# Whoever has forbidden it: what starts a process for each part, run and command must not compile itself at each start.
export PYTHONDONTWRITEBYTECODE :=
# The end-to-end tests wait much, for processes and minutes: two processors are busy with three workers.
E2E_WORKERS ?= 3
MACHINE_CODE_TESTS := $(addprefix tests/,aiplatform/lane gateway inference/asgi inference/protocols inference/recording inference/scheduler)

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test test-postgres test-machine-code machine-code clients compiled lint openapi docs protos requirements clean

help: ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: $(VENV)/.installed .env $(VENV)/.compiled ## Create the environment and the secrets (.env)

demo: setup ## Train, deploy, predict, drift, alert, retrain, promote: DATA=digits, mnist, or a path
	$(BIN)/python -m deploy.demo --data $(DATA)

serve: setup ## Run the platform in one process tree on http://127.0.0.1:8000
	$(BIN)/python manage.py serve --migrate

test: $(VENV)/.installed-dev $(EXTRAS:%=$(VENV)/.installed-%) ## Run all tests
	@$(if $(filter 0,$(TORCH)),echo "TORCH=0: PyTorch is not installed by this; its tests are left out",:)
	@$(if $(filter 0,$(JAX)),echo "JAX=0: JAX is not installed by this; its tests are left out",:)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not e2e$(LEFT_OUT)" $(PYTEST_ARGS)
	$(BIN)/python -m pytest -n $(E2E_WORKERS) --dist loadfile --no-loadscope-reorder -m "e2e$(LEFT_OUT)" $(PYTEST_ARGS)

test-postgres: $(VENV)/.installed-dev ## Run tests on a PostgreSQL of their own: PYTEST_ARGS=tests/... (default: monitoring's)
	$(BIN)/python -m tests.on_postgres $(PYTEST_ARGS)

machine-code: $(VENV)/.installed-dev ## Compile the way of a prediction (needs a C compiler); what runs already is to be started anew
	@$(BIN)/python -m aiplatform.machine_code status || $(BIN)/python -m aiplatform.machine_code build

test-machine-code: machine-code ## Run with machine code what tests the way of a prediction; the end-to-end tests use it anyway once it is built
	MACHINE_CODE=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not e2e and not interpreted$(LEFT_OUT)" $(MACHINE_CODE_TESTS)

clients: $(VENV)/.installed-dev ## Make the environments of the clients that the end-to-end tests drive (.venv-clients/)
	$(BIN)/python -m tests.e2e.clients.environments

compiled: $(VENV)/.installed-dev $(VENV)/.installed-torch ## Have the frameworks compiled before many processes import them at once
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -c "import keras, sklearn.datasets, tensorflow, torch"

lint: $(VENV)/.installed-dev $(VENV)/.installed-torch ## Style, types, import contracts, missing migrations, documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	AIPLATFORM_DEBUG=1 $(BIN)/python manage.py makemigrations --check --dry-run
	AIPLATFORM_DEBUG=1 MACHINE_CODE=0 $(BIN)/python manage.py check --fail-level WARNING

docs: $(VENV)/.installed-dev ## Write the generated documents: docs/openapi.yaml and the tables of docs/settings.md
	AIPLATFORM_DEBUG=1 $(BIN)/python manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml
	AIPLATFORM_DEBUG=1 $(BIN)/python manage.py document_settings --write docs/settings.md

protos: $(VENV)/.installed-dev ## Generate the messages of the gRPC protocols and of TFRecord files from their .proto files
	$(BIN)/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. inference/protocols/protos/*.proto training/data/protos/*.proto

requirements: $(VENV)/.installed-dev ## Resolve the pinned requirements anew from deploy/requirements/*.in
	sh deploy/requirements/compile.sh $(BIN)/uv

clean: ## Remove environment, data, machine code and caches (not .env)
	rm -rf $(VENV) .venv-clients aiplatform/machine_code/built var staticfiles test-output .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(BIN)/python:
	sh deploy/create_venv.sh $(PYTHON) $(VENV)

$(VENV)/.installed: requirements.txt deploy/requirements/fast.in | $(BIN)/python
	$(PIP) -r requirements.txt
	@$(PIP) -r deploy/requirements/fast.in 2>/dev/null \
	    || echo "no C compiler: gunicorn's fast parser is left out; serving works, somewhat slower"
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(PIP) -r requirements-dev.txt
	@touch $@

$(VENV)/.installed-torch: $(VENV)/.installed requirements-torch.txt
	$(PIP) -r requirements-torch.txt
	@touch $@

$(VENV)/.compiled: $(VENV)/.installed
	@TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -c "import keras, tensorflow"  # once, before several processes do it at once
	@touch $@

$(VENV)/.installed-jax: $(VENV)/.installed requirements-jax.txt
	$(PIP) -r requirements-jax.txt
	@touch $@

.env: | $(VENV)/.installed
	$(BIN)/python manage.py init_env
