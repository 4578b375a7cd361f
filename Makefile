# Everything that is done with this repository. `make` alone lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
CODE := adapters benchmarks bot docs hatch_build.py inference migrations tests

.DEFAULT_GOAL := help
.PHONY: help install run test test-slow check format docs wheel bench-engine soak clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Chorus needs Python 3.11 or newer; set PYTHON=/path/to/python3.11 (or newer)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

NATIVE := $(wildcard inference/local/native/*.[ch]) inference/local/native/build.py hatch_build.py

$(VENV)/.installed: pyproject.toml constraints.txt $(NATIVE) | $(BIN)/python
	@echo "Installing Chorus (the first time takes some minutes) ..."
	$(PIP) --editable '.[plots]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable '.[plots,dev]'
	@touch $@

install: $(VENV)/.installed ## create .venv and install Chorus in it

run: install ## start the bot, or a conversation here if no platform is set up
	@$(BIN)/chorus run

test: $(VENV)/.installed-dev ## run the tests
	$(BIN)/pytest -q -m "not slow" --durations=10

test-slow: $(VENV)/.installed-dev ## run the long tests
	$(BIN)/pytest -q -m slow --durations=10 --timeout=1800

check: $(VENV)/.installed-dev ## format, lint, types, architecture, documentation
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

format: $(VENV)/.installed-dev ## format the code and mend what lint can
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

docs: $(VENV)/.installed-dev ## write the generated parts of the documentation anew
	$(BIN)/python docs/generate.py

wheel: $(VENV)/.installed-dev ## build the wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation

SHAPE ?= smol
N ?= 1 4 16
ROUNDS ?= 3
PEERS ?= transformers-generate transformers-batching
PEER_VENVS := $(patsubst %,.bench/%/.installed,$(filter openvino vllm,$(PEERS)))

bench-engine: $(VENV)/.installed-dev $(PEER_VENVS) ## compare the engine with its PEERS; see benchmarks/README.md
	@$(BIN)/python -m benchmarks.compare --shape $(SHAPE) --conversations $(N) --rounds $(ROUNDS) --peers $(PEERS)

# The uninstalled packages are built for CUDA and fail beside torch for the CPU; the peers do without them.
.bench/%/.installed: benchmarks/peers/%.txt
	@echo "Installing $* (gigabytes, the first time) ..."
	@mkdir -p .bench
	@{ $(PYTHON) -m venv --clear .bench/$* \
		&& .bench/$*/bin/python -m pip install --requirement $< \
		&& .bench/$*/bin/python -m pip uninstall --yes torchvision torchaudio torchcodec \
		&& touch $@; } > .bench/$*.log 2>&1 || echo "$* could not be installed; .bench/$*.log tells why"

MINUTES ?= 60

soak: $(VENV)/.installed-dev ## random requests for MINUTES=60: nothing may be lost, memory may not grow
	@$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

clean: ## remove what was built, .venv included
	rm -rf $(VENV) .bench build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
