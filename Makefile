# Two commands are all a newcomer needs: `make demo` and `make test`. Both set up .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo bench-check test faults lint types contracts bench bench-peers lock clean

setup: $(VENV)/.ready

$(VENV)/.ready: .ci/requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .ci/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python docs/examples/demo.py

# A file's tests stay in one process: what they share of the real DVC is made once.
test: lint types contracts
	.ci/packages
	$(BIN)/python -m pytest --numprocesses logical --dist loadfile

# The long forms of tests/faults: hours on a busy machine. Seeds and what was skipped are shown, also when all is well.
faults: setup
	.ci/packages faults
	$(BIN)/python -m pytest -m faults -rsP

# ASYNC9 asks every async function for a checkpoint, a promise libraries give; ours return at once when there is no need to wait.
lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	grep -rl --include='*.py' 'async ' protocol client daemon tests docs | xargs $(BIN)/flake8 --select ASYNC1,ASYNC2,ASYNC3
	$(BIN)/interrogate --quiet tests

types: setup
	$(BIN)/mypy

contracts: setup
	$(BIN)/lint-imports

bench: setup bench-peers
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.benchmarks $(BENCH)

bench-check: setup bench-peers
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.benchmarks --check $(BENCH)

# What others are compared with, below the environment; one that can't be had is left out of the table, with the reason.
bench-peers: setup
	-test -x $(VENV)/peers/bin/python || $(PYTHON) -m venv $(VENV)/peers
	-$(VENV)/peers/bin/python -c 'import hyperqueue' 2>/dev/null || \
		$(VENV)/peers/bin/python -m pip install --quiet --disable-pip-version-check hyperqueue==0.27.0
	-test -x $(VENV)/peers/usr/bin/tsp || (cd $(VENV)/peers && apt-get download -qq task-spooler && dpkg -x task-spooler_*.deb .)

lock:
	$(BIN)/python -m uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links -o .ci/requirements.txt .ci/requirements.in pyproject.toml

clean:
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
