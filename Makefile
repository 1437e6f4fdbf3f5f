# The verbs of this project; `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := install
.PHONY: help install fmt check unit test editors vsix test-editors try bench clean

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 16

install: $(BIN)/.installed ## create the virtual environment and install Afterword into it

$(BIN)/.installed: pyproject.toml hatch_build.py trainer/afterword_trainer/model/memory.c
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	@touch $@

fmt: install ## format and mend what can be mended by itself
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format --quiet .

check: install ## formatting, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

unit: install ## the fast tests
	$(BIN)/python -m pytest -q -m 'not slow and not editor'

test: install ## every test that needs no editor
	$(BIN)/python -m pytest -m 'not editor'

# Which of editors/set_up/*.sh to run: all, or e.g. EDITORS='neovim emacs'
EDITORS ?=

editors: install ## download real editors for tests, into editors/.tools
	@PATH="$(abspath $(BIN)):$$PATH" editors/set_up/all.sh $(EDITORS)

vsix: ## check, test, build and package the extension for VS Code
	cd editors/vscode && { test -d node_modules || npm install --no-package-lock; } \
	  && npm run check && npm test && npm run package

test-editors: install ## drive the real editors that are there, say which are missing
	$(BIN)/python -m pytest -m editor -rs

# What `make try` learns and writes; everything it makes stays under .try
CORPUS ?= examples/letters
MINUTES ?= 3
TRY := AFTERWORD_HOME=.try $(BIN)/trainer

try: install ## learn CORPUS (example letters, or e.g. CORPUS=~/notes), write, and complete
	$(TRY) learn $(CORPUS) --minutes $(MINUTES)
	@for prompt in 'I have been thinking about' 'Dear Judy' 'The best part of the day'; do \
	  for temperature in 0.3 0.8 1.3; do \
	    printf '\n[temperature %s] ' $$temperature; \
	    $(TRY) sample --prompt "$$prompt" --temperature $$temperature --chars 160; \
	  done; \
	done
	@printf '\n\n[through the language server, as an editor asks]\n'
	@AFTERWORD_HOME=.try $(BIN)/python examples/editor.py 'I have been thinking ab'
	@AFTERWORD_HOME=.try $(BIN)/afterword stop
	@printf '\nall of it is under .try; to look at it: AFTERWORD_HOME=.try $(BIN)/trainer report --open\n'
	@printf 'next: $(BIN)/afterword demo, or $(BIN)/trainer learn YOUR_FOLDER\n'

bench: install ## measure; JSON on standard output
	@for script in step training memory keystroke footprint; do $(BIN)/python benchmarks/$$script.py; done

clean: ## remove the virtual environment, and what `make try` and `make editors` made
	rm -rf $(VENV) .try editors/.tools editors/vscode/node_modules editors/vscode/dist
