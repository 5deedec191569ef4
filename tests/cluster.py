"""Several processes on this machine that train one model together."""

import os
import pathlib
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]


def start(num, devices, workdir, *args, cwd=ROOT, folders=None):
  """Starts `num` processes of `devices` CPU devices each; returns them."""
  with socket.socket() as free:
    free.bind(('localhost', 0))
    port = free.getsockname()[1]
  flag = f'--xla_force_host_platform_device_count={devices}'
  environment = {
    **os.environ,
    'XLA_FLAGS': flag,
    'JAX_PLATFORMS': 'cpu',
    'PYTHONPATH': str(ROOT),
  }
  command = [sys.executable, '-m', 'gen_jax.main', f'--workdir={workdir}']
  running = []
  for index in range(num):
    flags = [
      f'--coordinator=localhost:{port}',
      f'--num_processes={num}',
      f'--process_id={index}',
    ]
    running.append(
      subprocess.Popen(
        [*command, *args, *(flags if num > 1 else [])],
        cwd=folders[index] if folders else cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
      )
    )
  return running


def finish(running, timeout=240):
  """Waits for all; returns their exit codes and what they printed."""
  try:
    outputs = [p.communicate(timeout=timeout)[0] for p in running]
  finally:
    for process in running:
      process.kill()
  return [p.returncode for p in running], outputs
