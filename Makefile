# Two commands are all a newcomer needs: `make demo` and `make test`. Each target installs first what it needs into .venv.
PYTHON ?= python3
BIN := .venv/bin
# Compiled modules are kept: a test run starts some hundred interpreters (8 CPU seconds saved per
# worker at collection, 0.1 to 0.5 per interpreter).
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: demo test check screenshots bench chaos chaos-test run kit lock clean

demo: .venv/.run
	$(BIN)/orderwire demo $(ARGS)

run: .venv/.run
	$(BIN)/orderwire serve $(ARGS)

# `make test ARGS=-n0` runs in one process, as a debugger wants it. Four run elsewhere, on two cores
# as well: one of them has the tests of the broker, which wait more than they compute.
test: .venv/.dev
	$(BIN)/python -m pytest -n 4 --dist worksteal $(ARGS)

# Two minutes of faults on each pair of log and store at one time, and strangers; they mostly wait.
chaos-test: .venv/.dev
	$(BIN)/python -m pytest -n 3 -m chaos tests/system/test_chaos.py

check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Pictures of the README, from a running demo; they need Chromium.
screenshots: .venv/.dev
	$(BIN)/python -m tests.support.pictures

bench: .venv/.dev
	$(BIN)/python -m bench $(ARGS)

# Prometheus rules, Grafana dashboard and the table of alarms in docs/operation.md, from orderwire/alarms.
kit: .venv/.run
	$(BIN)/python -m orderwire.alarms.kit

# `make chaos ARGS="--minutes 10 --seed 3 --pair kafka"`; --help says the rest.
chaos: .venv/.dev
	$(BIN)/python -m simulator.chaos $(ARGS)

# Hashes are of every wheel of a version, so one lock serves all platforms; no index address is written (needs uv on the PATH).
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet --upgrade pyproject.toml --group build -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet --upgrade pyproject.toml --group build --group dev -o requirements-dev.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet --upgrade --group peers -o bench/peers/requirements.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.run: requirements.lock pyproject.toml | .venv/bin/python
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	touch $@

.venv/.dev: requirements-dev.lock .venv/.run
	$(PIP) install --require-hashes -r requirements-dev.lock
	touch $@
