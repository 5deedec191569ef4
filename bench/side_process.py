"""A side of the benchmark that trains in a process of its own.

In one process, PyTorch and oneDNN's convolutions share the threads of OpenMP.
Where there are more threads than cores they sleep while they wait, which makes
PyTorch 1.1 to 1.3 times slower.
"""

import contextlib
import multiprocessing
import time
import traceback

OURS, THEIRS = 'gen_jax', 'pytorch'


class SideProcess:
  """Trains one side of a row in another process.

  Attributes:
    spent: seconds of processor time that its process took so far.
  """

  def __init__(
    self,
    side: str,
    row: str,
    device: str = 'cpu',
    precision: str = 'float32',
    **how: bool,
  ):
    """Starts the process, and waits until it is ready.

    Args:
      side: `OURS` or `THEIRS`.
      row: its name.
      device: 'cpu' or 'gpu', PyTorch's.
      precision: 'float32' or 'bfloat16'.
      **how: `pure`, ours without oneDNN; `compiled`, theirs by torch.compile.
    """
    context = multiprocessing.get_context('spawn')
    self._connection, there = context.Pipe()
    self._process = context.Process(
      target=_serve,
      args=(there, side, row, device, precision),
      kwargs=how,
      daemon=True,
    )
    self._process.start()
    there.close()
    self.spent = self._answer()

  def run(self, steps: int) -> None:
    """Trains some steps, and waits for them.

    Raises:
      RuntimeError: when the process has ended.
    """
    self._connection.send(steps)
    self.spent = self._answer()

  def close(self) -> None:
    """Ends the process."""
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


def _serve(
  connection, side, row, device, precision, pure=False, compiled=False
):
  try:
    running = _make(side, row, device, precision, pure, compiled)
    connection.send(time.process_time())
    while True:
      running.run(connection.recv())
      connection.send(time.process_time())
  except EOFError:  # the parent has ended
    pass
  except Exception:
    connection.send(traceback.format_exc())


def _make(side, name, device, precision, pure, compiled):
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
    ours = harness.Ours(row.load(precision), row.start)
    if side == OURS:
      ours.run(1)  # traced as it is to be
      return ours
    peer.use(device)
    theirs = peer.Theirs(row.twin, ours, compiled=compiled)
    theirs.load(ours.players)
    return theirs
