# All that is done with this repository, on a Debian machine that has apt, root, and make.
#   make audit   watch this very host in dry run, with metrics
#   make test    lint, types, unit tests, system tests, coverage

PYTHON := /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
METRICS := 127.0.0.1:9797

RUN_PACKAGES := python3 python3-venv python3-dev gcc libc6-dev pkg-config libsystemd-dev
TEST_PACKAGES := $(RUN_PACKAGES) strace openssl dbus dunst libnotify-bin xvfb prometheus prometheus-alertmanager prometheus-pushgateway qemu-system-x86 mmdebstrap e2fsprogs uidmap util-linux

# The modules that decide: every branch of theirs is tested.
DECIDING := pressure gauge glimpse window stall swapspace bystanders forecast spell standstill phase growth holders badness rules \
    expression ranking ladder family scope plan episode storm sources remedy relief effect account admission pages \
    marks enclosure interest privilege finding hostfindings guardfindings settingfindings
comma := ,
space := $(subst ,, )
DECIDING_FILES := $(subst $(space),$(comma),$(DECIDING:%=oomguard/%.py))

FUZZED := names passwords codec rules entry

.PHONY: audit test lint types unit vm fuzz coverage dashboards docs wheel clean

audit: $(VENV)/installed
	$(BIN)/oomguard run --dry-run --metrics $(METRICS)

test: lint types coverage

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/ready
	$(BIN)/mypy

# The tests that need no virtual machine: a minute.
unit: $(VENV)/ready
	$(BIN)/pytest -m "not vm"

vm: $(VENV)/ready
	$(BIN)/pytest -m vm

# Whatever reads what others write, on fifty times as many inputs as in the tests.
fuzz: $(VENV)/ready
	$(BIN)/pytest --hypothesis-profile=fuzz tests/test_hostile_*.py $(FUZZED:%=tests/test_%.py)

coverage: $(VENV)/ready
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered
	$(BIN)/coverage report --show-missing --include=$(DECIDING_FILES) --fail-under=100

# Needed after a change in grafana/.
dashboards: $(VENV)/ready
	$(BIN)/python -m grafana

# The pages of docs/ that are made from the code.
docs: $(VENV)/ready
	$(BIN)/python -m bench.metrics_doc > docs/metrics.md

wheel: $(VENV)/ready
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) dist build .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/installed: pyproject.toml constraints.txt
	$(call debian,$(RUN_PACKAGES))
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --use-pep517 --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

$(VENV)/ready: $(VENV)/installed
	$(call debian,$(TEST_PACKAGES))
	$(BIN)/pip install --quiet --use-pep517 --disable-pip-version-check --constraint constraints.txt --editable .[test]
	touch $@

# Installs what is missing, and says what to do where that takes another user.
debian = dpkg --status $(1) >/dev/null 2>&1 || \
    { [ "$$(id -u)" = 0 ] && apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
      apt-get install -qq --yes --no-install-recommends $(1) >/dev/null; } || \
    { echo "make: cannot install $(1); run this as root: apt-get install $(1)" >&2; exit 1; }
