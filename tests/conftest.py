"""Eight forced host devices for every test, and small helpers."""

import gc
import math
import os
import pathlib
import subprocess
import sys

import budget
import environment
import pytest

from gen_jax.runtime import settings

ROOT = pathlib.Path(__file__).parents[1]


def pytest_configure(config):
  """Sets what has to be set before JAX starts its backend."""
  # Two workers on two cores: a thread more for linear algebra only spins.
  os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
  # The tests of minutes compute much, and others hardly anything.
  cheap = 'not long' in config.option.markexpr
  # Tests of one device ask for one. `launch/gpu_check.py` runs some on one
  # device in all, because a machine with one GPU has no more.
  devices = int(os.environ.get('GEN_JAX_TEST_DEVICES', 8))
  flags = environment.xla_flags(devices, cheap)
  os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} {flags}'
  os.environ.setdefault('JAX_PLATFORMS', 'cpu')
  settings.configure()
  most = budget.LIMIT * budget.TOLERANCE if 'CI' in os.environ else math.inf
  config.pluginmanager.register(budget.Budget(budget.LIMIT, most))


# A tracing makes many objects, and Python's collector looks through all of them
# again and again: a tenth of the time of all tests.
def pytest_collection_finish():
  """Takes what was imported out of the collector, and runs it less often."""
  gc.collect()
  gc.freeze()
  gc.set_threshold(50_000, 20, 100)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish():
  """Leaves the objects of the tests to the end of the process: 3 s less."""
  gc.freeze()


@pytest.fixture
def command():
  """Runs `python -m gen_jax <name> <args>` on one device, from the root."""

  def run(name, *args, **kwargs):
    return subprocess.run(
      [sys.executable, *environment.module(name), *map(str, args)],
      cwd=ROOT,
      env={**os.environ, 'XLA_FLAGS': environment.xla_flags(1)},
      text=True,
      capture_output=True,
      timeout=environment.HANG,
      **kwargs,
    )

  return run


@pytest.fixture
def one_device(monkeypatch):
  """Trains on one device, where many of them are not the point."""
  import jax
  import numpy as np

  from gen_jax.distributed import mesh as mesh_lib

  mesh = jax.sharding.Mesh(np.asarray(jax.devices()[:1]), ('data',))
  monkeypatch.setattr(mesh_lib, 'make', lambda *_: mesh_lib.Jit(mesh))


@pytest.fixture
def refused(capsys, monkeypatch):
  """Runs a command in-process; returns its one line of complaint."""
  monkeypatch.chdir(ROOT)

  def run(module, *args):
    capsys.readouterr()
    code = module.main([str(a) for a in args])
    error = capsys.readouterr().err.strip()
    assert code == 2, error
    assert error.startswith('gen_jax: ')
    assert '\n' not in error
    assert 'Traceback' not in error
    return error

  return run
