# walstreet: one command for each thing a developer or an operator does. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-done
NATIVE_STAMP := $(VENV)/.native-done
NATIVE_SOURCES := $(shell find native -type f \( -name '*.cpp' -o -name '*.hpp' -o -name '*.py' -o -name '*.pyi' -o -name 'CMakeLists.txt' -o -name 'pyproject.toml' \) -not -path '*/build/*' 2>/dev/null)

# `make run` options; empty ones fall back to what `walstreet up` does by default.
DATA ?=
DAY ?=
SYMBOLS ?=
MINUTES ?=
SEED ?=
SPEED ?= max
STATE ?=
BROKER_LIBRARY ?=
UP_FLAGS := $(if $(DATA),--market recorded --data $(DATA)) $(if $(DAY),--day $(DAY)) $(if $(SYMBOLS),--symbols $(SYMBOLS)) \
	$(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(if $(STATE),--state $(STATE)) \
	$(if $(BROKER_LIBRARY),--broker-library $(BROKER_LIBRARY)) --speed $(SPEED)

# Tests on real market data look here; unset or absent means that they skip and say so.
export WALSTREET_DATA ?= $(wildcard ../shared/data)
# Tests with the other client libraries run when their environments exist (`make setup-clients`).
export WALSTREET_IB_ASYNC_PYTHON ?= $(wildcard $(abspath .venv-ib-async/bin/python))
export WALSTREET_IBAPI_PYTHON ?= $(wildcard $(abspath .venv-ibapi/bin/python))

.PHONY: help setup setup-ib-async setup-clients native run unit test test-docker test-long check fmt lint type imports build bench chaos chaos-rows chaos-tests soak fuzz schema clean lock

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[1m%-15s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) $(NATIVE_STAMP) ## Make .venv from nothing: locked dependencies, native module, walstreet

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "walstreet needs Python 3.11 to 3.13, %s is %s; set PYTHON=python3.11" % (sys.executable, sys.version.split()[0]))'
	@command -v c++ >/dev/null || { echo "walstreet needs a C++ compiler (package g++ or clang); without one set WALSTREET_SKIP_NATIVE=1"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

$(NATIVE_STAMP): $(NATIVE_SOURCES) $(STAMP)
	@if [ "$${WALSTREET_SKIP_NATIVE:-0}" = 1 ]; then echo "native module skipped: the NumPy reference is used, as logs and metrics will say"; \
	else PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --force-reinstall ./native; fi
	@touch $@

ASYNC_BIN := .venv-ib-async/bin
RUN_BIN := $(if $(filter ib_async,$(BROKER_LIBRARY)),$(ASYNC_BIN),$(BIN))

setup-ib-async: .venv-ib-async/.setup-done ## Make .venv-ib-async: the same with ib_async in place of ib_insync

.venv-ib-async/.setup-done: requirements-ib-async.lock pyproject.toml $(NATIVE_SOURCES)
	test -x $(ASYNC_BIN)/python || $(PYTHON) -m venv .venv-ib-async
	$(ASYNC_BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-ib-async.lock
	$(ASYNC_BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	PATH="$(abspath $(ASYNC_BIN)):$$PATH" $(ASYNC_BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --force-reinstall ./native
	@touch $@

setup-clients: setup-ib-async .venv-ibapi/.setup-done ## Make .venv-ibapi too: the vendor's client, for tests against the simulator

.venv-ibapi/.setup-done: requirements-ibapi.lock
	test -x .venv-ibapi/bin/python || $(PYTHON) -m venv .venv-ibapi
	.venv-ibapi/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-ibapi.lock
	@touch $@

native: ## Rebuild the native module
	@rm -f $(NATIVE_STAMP)
	@$(MAKE) --no-print-directory $(NATIVE_STAMP)

run: $(if $(filter ib_async,$(BROKER_LIBRARY)),setup-ib-async,setup) ## Trade one day: synthetic, or recorded with DATA=dir DAY=YYYY-MM-DD [SYMBOLS=A,B]
	$(RUN_BIN)/walstreet up $(UP_FLAGS)

# What touches no socket of ours runs on all cores; sessions run one after another, because they compete for the cores.
FAST_TESTS := tests/unit tests/tidy tests/property tests/contract

unit: setup ## Run the unit tests alone: no network, a few minutes on two cores
	$(BIN)/python -m pytest -q -n auto tests/unit tests/tidy $(PYTEST_FLAGS)

test: setup ## Run all tests but the long crash suite (make chaos), the long ones (make test-long) and the containers' (make test-docker)
	$(BIN)/python -m pytest -q -n auto $(FAST_TESTS) $(PYTEST_FLAGS)
	$(BIN)/python -m pytest -v tests/integration tests/e2e -m "not docker and not long" $(PYTEST_FLAGS)

test-long: setup ## Run the tests that take long: ten days of the rotation, panic without the log, several strategies, a killed fetch
	$(BIN)/python -m pytest -v tests -m long $(PYTEST_FLAGS)

test-docker: setup ## Run the tests of the containers: needs a Docker engine and the base images
	$(BIN)/python -m pytest -v -m docker $(PYTEST_FLAGS)

# Of `make chaos` and `make fuzz`: the seed of everything random, and how many crashes or malformed inputs.
COUNT ?=
CHAOS_OUT ?= reports/chaos

chaos: setup ## Kill every process at every named moment [SEED=1 COUNT=500]; writes reports/chaos (20 minutes on two cores)
	$(BIN)/walstreet chaos --seed $(or $(SEED),1) --count $(or $(COUNT),500) --json $(CHAOS_OUT)/chaos.json --picture $(CHAOS_OUT)

chaos-rows: setup ## The broker's known failures, one session for each (20 minutes on two cores)
	@mkdir -p $(CHAOS_OUT)
	$(BIN)/walstreet chaos-rows --json $(CHAOS_OUT)/rows.json

soak: setup ## Eight simulated hours at ten times real time: flat memory, nothing dropped, no break (50 minutes)
	@mkdir -p $(CHAOS_OUT)
	$(BIN)/walstreet soak --json $(CHAOS_OUT)/soak.json --picture $(CHAOS_OUT)/soak.png

chaos-tests: setup ## The long crash tests: kills by the clock, SIGTERM, several in a row (a quarter of an hour)
	$(BIN)/python -m pytest -v tests/chaos $(PYTEST_FLAGS)

fuzz: setup ## Malformed events, broker messages, configurations, models, scripts and data files [SEED=… COUNT=12000]
	WALSTREET_FUZZ_COUNT=$(or $(COUNT),12000) $(if $(SEED),WALSTREET_FUZZ_SEED=$(SEED)) $(BIN)/python -m pytest -v \
		tests/property/test_malformed_inputs.py tests/integration/test_malformed_broker.py $(PYTEST_FLAGS)

check: setup ## Format, lint, types, import rules, generated files, tests: what CI runs
	$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory lint type imports
	$(BIN)/python -m walstreet_services.cli.schema --check
	@$(MAKE) --no-print-directory test

fmt: setup ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: setup ## Lint
	$(BIN)/ruff check .

type: setup ## Check types, strictly
	MYPYPATH=proto:libs:services $(BIN)/mypy

imports: setup ## Check the import rules
	$(BIN)/lint-imports

build: ## Build the container image
	docker compose build

bench: setup ## Measure every row against its peer; writes bench.json and bench.png
	$(BIN)/walstreet bench --json bench.json

schema: setup ## Regenerate schema, AsyncAPI, docs/EVENTS.md and docs/SPEC_COVERAGE.md; add missing fixtures
	$(BIN)/python -m walstreet_services.cli.schema --write-fixtures
	$(BIN)/python -m walstreet.testing.spec_coverage

lock: ## Resolve requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --extra ib-insync --extra training --extra bench --extra dev --python-version 3.11 \
		--universal --generate-hashes --no-emit-index-url --no-header --upgrade -o requirements.lock
	uv pip compile pyproject.toml --extra ib-async --extra training --extra dev --python-version 3.11 \
		--universal --generate-hashes --no-emit-index-url --no-header -o requirements-ib-async.lock
	deploy/lock.sh

clean: ## Remove everything that make made
	rm -rf $(VENV) .venv-ib-async .venv-ibapi native/build build dist state logs reports report.html bench.json bench.png \
		.mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage

# The swing portfolio. DATA is a folder of SYMBOL.parquet, OUT where results go, RUNS and SEED of the permutation test,
# BOT_FLAGS anything else, such as BOT_FLAGS='--start 2013-01-01 --set selection.top_n=3'.
OUT ?=
RUNS ?=
BOT_FLAGS ?=
BOT := $(if $(DATA),--data $(DATA)) $(if $(OUT),--out $(OUT)) $(if $(SEED),--seed $(SEED)) $(BOT_FLAGS)

.PHONY: fetch backtest wf permute

fetch: setup ## Fetch daily bars into DATA (default data/parquet) from TWS or IB Gateway; from a simulator if none listens
	$(BIN)/bot fetch --or-simulator $(if $(DATA),--data $(DATA)) $(BOT_FLAGS)

backtest: setup ## Simulate the ETF rotation on DATA (default data/parquet): reports/metrics.json, plots, weights, audit
	$(BIN)/bot backtest $(BOT)

wf: setup ## Walk-forward: choose parameters on rolling windows, test them on what follows
	$(BIN)/bot walkforward $(BOT)

permute: setup ## Permutation test of every training window [RUNS=200]
	$(BIN)/bot permute $(BOT) $(if $(RUNS),--runs $(RUNS))

.PHONY: reliability

reliability: ## Put the recorded results of docs/reliability into docs/RELIABILITY.md
	$(BIN)/python -m walstreet_services.cli.chaos_report
