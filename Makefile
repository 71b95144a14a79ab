# Needs python3 (3.11 or newer), make and a package registry. PYTHON= chooses another interpreter.
PYTHON ?= python3
PORT ?= 8001
DOCS_PORT ?= 8800
BACKPLANE ?= postgres
LAYER ?= none
# Workers of pytest for `make test`: each has servers of its own. Tests wait more than they compute: three keep two processors busy.
JOBS ?= $(shell [ "$$(getconf _NPROCESSORS_ONLN)" -ge 2 ] && echo 3 || echo 1)
# What runs in Python's development mode.
DEV_MODE := tests/backplanes tests/declarations tests/runtime tests/testing
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Each command below has its own settings.
unexport DJANGO_SETTINGS_MODULE

.PHONY: help demo test matrix coverage lint client bench bench-peers docs docs-serve docs-versions lock pictures diagrams clean

help:
	@echo "make demo            two pods and a worker over PostgreSQL; PORT=9001 moves the first"
	@echo "make demo BACKPLANE=nats   the same over NATS, with PostgreSQL beside it"
	@echo "make demo LAYER=redis      broadcasts travel over Channels and Redis; LAYER=backplane makes a layer of the backplane"
	@echo "make demo MONITOR=1  and Prometheus beside it, with the alert rules, where it is installed"
	@echo "make test            every check; JOBS=1 runs the tests on one worker, where three are the default"
	@echo "make matrix          a part of the tests on the wheel, for each Python found here and each Django"
	@echo "make coverage        of the core by its own tests, with branches"
	@echo "make lint            style and types only"
	@echo "make bench           the table of figures; ONLY=fold runs one"
	@echo "make bench-peers     other packages beside ours, at what they do as well; ONLY=append runs some"
	@echo "make docs            the site of the documentation, into build/docs"
	@echo "make docs-serve      the same, shown on http://127.0.0.1:8800; DOCS_PORT=9000 moves it"
	@echo "make docs-versions   the sites of all released versions side by side, into build/versions"
	@echo "make pictures        the pictures of the documentation, from a running demo; needs Chromium"
	@echo "make diagrams        the diagrams of the documentation; needs Graphviz"
	@echo "make lock            the versions and hashes of all packages; UPGRADE=--upgrade takes the newest"
	@echo "make client          the client script of live pages, from client/"
	@echo "make clean           remove the environment and the demo's data"

