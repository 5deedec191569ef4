"""What a person sees of a long run: a bar in a terminal, else plain lines."""

import sys
import time
from collections.abc import Mapping

from tqdm import tqdm

from gen_jax.distributed import process_group


class Progress:
  """A bar with the stage, steps/s, images/s, the loss and the time left.

  Of many processes only the first shows anything.
  """

  def __init__(self, first: int, last: int):
    """Starts at step `first` of `last`."""
    self._last = last
    self._first, self._started = first, time.monotonic()
    self._bar = None
    self._silent = not process_group.is_main()
    if sys.stderr.isatty() and not self._silent:
      self._bar = tqdm(total=last, initial=first, unit='step', smoothing=0.1)

  def enter(self, stage: int, count: int) -> None:
    """Says which of `count` stages begins, where there are some."""
    if count == 1:
      return
    text = f'stage {stage}/{count}'
    if self._bar is not None:
      self._bar.set_description_str(text)
    elif not self._silent:
      print(text, flush=True)

  def update(
    self, step: int, images_per_second: float, shown: Mapping[str, float]
  ) -> None:
    """Moves the bar; does nothing without a terminal.

    `shown` are metrics, the loss and whatever else an objective has for it.
    """
    if self._bar is not None:
      values = ''.join(f', {k} {v:.4g}' for k, v in shown.items())
      self._bar.set_postfix_str(
        f'{images_per_second:,.0f} images/s{values}', refresh=False
      )
      self._bar.update(step - self._bar.n)

  def line(self, step: int, values: Mapping[str, float]) -> None:
    """Prints the values of a step, where there is no bar to show them."""
    if self._bar is not None or self._silent:
      return
    elapsed = time.monotonic() - self._started
    left = elapsed / max(step - self._first, 1) * (self._last - step)
    shown = '  '.join(f'{k} {v:.4g}' for k, v in values.items())
    print(f'step {step}/{self._last}  {shown}  ETA {left:.0f} s', flush=True)

  def note(self, text: str) -> None:
    """Prints a message, above the bar if there is one."""
    if self._bar is not None:
      self._bar.write(text, file=sys.stderr)
    elif not self._silent:
      print(text, flush=True)

  def close(self) -> None:
    if self._bar is not None:
      self._bar.close()
