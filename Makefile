# Every target makes .venv and installs what is missing first. Another Python: make lab PYTHON=python3.12
PYTHON ?= python3
LAB ?=
BENCH ?=
run := .venv/bin/python -m attncourse

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

lab: install ## copy the notebooks into work/ and open JupyterLab (LAB="--no-browser --port=8890")
	@$(run) lab $(LAB)

test: install ## everything: lint, tests, doctor, both editions of the notebooks
	@$(run) test

notebooks: install ## build both editions of the notebooks; the solved one is executed
	@$(run) build

doctor: install ## prove that every exercise is complete and that its slips are caught
	@$(run) doctor

lint: install ## ruff: style and format
	@$(run) lint

bench: install ## measure what is fast, in under five minutes (BENCH="--full --only local")
	@$(run) bench $(BENCH)

install: ## make .venv and install the course into it, if something changed
	@$(PYTHON) attncourse/workshop/bootstrap.py

.PHONY: help lab test notebooks doctor lint bench install
