# Every target installs what it needs; nothing but Python 3.11 and make is asked for.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
RUN_STAMP := $(VENV)/.stamp-run
DEV_STAMP := $(VENV)/.stamp-dev
LOWEST := .venv-lowest
LOWEST_STAMP := $(LOWEST)/.stamp
# uv takes a few seconds where pip takes half a minute; where only pip knows the way to the packages, pip does it.
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python $(if $(PIP_INDEX_URL),--default-index $(PIP_INDEX_URL))
install = $(UV) $(1) || $(PIP) install --quiet --no-compile $(1)
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder
UNIT := tests/unit tests/properties tests/cancellation tests/testbed
# What the scenarios play under beside mode full for the whole cluster. On the real servers only those that show soonest
# what a role lacks: Secrets, tokens, restarts, leases, references.
INSTALLS := write-only namespaced-full namespaced-write-only
SOON := destination kinds leader leases references restarts tenancy tokens values write_only
ARGS ?=
# Half of what it takes to collect the tests is compiling them: kept in __pycache__ whatever the environment says.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test check lint types layers drift unit sandbox lowest e2e bench crds sbom chart clean

help: ## what can be made
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(RUN_STAMP): requirements/run.txt requirements/build.txt requirements/installer.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --no-compile --require-hashes -r requirements/installer.txt || true
	@$(call install,--require-hashes --no-deps -r requirements/run.txt -r requirements/build.txt)
	@$(call install,--no-deps --no-build-isolation -e .)
	@touch $@

$(DEV_STAMP): $(RUN_STAMP) requirements/dev.txt
	@$(call install,--require-hashes --no-deps -r requirements/dev.txt)
	@touch $@

$(LOWEST_STAMP): requirements/lowest.txt requirements/dev.txt pyproject.toml
	@test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	@$(LOWEST)/bin/python -m pip --disable-pip-version-check install --quiet -r requirements/lowest.txt
	@touch $@

demo: $(RUN_STAMP) ## the whole story in the embedded sandbox (ARGS=--once ends by itself)
	@$(BIN)/vso demo $(ARGS)

# Side by side: scenarios wait a third of their time, and the unit tests fill it. Each shows its output when it is done.
test: check ## lint, types, layers, unit tests, conformance on the sandbox
	@echo "unit tests and scenarios run side by side"
	@$(MAKE) --no-print-directory --jobs=2 --keep-going --output-sync unit sandbox

check: lint types layers drift ## everything that reads the code without running it

lint: $(DEV_STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(DEV_STAMP)
	@$(BIN)/mypy

layers: $(DEV_STAMP)
	@$(BIN)/lint-imports --no-cache

drift: $(DEV_STAMP)
	@$(BIN)/python -m vso.api.crds --check manifests/crds
	@$(BIN)/python -m vso.api.name_references --check manifests/name-reference
	@$(BIN)/python -m vso.app.rbac_files --check manifests/rbac
	@$(BIN)/python -m vso.app.chart --check charts
	@$(BIN)/python -m vso.app.chart.monitoring --check manifests/components

sbom: $(DEV_STAMP) ## the bill of materials of the image (CycloneDX), from the lock, into dist/
	@$(BIN)/python -m tests.sbom dist/vault-secrets-operator.cdx.json

chart: $(DEV_STAMP) ## write what the Helm chart says a second time, and its goldens
	@$(BIN)/python -m vso.app.chart --write charts
	@$(BIN)/python -m vso.app.chart.monitoring --write manifests/components
	@$(BIN)/python -m tests.testbed.build
	@$(BIN)/python -m tests.conformance.chart_cases

crds: $(RUN_STAMP) ## write the CRDs, the rules of renaming and the roles anew from what they are generated from
	@$(BIN)/python -m vso.api.crds --write manifests/crds
	@$(BIN)/python -m vso.api.name_references --write manifests/name-reference
	@$(BIN)/python -m vso.app.rbac_files --write manifests/rbac

unit: $(DEV_STAMP)
	@nice $(PYTEST) $(UNIT) -m "not real"

sandbox: $(DEV_STAMP)
	@$(PYTEST) -n 6 tests/conformance --bed sandbox -m "not real and not bench and not long"

lowest: $(LOWEST_STAMP) ## the unit tests on the lowest supported versions of the dependencies
	@$(LOWEST)/bin/python -m pytest -q -n 2 --dist loadfile tests/unit -m "not real"

# The lowest versions are the other slow check: here, so that `make test` stays short.
e2e: $(DEV_STAMP) lowest ## the conformance suite on the real servers, built once into a cache
	@$(BIN)/python -m tests.testbed.build
	@$(PYTEST) -n 4 tests/conformance --bed sandbox -m "long and not real"
	@$(MAKE) --no-print-directory $(INSTALLS:%=sandbox-%)
	@$(PYTEST) tests/testbed tests/conformance --bed real -m "not bench and not sandbox" --every-right
	@$(MAKE) --no-print-directory $(INSTALLS:%=real-%)

sandbox-%: $(DEV_STAMP)
	@$(PYTEST) -n 8 tests/conformance --bed sandbox -m "not real and not bench and not long" --install $* --every-right

real-%: $(DEV_STAMP)
	@$(PYTEST) $(SOON:%=tests/conformance/test_%.py) --bed real -m "not bench and not sandbox" --install $*

bench: $(DEV_STAMP) ## counts at 1 000 objects on the real servers
	@$(BIN)/python -m tests.testbed.build
	@$(BIN)/python -m pytest -q -s -o faulthandler_timeout=3600 tests/bench -m bench --bed real

clean: ## remove what was made in this folder
	@rm -rf $(VENV) $(LOWEST) .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
