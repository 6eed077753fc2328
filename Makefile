# Every target does its own set-up. `make help` lists them.

PYTHON   ?= python3
# The checkpoint to export; a folder.
MODEL    ?= models/wav2letter-en
# The corpus to measure on, its split, and the audio to calibrate on.
DATA     ?= calibration_data
SPLIT    ?=
AUDIO    ?= calibration_data
BUILD    := build/$(notdir $(MODEL:%/=%))
REPORT   := build/report
BASELINE ?= $(MODEL)/baseline.json
SHIPPED  ?= static-int8

PRESETS  := int8 semi-int8 skip-ends static-int8 dynamic-int8
VARIANTS := $(BUILD)/float32.onnx $(PRESETS:%=$(BUILD)/%.onnx)

VENV     := .venv
BIN      := $(VENV)/bin
QUANTKIT := $(BIN)/quantkit
READY    := $(VENV)/.ready
PIP      := $(BIN)/python -m pip --disable-pip-version-check --quiet
CHOICES  := build/.choices
# Processes that share the tests; tests that stand together mostly stay together, so that what a
# module's tests share is made once.
JOBS     ?= logical
PYTEST   := $(BIN)/python -m pytest -n $(JOBS) --maxprocesses 8 --dist worksteal

# The modules whose change makes a step's result stale.
code = $(shell find $(addprefix quantkit/,$(1)) -name '*.py')

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: FORCE setup export quantize bench gate baseline ship check quick clients test coverage lint study train docs clean help

setup: $(READY) ## install quantkit and its tools into .venv

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "quantkit needs Python 3.11-3.13; name one with make PYTHON=python3.12" >&2; exit 2; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); } || \
		{ rm -rf $(VENV); echo "$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 2; }
	@echo "installing into $(VENV): the first time takes a few minutes"
	@$(PIP) install --editable '.[export,dev]'
	@touch $@

export: $(BUILD)/float32.onnx ## PyTorch checkpoint -> build/<model>/float32.onnx, parity checked

$(BUILD)/float32.onnx: $(READY) $(call code,disk audio text graph models exporting) $(wildcard $(MODEL)/config.json $(MODEL)/*.safetensors)
	$(QUANTKIT) export $(MODEL) -o $@

quantize: $(VARIANTS) ## float32.onnx -> <preset>.onnx for every preset

$(BUILD)/%.onnx: $(BUILD)/float32.onnx $(CHOICES)/audio $(wildcard $(AUDIO)/manifest.tsv) $(call code,codecs passes calibration quantization)
	$(QUANTKIT) quantize $< --preset $* --audio $(AUDIO) -o $@

bench: $(REPORT)/bench.json ## size, speed and edit distance of every variant -> build/report/ (DATA=corpus)
	@echo "open $(REPORT)/index.html"

$(REPORT)/bench.json: $(VARIANTS) $(CHOICES)/data $(wildcard $(DATA)/manifest.tsv) $(call code,benchmarking report runtime)
	$(QUANTKIT) bench $(VARIANTS) --data $(DATA) $(if $(SPLIT),--split $(SPLIT)) --report $(REPORT)

# What was chosen on the command line, rewritten only when it changes.
$(CHOICES)/audio: chosen = $(AUDIO)
$(CHOICES)/data: chosen = $(MODEL) $(DATA) $(SPLIT)
$(CHOICES)/%: FORCE
	@mkdir -p $(@D)
	@echo '$(chosen)' | cmp -s - $@ || echo '$(chosen)' > $@

gate: $(REPORT)/bench.json ## fail if a variant got worse than models/<model>/baseline.json
	$(QUANTKIT) gate $< --baseline $(BASELINE) --junit $(REPORT)/gate.xml --summary $(REPORT)/gate.md

baseline: $(REPORT)/bench.json ## renew the baseline from the last bench
	$(QUANTKIT) gate $< --baseline $(BASELINE) --update

ship: $(REPORT)/bench.json ## bundle for an edge team -> build/bundle/ (SHIPPED=preset)
	$(QUANTKIT) ship $(BUILD)/$(SHIPPED).onnx --bench $< --about $(MODEL)/README.md \
		--licence $(MODEL)/LICENCE -o build/bundle --force
	$(QUANTKIT) verify build/bundle

check: $(READY) ## the fast loop: lint, types, and the tests that are not slow (JOBS=processes)
	@$(MAKE) --no-print-directory -j 2 lint quick

# Beside mypy, which keeps one core busy when it has no cache.
quick: $(READY)
	$(PYTEST) -m 'not slow'

test: $(READY) ## all tests (JOBS=processes)
	$(PYTEST)

# Programs of others that tests open our folders with; 10 seconds, and nothing of them is run.
clients: build/clients/.ready ## transformers.js and ONNX Runtime for their tests, where npm is there

build/clients/.ready: tests/clients/package.json
	@mkdir -p build/clients && cp $< build/clients
	@if command -v npm >/dev/null && command -v node >/dev/null; then \
		cd build/clients && npm install --ignore-scripts --no-audit --no-fund --silent && touch .ready \
		|| echo "npm cannot install transformers.js: its tests are skipped" >&2; \
	else echo "no npm: the tests with transformers.js are skipped" >&2; fi

# Every broken link or anchor is an error; pages that are made from code are made anew.
docs: $(READY) ## the documentation as a site -> build/site/index.html
	$(PIP) install --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "open build/site/index.html"

# Takes a third longer.
coverage: $(READY) ## all tests, and which lines they do not reach
	$(PYTEST) --cov --cov-report=term

lint: $(READY) ## ruff and strict mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Studies that need real speech: DATA=folder with librispeech, speech_commands, digits, prompts, german.
OF_SPEECH := codec_accuracy conditioning activation_ranges plan_methods personalisation personalize_cost \
	foreign_model keyword_personalisation wav2vec2_budgets balancing vocabulary_tiers whisper \
	language_personalisation

study: $(VARIANTS) ## the measurements behind the README -> benchmarks/RESULTS.md (hours)
	$(PIP) install --editable '.[export,dev,peers]'
	$(MAKE) export MODEL=models/keywords-en
	$(BIN)/python -m benchmarks.full_width
	$(BIN)/python -m benchmarks.packed_weights
	$(BIN)/python -m benchmarks.matmul_nbits
	$(BIN)/python -m benchmarks.integer_convolutions
	$(BIN)/python -m benchmarks.wav2vec2_base
	$(BIN)/python -m benchmarks.large_conformer
	$(BIN)/python -m benchmarks.compatibility
	$(BIN)/python -m benchmarks.latency_prediction
	$(BIN)/python -m benchmarks.shipped_model $(if $(filter-out calibration_data,$(DATA)),--data $(DATA))
	$(if $(filter-out calibration_data,$(DATA)),set -e; for each in $(OF_SPEECH); do \
		$(BIN)/python -m benchmarks.$$each --data $(DATA); done)

train: $(READY) ## train a shipped model again (MODEL=its folder, DATA=folder with librispeech, speech_commands, digits)
	$(MODEL)/train.sh $(DATA) $(STEPS)

clean: ## remove what was built, keep .venv
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage *.egg-info

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18
