# The commands of a working day. `make help` lists them.

VENV ?= .venv
WORKERS ?= auto
COURSE ?=
ARGS ?=
BENCH ?= $(or $(ALFORJA_BENCH),.bench)

PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
GATES := lint-style lint-format lint-types lint-imports

.PHONY: help venv pins lint $(GATES) test demo bench bench-wire bench-tools sim fuzz clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP)

# Everything by hash first; the project itself has none, and needs nothing that is not there by then.
$(STAMP): pyproject.toml constraints.txt
	@set -e; \
	fits() { "$$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }; \
	if ! fits $(PY); then \
		for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do \
			if fits "$$python"; then found="$$python"; break; fi; \
		done; \
		if [ -z "$${found-}" ]; then \
			echo "python: none found that is 3.11 or newer and can make virtual environments" >&2; \
			echo "  on Debian run \`apt-get install python3 python3-venv\`; or name one: \`make PYTHON=/path/to/python3 ...\`" >&2; \
			exit 1; \
		fi; \
		echo "setting up $(VENV) with $$("$$found" --version)"; \
		"$$found" -m venv --clear $(VENV); \
	fi
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

pins: $(STAMP) ## choose the newest dependencies that pyproject.toml allows, and pin them
	$(PY) -m pip install --quiet --disable-pip-version-check uv
	$(VENV)/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --extra hub --extra images --group dev \
		--generate-hashes --no-strip-extras --no-emit-index-url --custom-compile-command "make pins" \
		--output-file constraints.txt pyproject.toml

lint: $(GATES) ## style, format, types, floors

lint-style: $(STAMP)
	$(VENV)/bin/ruff check

lint-format: $(STAMP)
	$(VENV)/bin/ruff format --check

lint-types: $(STAMP)
	$(VENV)/bin/mypy

lint-imports: $(STAMP)
	$(VENV)/bin/lint-imports --no-logo

test: $(STAMP) ## all tests, with coverage; ARGS="--no-cov tests/node" for some
	$(PY) -m pytest -n $(WORKERS) --dist worksteal --cov --cov-report=term $(ARGS)

demo: $(STAMP) ## a course travels from a hub to a browser; COURSE=olx for the Open edX demo course
	$(PY) scripts/demo.py $(COURSE)

bench: $(STAMP) ## measure what is not measured yet, and write docs/benchmarks.md
	ALFORJA_BENCH=$(BENCH) $(PY) -m tests.bench $(ARGS)

bench-wire: $(STAMP) ## the same, only bytes beside other tools; ARGS="--row site:v2-v3" for one row
	ALFORJA_BENCH=$(BENCH) $(PY) -m tests.bench wire $(ARGS)

sim: $(STAMP) ## how schools fare over half a year, by link and policy; ARGS="7 8 --link 2G" for other seeds, one link
	$(PY) -m tests.simulators $(ARGS)

fuzz: $(STAMP) ## look for bytes that break a reader; ARGS="patches 600" for one of them and so many seconds
	@[ -x .fuzz/bin/python ] || { $(PY) -m venv .fuzz && .fuzz/bin/python -m pip install --quiet --disable-pip-version-check \
		atheris backports.zstd && echo "*" >.fuzz/.gitignore; }
	PYTHONPATH=packaging:. .fuzz/bin/python -m tests.fuzz $(ARGS)

# Other tools live beside the project's environment, never in it. Debian's ones are named, not installed: that takes root.
bench-tools: $(STAMP) ## bring the tools that benchmarks compare with
	@for tool in rsync rdiff casync zck borg restic ostree xdelta3 zstd bsdiff xz 7zz javac node curl; do \
		command -v $$tool >/dev/null || echo "$$tool: not here; its rows will say so" >&2; \
	done
	@echo "on Debian: apt-get install rsync rdiff casync zchunk borgbackup restic ostree xdelta3 zstd bsdiff xz-utils 7zip" \
		"default-jdk-headless nodejs npm curl"
	@mkdir -p $(BENCH) && echo "*" >$(BENCH)/.gitignore
	$(PY) -m venv $(BENCH)/venv
	$(BENCH)/venv/bin/python -m pip install --quiet --disable-pip-version-check hdiffpatch
	-$(BENCH)/venv/bin/python -m pip install --quiet --disable-pip-version-check detools
	-npm install --silent --no-fund --no-audit --prefix $(BENCH) jszip@3.10.1

clean: ## remove what these commands made
	rm -rf $(VENV) build dist htmlcov coverage.xml \
		.mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find packaging hub node tests scripts -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
