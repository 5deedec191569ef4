"""Eight forced host devices for every test, and small helpers."""

import os

# Before JAX starts its backend. Tests of one device ask for one.
os.environ['XLA_FLAGS'] = (
  os.environ.get('XLA_FLAGS', '') + ' --xla_force_host_platform_device_count=8'
)
os.environ.setdefault('JAX_PLATFORMS', 'cpu')

import pathlib  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402

import pytest  # noqa: E402

from gen_jax import runtime  # noqa: E402

ROOT = pathlib.Path(__file__).parents[1]

runtime.configure()


@pytest.fixture
def command():
  """Runs `python -m gen_jax.<name> <args>` on one device, from the root."""

  def run(name, *args, timeout=120, **kwargs):
    environment = {k: v for k, v in os.environ.items() if k != 'XLA_FLAGS'}
    return subprocess.run(
      [sys.executable, '-m', f'gen_jax.{name}', *map(str, args)],
      cwd=ROOT,
      env=environment,
      text=True,
      capture_output=True,
      timeout=timeout,
      **kwargs,
    )

  return run


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
