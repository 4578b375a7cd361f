# Everything that is done with this repository. `make` alone lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
CODE := adapters benchmarks bot docs hatch_build.py inference migrations tests

.DEFAULT_GOAL := help
.PHONY: help install run test test-slow check format docs texts wheel bench-engine soak smalltalk chaos bench-database bench-pipeline bench-families clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Chorus needs Python 3.11 or newer; set PYTHON=/path/to/python3.11 (or newer)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

C_CODE := $(wildcard inference/local/native/*.[ch])
NATIVE := $(C_CODE) inference/local/native/build.py hatch_build.py

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
	$(BIN)/clang-format --dry-run --Werror $(C_CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

format: $(VENV)/.installed-dev ## format the code and mend what lint can
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)
	$(BIN)/clang-format -i $(C_CODE)

docs: $(VENV)/.installed-dev ## write the generated parts of the documentation anew
	$(BIN)/python docs/generate.py

texts: $(VENV)/.installed-dev ## bring the catalogues of translations up to the texts in the code
	$(BIN)/python -m bot.locales.extract

wheel: $(VENV)/.installed-dev ## build the wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation

SHAPE ?= smol
N ?= 1 4 16
ROUNDS ?= 3
PEERS ?= transformers-generate transformers-batching
PRECISIONS ?= int8 bf16
PEER_VENVS := $(patsubst %,.bench/%/.installed,$(filter llama openvino vllm,$(PEERS)))

bench-engine: $(VENV)/.installed-dev $(PEER_VENVS) ## compare the engine with its PEERS; see benchmarks/README.md
	@$(BIN)/python -m benchmarks.compare --shape $(SHAPE) --conversations $(N) --rounds $(ROUNDS) \
		--precisions $(PRECISIONS) --peers $(PEERS)

# The uninstalled packages are built for CUDA and fail beside torch for the CPU; the peers do without them.
.bench/%/.installed: benchmarks/peers/%.txt
	@echo "Installing $* (gigabytes, the first time) ..."
	@mkdir -p .bench
	@{ $(PYTHON) -m venv --clear .bench/$* \
		&& .bench/$*/bin/python -m pip install --requirement $< \
		&& .bench/$*/bin/python -m pip uninstall --yes torchvision torchaudio torchcodec \
		&& touch $@; } > .bench/$*.log 2>&1 || echo "$* could not be installed; .bench/$*.log tells why"

LLAMA := .bench/llama
LLAMA_OPTIONS := -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=ON -DLLAMA_OPENSSL=OFF \
	-DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TESTS=OFF \
	'-DCMAKE_CXX_FLAGS=-include "$(CURDIR)/benchmarks/peers/llama_amx.h"'

# llama.cpp comes inside the source package of llama-cpp-python; its server is built for this processor.
$(LLAMA)/.installed: benchmarks/peers/llama.txt benchmarks/peers/llama_amx.h
	@echo "Building llama.cpp (a quarter of an hour, the first time) ..."
	@mkdir -p .bench
	@{ $(PYTHON) -m venv --clear $(LLAMA) \
		&& PATH="$(CURDIR)/$(LLAMA)/bin:$$PATH" \
		&& python -m pip install --constraint $< aiohttp cmake gguf ninja \
		&& python -m pip download --constraint $< --no-deps --no-binary llama-cpp-python \
			--dest $(LLAMA)/source llama-cpp-python \
		&& tar -xzf $(LLAMA)/source/*.tar.gz -C $(LLAMA)/source --strip-components 1 \
		&& cmake -S $(LLAMA)/source/vendor/llama.cpp -B $(LLAMA)/build $(LLAMA_OPTIONS) \
		&& nice -n 19 cmake --build $(LLAMA)/build --target llama-server --parallel 2 \
		&& mv $(LLAMA)/build/bin/llama-server $(LLAMA)/bin \
		&& rm -r $(LLAMA)/build $(LLAMA)/source \
		&& touch $@; } > $(LLAMA).log 2>&1 || echo "llama could not be installed; $(LLAMA).log tells why"

MINUTES ?= 60

soak: $(VENV)/.installed-dev ## random requests for MINUTES=60: nothing may be lost, memory may not grow
	@$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

MODEL ?= embedded
OPTIONS ?=

smalltalk: $(VENV)/.installed-dev ## how good MODEL=embedded is at everyday talk; OPTIONS=--failures shows where not
	@$(BIN)/python -m benchmarks.smalltalk --model $(MODEL) $(OPTIONS)

KILLS ?= 300

chaos: $(VENV)/.installed-dev ## kill the bot KILLS=300 times while people talk to it: nothing lost, nothing twice
	@$(BIN)/python -m benchmarks.chaos --kills $(KILLS)

CONVERSATIONS ?= 100000
MESSAGES ?= 5000000

bench-database: $(VENV)/.installed-dev ## what a message costs with MESSAGES=5000000 stored, and with none
	@$(BIN)/python -m benchmarks.database --conversations $(CONVERSATIONS) --messages $(MESSAGES)

bench-pipeline: $(VENV)/.installed-dev ## messages a second through the whole bot, with a model that needs no time
	@$(BIN)/python -m benchmarks.pipeline

DATA ?= data
TOKENS ?= 2000000

bench-families: $(VENV)/.installed-dev ## transformer and recurrent models trained alike on DATA=folder, TOKENS=2000000
	@$(BIN)/python -m benchmarks.families --data $(DATA) --tokens $(TOKENS)

clean: ## remove what was built, .venv included
	rm -rf $(VENV) .bench build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
