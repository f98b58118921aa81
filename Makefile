# make run: the explorer. make test: all tests. Both work on a fresh machine.
PYTHON ?= python3
PY = .venv/bin/python
export TOKENIZERS_PARALLELISM = false

.PHONY: setup run test test-real check demo bench bench-ui browser screenshots

setup: .venv/installed

.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

run: setup
	$(PY) -m ctsft ui

# TEST_JOBS: how many tests at a time. The last line says how long it took.
TEST_JOBS ?= 2
test: setup browser
	@began=$$(date +%s); $(PY) -m pytest -n $(TEST_JOBS) --dist loadfile --no-loadscope-reorder; code=$$?; \
	echo "make test: $$(($$(date +%s) - began)) s"; exit $$code

check: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	.venv/bin/lint-imports
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict -q -d build/site
	$(MAKE) test

# The first-run path without a screen: scores, a circuit, two fine-tuning runs, the trade-off between them.
demo: setup
	PY=$(abspath $(PY)) sh benchmarks/demo.sh

bench: setup
	$(PY) -m benchmarks.bench_cdt
	$(PY) -m benchmarks.bench_tuning

# How fast the pages answer, in the real browser.
bench-ui: setup browser
	$(PY) -m benchmarks.bench_ui

# Pictures of every page for README, from the real app.
screenshots: setup browser
	$(PY) -m benchmarks.screenshots

# The browser tests drive Debian's Chromium, its headless shell where there is one (less work a page); without any (and without the right to install one) they are skipped, saying so.
browser:
	@if [ -z "$$(command -v chromium-headless-shell)" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  { timeout 120 apt-get update -qq && timeout 240 apt-get install -y -qq --no-install-recommends chromium-headless-shell; } >/dev/null 2>&1 || true; fi; \
	if [ -z "$$(command -v chromium-headless-shell || command -v chromium || command -v chromium-browser || command -v google-chrome)" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	  else echo "No Chromium found: the browser tests will be skipped (install the package chromium-headless-shell or chromium to run them)."; fi; fi

# A pretrained model against the oracle: make test-real MODEL=FOLDER DATA=FOLDER (a Hugging Face folder; NusaX and XNLI as published).
test-real: setup
	CTSFT_TEST_MODEL=$(or $(MODEL),$(CTSFT_TEST_MODEL)) CTSFT_TEST_DATA=$(or $(DATA),$(CTSFT_TEST_DATA)) $(PY) -m pytest -s tests/real
