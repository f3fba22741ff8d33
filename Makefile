# `make run` and `make test` need only Python ≥ 3.11, make and git; everything else they install into .venv.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
UV = $(shell command -v uv || echo $(VENV)/bin/uv)
INSTALL = $(UV) pip install --quiet --python $(PY) --require-hashes
# PyTorch comes by pip, which takes the build that suits the machine; requirements/tft.txt pins what it needs.
TORCH := torch==2.13.0
INSTALL_TORCH = $(PY) -m pip install --quiet --disable-pip-version-check $(TORCH)
# `make run WITH=cloud` adds what the cloud's adapters need, `WITH=tft` the model of that name, `WITH='cloud tft'` both.
WITH ?=
EXTRAS := $(sort $(WITH))
REQUIREMENTS := requirements/base.txt requirements/compute.txt $(EXTRAS:%=requirements/%.txt)
NOTHING :=
RUN := $(VENV)/.run$(subst $(NOTHING) ,,$(EXTRAS:%=-%))
# Processes that tests run in: for two cores. Those of all tests wait for browsers and servers, so one more is not too many.
unit: NUMBERS ?= 2
tests: NUMBERS ?= 3

# Compiled modules are kept, whatever the surroundings say: else each process of a test compiles all that it imports.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run dev test tests counterparts fuzz check format lint types imports unit browser docs requirements clean
.SUFFIXES:

run: $(RUN)
	@$(PY) -m ui.vendor
	@exec $(PY) -X faulthandler run_nicegui.py serve

# The same in a home of its own, started again when its code changes.
dev: $(RUN)
	@$(PY) -m ui.vendor
	@VARIOSYNC_HOME="$${VARIOSYNC_HOME:-$(CURDIR)/build/home}" exec $(PY) -m ui.dev

$(VENV)/.venv:
	@$(PYTHON) -c 'import sys; sys.exit("VARIOSYNC needs Python 3.11 or newer; this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else 0'
	@echo 'Setting up in this folder, this once: 1.2 GB in $(VENV), 0.1 GB in build. A minute or two on a fast line.'
	@$(PYTHON) -m venv $(VENV)
	@command -v uv >/dev/null || $(PY) -m pip install --quiet --disable-pip-version-check uv
	@touch $@

$(RUN): $(VENV)/.venv $(REQUIREMENTS) pyproject.toml package-lock.json ui/vendor.py
	@echo 'Python packages: fetched and checked by their hashes; nothing more is printed until they are there.'
	@$(INSTALL) $(addprefix -r ,$(REQUIREMENTS))
	@$(if $(filter tft,$(EXTRAS)),echo 'PyTorch: 0.8 GB.' && $(INSTALL_TORCH))
	@$(UV) pip install --quiet --python $(PY) --no-deps --editable .
	@$(PY) -m ui.vendor
	@touch $@

$(VENV)/.dev: $(RUN) requirements/dev.txt requirements/cloud.txt requirements/tft.txt
	$(INSTALL) -r requirements/dev.txt -r requirements/cloud.txt -r requirements/tft.txt
	$(INSTALL_TORCH)
	@touch $@

# The shell opens a page for a sixth of what the whole browser takes; where it cannot be had, that will do.
browser: $(VENV)/.browser
$(VENV)/.browser: $(VENV)/.dev
	@any() { for name in $$@; do ! command -v $$name >/dev/null || return 0; done; false; }; \
	get() { DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$1 >/dev/null; }; \
	if any chromium-headless-shell; then :; \
	elif [ "$$(id -u)" = 0 ] && any apt-get; then \
	  apt-get update -qq; get chromium-headless-shell 2>/dev/null || any chromium google-chrome || get chromium; \
	else any chromium google-chrome || $(PY) -m playwright install chromium; fi
	@touch $@

# The servers that the cloud's adapters are tested against.
COUNTERPARTS := redis-server pgbouncer haproxy curl
counterparts: $(VENV)/.dev
	@missing=; for name in $(COUNTERPARTS); do PATH="$$PATH:/usr/sbin" command -v $$name >/dev/null || missing="$$missing $$name"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing >/dev/null; \
	  else echo "Install$$missing first: the tests of the cloud adapters need them." >&2; exit 1; fi; fi

# The quick checks run beside the tests.
test: browser counterparts
	@$(MAKE) --no-print-directory -j 4 lint types imports tests

# What tests start by `make` is to know nothing of this one.
tests: browser counterparts
	unset MAKEFLAGS MFLAGS MAKELEVEL; $(PY) -m pytest -n $(NUMBERS) --dist loadgroup tests

# More cases for the REST interface than a test run has time for.
fuzz: $(VENV)/.dev
	VARIOSYNC_FUZZ_CASES=10000 $(PY) -m pytest tests/e2e/test_openapi.py

check: format
	@$(MAKE) --no-print-directory -j 4 lint types imports unit

format: $(VENV)/.dev
	$(PY) -m ruff format --quiet .

lint: $(VENV)/.dev
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .

types: $(VENV)/.dev
	$(PY) -m mypy

imports: $(VENV)/.dev
	$(VENV)/bin/lint-imports

unit: $(VENV)/.dev
	$(PY) -m pytest -n $(NUMBERS) --dist loadgroup -q -m 'not slow' tests/unit tests/test_architecture.py tests/test_docs.py

# The reference anew, from the code; a test fails while it differs.
docs: $(VENV)/.dev
	$(PY) -m docs.reference

# New pins: only when a dependency changes. The files hold names, versions and hashes, never an address.
COMPILE = $(UV) pip compile pyproject.toml --quiet --universal --generate-hashes --no-header --python-version 3.11
requirements: $(VENV)/.venv
	mkdir -p requirements build
	$(COMPILE) --all-extras -o build/all.txt
	for extra in compute cloud tft dev; do $(COMPILE) --extra $$extra -c build/all.txt -o requirements/$$extra.txt || exit 1; done
	$(COMPILE) -c build/all.txt -o requirements/base.txt

clean:
	rm -rf $(VENV) build node_modules ui/static/vendor
