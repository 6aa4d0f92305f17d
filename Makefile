# Every target sets itself up: `.venv` is made and filled the first time, and again when
# pyproject.toml changes.

PYTHON ?= python3
WORKERS ?= 2
SUITE ?= quick
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup demo docs test fast lint format bench clean

help:
	@echo "make demo    fit the student study, print its tables and save its figures"
	@echo "make docs    build the site into build/site; its examples are run, nothing is fetched"
	@echo "make test    run every test"
	@echo "make fast    run the tests not marked slow"
	@echo "make lint    check style and types"
	@echo "make format  put the sources in the agreed style"
	@echo "make bench   time every workload beside other packages; SUITE=full for all of them"
	@echo "make clean   remove the virtual environment and caches"

$(STAMP): pyproject.toml
	@$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or sys.exit('jaxmixed needs Python 3.11 or newer, found %s; run: make PYTHON=/path/to/python3.11' % sys.version.split()[0])"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	@touch $@

setup: $(STAMP)

demo: $(STAMP)
	$(BIN)/python examples/student_gpa.py

docs: $(STAMP)
	$(BIN)/python docs/build.py

test: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS)

fast: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)
	$(BIN)/python -m benchmarks --suite $(SUITE)

clean:
	rm -rf $(VENV) build .pytest_cache .ruff_cache .hypothesis .benchmarks
