"""Several processes on this machine that train one model together."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys

import environment

ROOT = pathlib.Path(__file__).parents[1]
TRAIN = ('-m', 'gen_jax.main')


@contextlib.contextmanager
def free_port():
  """The scope of a port where nothing listens, and that no other test gets."""
  with socket.socket() as held:
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(('', 0))
    yield held.getsockname()[1]


def start(
  num,
  devices,
  *args,
  program=TRAIN,
  folders=None,
  caches=None,
  own=None,
  stderr=subprocess.STDOUT,
):
  """Starts `num` processes of `devices` CPU devices each; returns them.

  Args:
    num: of the processes.
    devices: of each.
    *args: of the program; each also gets the flags of its place.
    program: what Python runs.
    folders: where each is started.
    caches: the folder of caches of each.
    own: further arguments of each.
    stderr: where it goes; by default it is mixed with what is printed.
  """
  with socket.socket() as free:
    free.bind(('localhost', 0))
    port = free.getsockname()[1]
  running = []
  for index in range(num):
    variables = {
      **os.environ,
      'XLA_FLAGS': environment.xla_flags(devices),
      'JAX_PLATFORMS': 'cpu',
      'PYTHONPATH': str(ROOT),
    }
    if caches:
      variables['XDG_CACHE_HOME'] = str(caches[index])
      # Compiled programs are the same on every host.
      variables |= environment.compiled()
    flags = [
      f'--coordinator=localhost:{port}',
      f'--num_processes={num}',
      f'--process_id={index}',
    ]
    running.append(
      subprocess.Popen(
        [sys.executable, *program, *args, *(own[index] if own else ()), *flags],
        cwd=folders[index] if folders else ROOT,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
      )
    )
  return running


def finish(running, kill=False):
  """Waits for all; returns their exit codes and what they printed.

  Args:
    running: as `start` returns it.
    kill: end them before.
  """
  try:
    for process in running if kill else ():
      process.kill()
    outputs = [p.communicate(timeout=environment.HANG)[0] for p in running]
  finally:
    for process in running:
      process.kill()
  return [p.returncode for p in running], outputs
