# Each target does everything on a fresh machine that has Python 3.10+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: help demo test lint bench clean
help:  ## what there is to make
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## */\t/' | expand -t 10

demo: $(VENV)/.demo  ## train the example on real data and record its losses (half a minute)
	$(BIN)/losses demo $(ARGS)

test: $(VENV)/.dev  ## run every test, with every extra installed
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.dev  ## ruff and mypy strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev  ## speed, side by side with other libraries
	$(BIN)/python benchmarks/speed.py $(ARGS)

clean:  ## forget the environment and what was built
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# A stamp is out of date when the requirements changed after the last installation. The newer pip
# is needed for dependency groups.
$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) pip
	$(PIP) --editable '.[demo]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) pip
	$(PIP) --editable '.[all]' --group dev
	touch $@ $(VENV)/.demo
