# `make run` and `make test` work on a fresh machine; the rest is for those who work on ds01ctl.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: run test test-host host-image host-shell lint generate bench clean

$(STAMP): pyproject.toml ds01ctl/__init__.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

# Exit code 3 says that something could not be seen, for example without root; it is shown anyway.
run: $(STAMP)
	@$(BIN)/ds01ctl detect unmanaged || test $$? -eq 3
	@$(BIN)/python tools/show_example.py

# two workers: one has the virtual machine from the start, the other all else (tests/scheduling.py)
test: lint
	$(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder

# the tests that need a whole host, in a virtual machine; root, QEMU, and a gigabyte of cache
test-host: $(STAMP)
	$(BIN)/python -m pytest -m host tests/host

host-image: $(STAMP)
	$(BIN)/python -m tests.host.image

# a root shell on such a host, with this tree's ds01ctl installed
host-shell: $(STAMP)
	@$(BIN)/python -m tests.host.shell

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# docs/reference and the example host are made from the code
generate: $(STAMP)
	$(BIN)/python tools/generate.py

bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,bench]'
	$(BIN)/python -m tests.bench

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
