# Two commands for a stranger: `make deploy` and `make test`. Both install what they need into .venv.
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
WITNESS := $(VENV)/.witness
TENSORFLOW := $(VENV)/.tensorflow
FLOORS := signals models quantize export firmware_sim recordings

.PHONY: deploy test test-fast coverage site tutorial witness test-witness tensorflow test-tensorflow lint bench bench-cohort clean

deploy: $(INSTALLED)
	$(PY) firmware_sim/deploy.py

test: $(INSTALLED)
	$(PY) -m pytest -n 2 --dist worksteal --ignore tests/test_witness.py --ignore tests/test_tensorflow.py

# What needs no emulator, no training and no whole recording: under two minutes.
test-fast: $(INSTALLED)
	$(PY) -m pytest -n 2 --dist worksteal --ignore tests/test_witness.py --ignore tests/test_tensorflow.py -m "not slow"

# Lines that the fast tests run, by module, and a total. Of its own, since tracing takes 1.6 times as long.
coverage: $(INSTALLED)
	mkdir -p build/coverage
	$(PY) -m pytest -n 2 --dist worksteal --ignore tests/test_witness.py --ignore tests/test_tensorflow.py -m "not slow" --cov --cov-report=term

# The documents as pages, in build/site; a link that leads nowhere is an error.
site: $(INSTALLED)
	$(PY) -m mkdocs build --quiet

# The tutorial's commands once more, and what they print into its page.
tutorial: $(INSTALLED)
	$(PY) docs/hooks/tutorial.py

# Google's converter as an independent witness, and for the encoder's own TFLite (about 1 GB more).
witness: $(WITNESS)

test-witness: $(WITNESS)
	$(PY) -m pytest tests/test_witness.py

# TensorFlow as another witness, and for Keras teachers (about 1 GB more).
tensorflow: $(TENSORFLOW)

test-tensorflow: $(TENSORFLOW)
	$(PY) -m pytest tests/test_tensorflow.py

lint: $(INSTALLED)
	$(PY) -m ruff check .
	rm -rf build/types && mkdir -p build/types/onwrist
	ln -s $(CURDIR)/onwrist/* $(addprefix $(CURDIR)/,$(FLOORS)) build/types/onwrist/
	$(PY) -m mypy

bench: $(INSTALLED)
	$(PY) firmware_sim/bench.py
	$(PY) firmware_sim/versus.py

# A thousand made-up people for eight hours: an hour or two of making them, a while of playing them.
bench-cohort: $(INSTALLED)
	$(PY) firmware_sim/bench_cohort.py

$(INSTALLED): requirements.lock pyproject.toml
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(WITNESS): $(INSTALLED) requirements-witness.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-witness.lock
	touch $@

$(TENSORFLOW): $(INSTALLED) requirements-tensorflow.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-tensorflow.lock
	touch $@

clean:
	rm -rf build runs .pytest_cache .ruff_cache .mypy_cache
