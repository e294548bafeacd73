# One command each. Everything is installed into .venv on first use, and again when setup.cfg changes.
#
#   make run      a registrar and proxy on loopback, with two demo accounts
#   make test     the unit tests; set CONFORMANCE_DIR to run the conformance tests too
#   make test-compiled  the same tests, with the hot paths compiled to C and installed into .venv-compiled
#   make interop  the tests against real programs (tools/install-peers.sh installs those)
#   make lint     formatting, rules, types, the import matrix
#   make docs     guides and API reference into docs/_build
#   make bench    the servers beside Kamailio; BENCH_DIR names the folder of the load driver
#   make bench-compiled  the same with the compiled build
#   make bench-overload  what is left of the servers when they are offered 2 and 5 times what they can do
#   make bench-smoke  the same, short and slow: does each load get through?
#   make soak     SOAK_INPUTS broken messages for the parser; a server busy for SOAK_MINUTES, then killed
#                 SOAK_KILLS times: answers, memory, bindings; then signal 9 with SOAK_REGISTRATIONS of those;
#                 then SOAK_OUTAGE seconds without the Redis or PostgreSQL that two servers share;
#                 SOAK_SEEDS simulated days from SOAK_SEED on; SOAK_LOSSY calls with 5 % of all packets lost
#   make clean    remove what these commands made, except the demo's accounts in var/

PYTHON ?= python3
VENV ?= .venv
COMPILED ?= $(VENV)-compiled
# Many tests wait for a server more than they compute.
JOBS ?= 3
SOAK_INPUTS ?= 1000000
SOAK_MINUTES ?= 10
SOAK_KILLS ?= 20
SOAK_REGISTRATIONS ?= 10000
SOAK_OUTAGE ?= 60
SOAK_SEED ?= 1000
SOAK_SEEDS ?= 3000
SOAK_LOSSY ?= 1000
BIN := $(VENV)/bin
UNIT_TESTS = $(shell find rvoip/test -name 'test_*.py' -not -path '*/interop/*' | sort | sed 's/\.py$$//; s,/,.,g')
TESTS ?= $(UNIT_TESTS)

# Trial runs in a folder of its own, where a relative path would lead nowhere.
ifdef CONFORMANCE_DIR
override CONFORMANCE_DIR := $(abspath $(CONFORMANCE_DIR))
export CONFORMANCE_DIR
endif
ifdef BENCH_DIR
override BENCH_DIR := $(abspath $(BENCH_DIR))
export BENCH_DIR
endif

# Tests start servers and commands by the hundred: without bytecode each would compile all sources anew.
unexport PYTHONDONTWRITEBYTECODE

.DELETE_ON_ERROR:
.PHONY: install compile run test test-compiled interop lint docs bench bench-compiled bench-overload bench-smoke soak clean

run: $(VENV)/.installed
	@exec $(BIN)/rvoip demo

# For all other targets at once, but for what is compiled.
install: $(addprefix $(VENV)/.installed-,test interop lint docs)

compile: $(COMPILED)/.installed

test: $(VENV)/.installed-test
	$(BIN)/python -m twisted.trial -j$(JOBS) $(TESTS)

# COMPILED_TESTS names packages to run less. The rest needs the files of the checkout, which are not in a wheel.
test-compiled: $(COMPILED)/.installed
	cd $(COMPILED) && bin/python -m twisted.trial -j$(JOBS) \
		$(if $(COMPILED_TESTS),$(COMPILED_TESTS),$(filter-out rvoip.test.docs.% %.test_tap,$(TESTS)))

interop: $(VENV)/.installed-test $(VENV)/.installed-interop
	$(BIN)/python -m twisted.trial rvoip.test.interop

lint: $(VENV)/.installed-lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

docs: $(VENV)/.installed-docs
	rm -rf docs/_build
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -b html docs docs/_build/html
	$(BIN)/pydoctor --config docs/pydoctor.ini
	@echo "docs/_build/html/index.html and docs/_build/api/index.html"

bench: $(VENV)/.installed $(VENV)/.installed-redis $(VENV)/.installed-postgresql
	@$(BIN)/python tools/bench.py $(ROWS)

bench-compiled: $(COMPILED)/.installed
	@$(COMPILED)/bin/python tools/bench.py $(ROWS)

bench-overload: $(VENV)/.installed
	@$(BIN)/python tools/overload.py $(LOADS)

bench-smoke: $(VENV)/.installed
	@$(BIN)/python tools/bench.py --smoke $(ROWS)

soak: $(VENV)/.installed $(VENV)/.installed-interop
	$(BIN)/python tools/fuzz/fuzz_sip.py --inputs $(SOAK_INPUTS)
	RVOIP_SOAK=1 $(BIN)/python -m twisted.trial rvoip.test.registrar.stores.test_kill
	$(BIN)/python -m rvoip.test.simulation --seed $(SOAK_SEED) --seeds $(SOAK_SEEDS)
	$(BIN)/python tools/lossy.py --calls $(SOAK_LOSSY)
	$(BIN)/python tools/soak.py --minutes $(SOAK_MINUTES) --kills $(SOAK_KILLS)
	RVOIP_KILL_REGISTRATIONS=$(SOAK_REGISTRATIONS) $(BIN)/python -m twisted.trial rvoip.test.hostile.test_kill
	RVOIP_OUTAGE_SECONDS=$(SOAK_OUTAGE) $(BIN)/python -m twisted.trial rvoip.test.interop.test_shared_location

clean:
	rm -rf $(VENV) $(COMPILED) build dist docs/_build rvoip.egg-info _trial_temp* ci-logs .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit("rvoip needs Python 3.11 or later: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(COMPILED)/.installed: setup.cfg setup.py pyproject.toml $(shell find rvoip -name '*.py') | $(VENV)/.made
	$(BIN)/python -m venv $(COMPILED)
	rm -rf build
	MYPY_CACHE_DIR=build/types RVOIP_COMPILE=1 $(COMPILED)/bin/pip install -qq --disable-pip-version-check --force-reinstall --no-deps .
	$(COMPILED)/bin/pip install -qq --disable-pip-version-check 'rvoip[test]'
	@touch $@

$(VENV)/.installed: setup.cfg pyproject.toml | $(VENV)/.made
	$(BIN)/pip install -qq --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-%: setup.cfg pyproject.toml | $(VENV)/.installed
	$(BIN)/pip install -qq --disable-pip-version-check --editable '.[$*]'
	@touch $@
