# Every target makes .venv and installs what is missing first. Another Python: make lab PYTHON=python3.12
PYTHON ?= python3
EXTRAS ?=
LAB ?=
BENCH ?=
run := .venv/bin/python -m attncourse
bootstrap = $(PYTHON) attncourse/workshop/bootstrap.py

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

lab: install ## copy the notebooks into work/ and open JupyterLab (LAB="--no-browser --port=8890")
	@$(run) lab $(LAB)

test: complete ## everything: lint, tests, doctor, both editions of the notebooks
	@$(run) test

notebooks: complete ## build both editions of the notebooks; the solved one is executed
	@$(run) build

doctor: complete ## prove that every exercise is complete and that its slips are caught
	@$(run) doctor

lint: complete ## ruff: style and format
	@$(run) lint

site: install-site ## build the web edition into site/_build/html (attncourse site serves it)
	@$(run) site --build

bench: complete ## measure what is fast, in under five minutes (BENCH="--full --only local")
	@$(run) bench $(BENCH)

install: ## make .venv with what a learner needs, if something changed (EXTRAS="translate kernels")
	@$(bootstrap) $(EXTRAS)

install-site:
	@$(bootstrap) site $(EXTRAS)

complete: ## the same with all that making and testing the course needs
	@$(bootstrap) test oracles translate kernels site $(EXTRAS)

.PHONY: help lab test notebooks doctor lint site bench install install-site complete
