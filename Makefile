# The commands of the house; `make` alone lists them. Each does all of its own set-up: a virtual environment, PyTorch
# first (everything else must agree with it), then the package with what the command needs, all as constraints.txt pins
# it. What is already there is not done again; a change of pyproject.toml or constraints.txt installs anew.

VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?=
DATA ?= ../shared/data

# Build environments must obey the pins too: the second name is what newer versions of pip read for them.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test compat lint bench claims clean

help:
	@echo "make demo    train two translators, one with attention, and see what it changes (some minutes)"
	@echo "make test    run the tests"
	@echo "make compat  run the Hugging Face tests on the oldest, a middle and the newest supported transformers"
	@echo "make lint    check style, the floors and the types"
	@echo "make bench   measure the kernels, the statistics, watching and importing against their peers"
	@echo "make claims  measure again what docs/results.md claims of translation (many hours; DATA=FOLDER has multi30k/ and others)"
	@echo "make clean   remove the virtual environment, builds and caches; models and runs stay"

demo: $(VENV)/train.stamp
	@$(BIN)/regard demo $(ARGS)
	@echo "The command is $(BIN)/regard; to have it on the path: . $(BIN)/activate"

# Shapes first, on the rooms that compute: there jaxtyping checks every annotated call. The whole suite, unhooked, last.
test: $(VENV)/test.stamp
	@echo "== with every annotated shape checked =="
	@REGARD_CHECK_SHAPES=1 $(BIN)/python -m pytest -m "not plain and not slow" $(wildcard $(SHAPED)) $(ARGS)
	@echo "== the whole suite =="
	@$(BIN)/python -m pytest $(ARGS)

SHAPED := tests/equation tests/kernels tests/test_attend*.py tests/observe tests/layers tests/models tests/decoding

# An environment for each version, which borrows all else from $(VENV).
compat: $(VENV)/test.stamp
	@$(BIN)/python tests/compat.py $(VERSIONS)

lint: $(VENV)/lint.stamp
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/mypy

# Alone on the machine, one after another: figures into benchmarks/results, tables into docs/speed. NAMES="additive window"
# for some of them.
NAMES ?= attend_overhead additive window blocksparse sparse_normalisers multihead observe watch report facts import_time
bench: $(VENV)/bench.stamp
	@for name in $(NAMES); do echo "== $$name =="; \
	  $(BIN)/python benchmarks/$$name.py --out benchmarks/results/$$name.json --table docs/speed/$$name.md || exit 1; done
	@$(BIN)/python benchmarks/plots.py

# Into runs/, where what is trained already is not trained again. JoeyNMT wants an environment of its own:
# benchmarks/joeynmt/compare.py says how.
claims: $(VENV)/test.stamp
	@[ -d "$(DATA)/multi30k" ] || { echo "regard: no multi30k/ in $(DATA): make claims DATA=FOLDER" >&2; exit 2; }
	$(BIN)/regard demo --out runs/demo
	$(BIN)/python -m regard.recipes.multi30k --data-dir "$(DATA)" --out runs/multi30k-fr --target fr --control
	$(BIN)/python -m regard.recipes.multi30k --data-dir "$(DATA)" --out runs/multi30k-fr-raw --target fr --raw --seeds 1
	$(BIN)/python -m regard.recipes.multi30k --data-dir "$(DATA)" --out runs/multi30k-de-raw --target de --raw --seeds 1
	$(BIN)/python -m regard.recipes.multi30k --data-dir "$(DATA)" --out runs/multi30k-de --target de --diversify
	$(BIN)/python -m regard.recipes.alignment --data-dir "$(DATA)" --model runs/demo/additive
	$(BIN)/python -m regard.recipes.attentions --data-dir "$(DATA)" --out runs/attentions
	$(BIN)/python benchmarks/attentions.py --data-dir "$(DATA)" --models runs/attentions \
	  --out benchmarks/results/attentions_speed.json --table docs/speed/attentions.md
	$(BIN)/python -m regard.recipes.shipped --data-dir "$(DATA)" --out runs/shipped

clean:
	rm -rf $(VENV) .venv-compat build dist src/*.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# A virtual environment holds absolute paths: one that came along with a copied checkout, or whose Python is gone, is
# made again.
HOME_OF_VENV := $(shell [ -x $(BIN)/python ] && cat $(VENV)/home 2>/dev/null)
ifneq ($(HOME_OF_VENV),$(CURDIR))
.PHONY: $(VENV)/torch.stamp
endif

$(VENV)/torch.stamp: constraints.txt
	@$(if $(HOME_OF_VENV),[ "$(HOME_OF_VENV)" = "$(CURDIR)" ] || rm -rf $(VENV))
	@$(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	    "$$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	    echo "regard: making a virtual environment in $(VENV) with $$("$$python" --version)"; \
	    rm -rf $(VENV) && exec "$$python" -m venv $(VENV); \
	  done; \
	  echo "regard: no Python 3.11 or newer with venv was found. Install one (on Debian and Ubuntu:" >&2; \
	  echo "        python3 and python3-venv), or name it: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; \
	  exit 1; }
	@echo "regard: installing PyTorch (once; it is the largest part)"
	@$(BIN)/python -m pip install torch setuptools
	@echo "$(CURDIR)" >$(VENV)/home
	@touch $@

# timm, an oracle of the tests, comes alone: it asks for torchvision, which its layers do not need, and which would bring
# another PyTorch along.
$(VENV)/%.stamp: $(VENV)/torch.stamp pyproject.toml
	@echo "regard: installing the package and what '$*' needs (once; a minute or more)"
	@$(BIN)/python -m pip install --quiet --editable ".[$*]"
	@$(if $(filter test,$*),$(BIN)/python -m pip install --quiet --no-deps timm)
	@touch $@
