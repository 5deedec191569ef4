"""The progress of a run: a bar in a terminal, else plain lines."""

import sys
import time
from collections.abc import Mapping

from tqdm import tqdm

from gen_jax.distributed import process_group


class Progress:
  """A bar with the stage, steps/s, images/s, the loss and the time left.

  With several processes only the first one shows it.
  """

  def __init__(self, first: int, last: int) -> None:
    """Starts at step `first` of `last`."""
    self._last = last
    self._first, self._started = first, time.monotonic()
    self._silent = not process_group.is_main()
    self._bar = tqdm(
      total=last,
      initial=first,
      unit='step',
      smoothing=0.1,
      disable=self._silent or not sys.stderr.isatty(),
    )

  def enter(self, stage: int, count: int) -> None:
    """Names the stage that begins, where there are several.

    Args:
      stage: from 1 on.
      count: of the stages.
    """
    if count > 1:
      self._bar.set_description_str(f'stage {stage}/{count}')
      self._print(f'stage {stage}/{count}')

  def _print(self, text: str) -> None:
    """Prints a line where there is no bar."""
    if self._bar.disable and not self._silent:
      print(text, flush=True)

  def update(
    self, step: int, images_per_second: float, shown: Mapping[str, float]
  ) -> None:
    """Moves the bar; does nothing without a terminal.

    Args:
      step: that is done.
      images_per_second: the speed.
      shown: metrics, the loss and what else an objective has for the bar.
    """
    values = ''.join(f', {k} {v:.4g}' for k, v in shown.items())
    self._bar.set_postfix_str(
      f'{images_per_second:,.0f} images/s{values}', refresh=False
    )
    self._bar.update(step - self._bar.n)

  def line(self, step: int, values: Mapping[str, float]) -> None:
    """Prints the values of a step, where there is no bar to show them."""
    elapsed = time.monotonic() - self._started
    left = elapsed / max(step - self._first, 1) * (self._last - step)
    shown = '  '.join(f'{k} {v:.4g}' for k, v in values.items())
    self._print(f'step {step}/{self._last}  {shown}  ETA {left:.0f} s')

  def note(self, text: str) -> None:
    """Prints a message, above the bar if there is one."""
    if self._bar.disable:
      self._print(text)
    else:
      self._bar.write(text, file=sys.stderr)

  def close(self) -> None:
    """Removes the bar."""
    self._bar.close()