$(VENV)/made:
	@command -v "$(PYTHON)" >/dev/null || { echo "There is no $(PYTHON). Install Python 3.11 or newer, or say: make PYTHON=/path/to/python3"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$$("$(PYTHON)" --version) is too old: 3.11 or newer is needed. Say: make PYTHON=/path/to/python3"; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "This Python can't make environments. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Making the environment (once)..."
	@"$(PYTHON)" -m venv --clear $(VENV)
	@touch $@

# What the demo needs; and on top of it what the checks need. Again when the lock of the packages changes.
$(VENV)/demo: requirements/demo.txt | $(VENV)/made
	@echo "Installing the demo's packages (once)..."
	@$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/demo.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev: requirements/dev.txt $(VENV)/demo
	@echo "Installing the packages of the checks (once)..."
	@$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/dev.txt
	@touch $@

# Versions and hashes for every Python and platform, from pyproject.toml. UPGRADE=--upgrade takes the newest.
COMPILE = $(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links $(UPGRADE)
LOCK = $(COMPILE) pyproject.toml --extra all --group build --group servers
lock: $(VENV)/dev
	$(LOCK) --group dev --group docs --output-file requirements/dev.txt
	$(LOCK) --constraint requirements/dev.txt --output-file requirements/demo.txt
	$(COMPILE) requirements/peers.in --output-file requirements/peers.txt

# What bundles the client script: the bundler from the npm registry, run by the Node that came as a wheel.
BUNDLER := $(VENV)/client/node_modules/.package-lock.json
$(BUNDLER): client/package-lock.json | $(VENV)/dev
	@echo "Installing the bundler of the client script (once)..."
	@$(BIN)/python -m client.build install
	@touch $@

demo: $(VENV)/demo
	@exec $(BIN)/python -m testproject.demo --end-with-parent --port "$(PORT)" --backplane "$(BACKPLANE)" --layer "$(LAYER)" $(if $(filter-out 0,$(MONITOR)),--monitor)

test: lint $(BUNDLER)
	$(BIN)/python manage.py makemigrations --check --dry-run --settings testproject.settings_test
	@# All four run, whatever one finds. The second is in development mode, but for the allocator's checks, which are about others' code: what
	@# sockets, files and loops belong to is there, and what asyncio notes of each task would cost the rest up to 40 %. Drills keep all
	@# processors busy by themselves; the last one is a newcomer on the wheel.
	@status=0; workers="-n $(JOBS) --dist loadfile --no-loadscope-reorder"; \
	if [ "$(JOBS)" = 1 ]; then workers=; fi; \
	run() { \
		echo "pytest $$*"; \
		$(BIN)/python -m pytest -q "$$@" && return; \
		echo "What failed beside the others runs once more, alone:"; \
		$(BIN)/python -m pytest "$$@" -n 0 --dist no --last-failed --last-failed-no-failures none --maxfail 5 || status=1; \
	}; \
	run -m "not drill" $$workers $(DEV_MODE:%=--ignore %); \
	PYTHONDEVMODE=1 PYTHONMALLOC=pymalloc; export PYTHONDEVMODE PYTHONMALLOC; \
	run -m "not drill" $$workers $(DEV_MODE); \
	unset PYTHONDEVMODE PYTHONMALLOC; \
	run -m drill; \
	$(BIN)/python -m tests.matrix --ends || status=1; \
	exit $$status

# The built wheel with each Python that is found here and each Django, a short part of the suite in each.
matrix: $(VENV)/dev
	$(BIN)/python -m tests.matrix

coverage: $(VENV)/dev
	@# Not pytest-cov: the package's own pytest plugin imports the core before that begins to look.
	@# The same examples each time: what holds the line is a test, not luck.
	$(BIN)/python -m coverage run --branch --source=via_state.core -m pytest -q -p no:randomly --hypothesis-seed=0 tests/core
	$(BIN)/python -m coverage report --show-missing --skip-covered --fail-under=100

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

pictures: docs
	$(BIN)/python -m docs.images.two_browsers
	$(BIN)/python -m docs.images.demo
	$(BIN)/python -m docs.images.admin
	$(BIN)/python -m docs.images.overview
	$(BIN)/python -m docs.images.site

# Warnings are errors, and no network is asked.
docs: $(VENV)/dev
	$(BIN)/python -m sphinx -W --keep-going -q -d build/doctrees docs build/docs
	@echo "The site is in build/docs/index.html"

docs-serve: docs
	@echo "The documentation is at http://127.0.0.1:$(DOCS_PORT)/ (Ctrl-C ends it)"
	@exec $(BIN)/python -m http.server --bind 127.0.0.1 --directory build/docs $(DOCS_PORT)

docs-versions: $(VENV)/dev
	$(BIN)/python -m docs.versions

diagrams: $(VENV)/made
	$(BIN)/python -m docs.diagrams.draw

client: $(BUNDLER)
	$(BIN)/python -m client.build

bench: $(VENV)/dev
	$(BIN)/python -m benchmarks $(ONLY)

# Other packages have an environment of their own, beside ours: none of them is in our lock.
PEERS := .venv-peers
$(PEERS)/made: requirements/peers.txt | $(VENV)/dev
	@echo "Installing the packages that are measured beside ours (once)..."
	@"$(PYTHON)" -m venv --clear $(PEERS)
	@$(PEERS)/bin/python -m pip install --quiet --require-hashes --requirement requirements/peers.txt
	@touch $@

bench-peers: $(VENV)/dev $(PEERS)/made
	$(BIN)/python -W ignore -m benchmarks.peers $(ONLY)

# The demo's data is elsewhere, behind a link, where PostgreSQL's account can't enter this folder.
clean:
	@if [ -L .demo/postgres ]; then rm -rf "$$(readlink .demo/postgres)"; fi
	rm -rf $(VENV) $(PEERS) .demo .matrix
