"""A side that trains in a process of its own, as its users have it.

In one process PyTorch and oneDNN's convolutions share the threads of OpenMP,
which wait asleep where there are more of them than cores: PyTorch was seen to
be 1.1 to 1.3 times slower so.
"""

import contextlib
import multiprocessing
import time
import traceback

OURS, THEIRS = 'gen_jax', 'pytorch'


class Apart:
  """One side of a row; `run` trains there, and waits.

  Attributes:
    spent: seconds of processor time that its process took so far.
  """

  def __init__(self, side: str, row: str, device: str = 'cpu', **how: bool):
    """Starts the process, and waits until it is ready.

    Args:
      side: `OURS` or `THEIRS`.
      row: its name.
      device: 'cpu' or 'gpu', PyTorch's.
      **how: `pure`, ours without oneDNN; `compiled`, theirs by torch.compile.
    """
    context = multiprocessing.get_context('spawn')
    self._connection, there = context.Pipe()
    self._process = context.Process(
      target=_serve, args=(there, side, row, device), kwargs=how, daemon=True
    )
    self._process.start()
    there.close()
    self.spent = self._answer()

  def run(self, steps: int) -> None:
    self._connection.send(steps)
    self.spent = self._answer()

  def close(self) -> None:
    self._process.kill()
    self._process.join()

  def _answer(self) -> float:
    try:
      answer = self._connection.recv()
    except EOFError:
      answer = 'it was killed'
    if isinstance(answer, str):
      raise RuntimeError(f'bench: the process of a side ended:\n{answer}')
    return answer


def _serve(connection, side, row, device, pure=False, compiled=False):
  try:
    running = _make(side, row, device, pure, compiled)
    connection.send(time.process_time())
    while True:
      running.run(connection.recv())
      connection.send(time.process_time())
  except EOFError:  # the one who asked has ended
    pass
  except Exception:
    connection.send(traceback.format_exc())


def _make(side, name, device, pure, compiled):
  from gen_jax.models.layers import conv_native
  from gen_jax.runtime import settings

  settings.configure()
  with contextlib.ExitStack() as stack:
    if pure or side == THEIRS:
      stack.enter_context(conv_native.off())
    else:
      conv_native.available()  # before PyTorch brings its OpenMP
    from bench import harness, peer
    from bench.__main__ import find_rows

    row = next(row for row in find_rows() if row.name == name)
    ours = harness.Ours(row.load(), row.start)
    if side == OURS:
      ours.run(1)  # traced as it is to be
      return ours
    peer.use(device)
    theirs = peer.Theirs(row.twin, ours, compiled=compiled)
    theirs.load(ours.players)
    return theirs
