# make run          trains configs/vae.py (CONFIG=configs/x.py picks another)
# make test         lint, types and tests
# make test-fast    lint, and tests of about a minute for each commit
# make test-long    the tests that take minutes
# make test-tpu     the tests that compile for TPUs, without one
# make mutation     whether the tests catch faults, by changing the code
# make docs         the documentation as a site, in build/site
# make bench        training speed beside PyTorch
PYTHON ?= python3
CONFIG ?= configs/vae.py
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test test-fast test-long test-tpu mutation docs bench clean

run: $(VENV)/run.stamp
	$(BIN)/python -m gen_jax.main --config=$(CONFIG) $(ARGS)

# A file stays with one worker, which trains once what several of its tests use.
WORKERS := -n 2 --dist loadfile

# Else each process that a test starts compiles the project's files anew.
test test-fast: export PYTHONDONTWRITEBYTECODE =

test: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/pyrefly check --python-interpreter-path $(BIN)/python
	$(BIN)/python -m pytest $(WORKERS) $(ARGS)

# Losses, data and config, a training of two players, and a resumed one.
FAST := tests/losses tests/data tests/config/test_config.py \
  'tests/configs/test_configs.py::test_the_test_form_trains_and_draws[gan-jit]' \
  tests/training/test_resume.py::test_stages_are_one_run_and_resume_across_their_boundary

test-fast: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/python -m pytest $(WORKERS) $(FAST) $(ARGS)

test-long: $(VENV)/test.stamp
	$(BIN)/python -m pip install -q -e '.[test,notebooks,onnx,gcs,wandb,mlflow,trackio]'
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m long $(ARGS)
	$(BIN)/python -m pytest tests/storage  # those of the extras, skipped before

test-tpu: $(VENV)/test.stamp
	$(BIN)/python -m pip install -q -e '.[test,tpu-compile]'
	$(BIN)/python -m pytest -m tpu_compile $(ARGS)

mutation: $(VENV)/test.stamp
	$(BIN)/python -m pip install -q -e '.[mutation]'
	$(BIN)/python tests/mutation.py $(ARGS)

# MkDocs Material prints an advertisement otherwise.
docs: export NO_MKDOCS_2_WARNING = 1
docs: $(VENV)/docs.stamp
	$(BIN)/mkdocs build --strict --quiet $(ARGS)

bench: $(VENV)/bench.stamp
	$(BIN)/python -m bench $(ARGS)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'gen_jax needs Python 3.11 or newer: make PYTHON=python3.12 ...' \
	  >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# A stamp is newer than what it was made from, so a change of the dependencies
# installs again.
$(VENV)/run.stamp: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q -e '.[native]'
	@touch $@

$(VENV)/test.stamp: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q -e '.[test]'
	@touch $@

$(VENV)/docs.stamp: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q -e '.[docs]'
	@touch $@

$(VENV)/bench.stamp: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q -e '.[bench]'
	@touch $@

clean:
	rm -rf $(VENV)
