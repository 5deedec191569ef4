"""From the start of the process to the end of the first training step.

The user's own command runs in a process of its own, with a new workdir and a
compilation cache that an earlier run of it has filled. The first step counts
as done when `metrics.jsonl` has a line of a loss, which is written once the
step's metrics have been read from the device. With `log_every=1` that is the
line of step 1; nothing else of the config changes, since another number of
steps would be another program to compile. The file is the same on every
platform and does not depend on what is printed; it is read every 5 ms.
The process is killed then, because what comes after does not count.
"""

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from bench.harness import ROOT

NAME, TARGET, CONFIG = 'start', 6.0, 'configs/vae.py'
_PATIENCE = 300.0  # seconds


def measure(runs: int = 3) -> dict[str, Any]:
  """Returns the seconds of a first start, and of `runs` with a warm cache."""
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    environment = {
      k: v for k, v in os.environ.items() if k != 'JAX_COMPILATION_CACHE_DIR'
    }
    # Where runtime.py keeps compiled programs, by default.
    environment |= {'XDG_CACHE_HOME': str(folder / 'cache')}
    cold, *warm = [
      _first_step(folder / f'run{i}', environment) for i in range(runs + 1)
    ]
  return {
    'row': NAME,
    'config': CONFIG,
    'cold_seconds': cold,
    'warm_seconds': statistics.median(warm),
    'warm_by_run': warm,
    'target_seconds': TARGET,
  }


def line(result: dict[str, Any]) -> str:
  """Returns the result as text."""
  warm = result['warm_by_run']
  return (
    f'start to first step, {result["config"]}: warm cache '
    f'{result["warm_seconds"]:.1f} s ({min(warm):.1f}-{max(warm):.1f}; target '
    f'{result["target_seconds"]:.0f}), empty cache '
    f'{result["cold_seconds"]:.1f} s'
  )


def _first_step(workdir: pathlib.Path, environment: dict[str, str]) -> float:
  command = [sys.executable, '-m', 'gen_jax.main', f'--config={CONFIG}']
  command += [f'--workdir={workdir}', '--config.log_every=1']
  with tempfile.TemporaryFile('w+') as output:
    begin = time.monotonic()
    process = subprocess.Popen(
      command, cwd=ROOT, env=environment, stdout=output, stderr=output
    )
    try:
      while not _stepped(workdir / 'metrics.jsonl'):
        seconds = time.monotonic() - begin
        if process.poll() is not None or seconds > _PATIENCE:
          output.seek(0)
          tail = output.read()[-2000:]
          raise RuntimeError(f'no first step after {seconds:.0f} s:\n{tail}')
        time.sleep(0.005)
      return time.monotonic() - begin
    finally:
      process.kill()
      process.wait()


def _stepped(path: pathlib.Path) -> bool:
  try:
    return b'/loss"' in path.read_bytes()
  except FileNotFoundError:
    return False
