# The project's few commands; each sets up the environment first, and only when it is stale.

PYTHON ?= python3.11
VENV   ?= .venv
BIN     = $(VENV)/bin
STAMP   = $(VENV)/.installed

.DELETE_ON_ERROR:
.PHONY: help run test test-servers ui lint results results-near results-trident clean

help:            ## list the commands
	@sed -n 's/^\([a-z-]*\): .*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

run: $(STAMP)    ## images to a gated, promoted edge student (options: ARGS="--fast --seed 1")
	$(BIN)/foveate run $(ARGS)

test: $(STAMP)   ## all tests (options: ARGS="tests/code -k config")
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

test-servers: $(STAMP)  ## the servers of infra/ for real, natively (needs PostgreSQL's programs; minutes)
	FOVEATE_TEST_SERVERS=1 $(BIN)/python -m pytest tests/flows/test_servers.py

ui: $(STAMP)     ## MLflow and Prefect in the browser, over what was run
	$(BIN)/foveate ui

lint: $(STAMP)   ## style
	$(BIN)/ruff check .

results: $(STAMP)  ## re-make docs/results of mipd (takes hours; goes on when killed)
	$(BIN)/foveate ablate mipd --budget full --seeds 0,1,2 --only mipd-released --only "labels only" \
	  --only "labels and their nouns as text" --only "mipd, shuffled rationales" --out docs/results/full
	$(BIN)/foveate ablate mipd $(ARGS)

results-near: $(STAMP)  ## re-make docs/results/near.* (five seeds, both regimes; goes on when killed)
	$(BIN)/python -m benchmarks.near_results $(ARGS)

results-trident: $(STAMP)  ## re-make docs/results/trident.md (five worlds of pairs; goes on when killed)
	$(BIN)/python -m benchmarks.trident_results $(ARGS)

clean:           ## remove the environment and caches; the state folder stays
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# torch goes first and alone, by exact version, so that the resolver takes the CPU build where one is offered.
$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 not found; give it with: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' constraints.txt)" -c constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test]'
	$(BIN)/python -m flows.databases
	$(BIN)/python -m components.export.text_graph
	@touch $@
