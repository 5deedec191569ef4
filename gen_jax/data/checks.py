"""Checks of the splits, labels and indices that data sets share."""

from collections.abc import Iterable, Sequence

import numpy as np

from gen_jax.errors import InputError, nearest


def check_split(split: str, known: Iterable[str], what: str) -> None:
  """Raises InputError unless `split` is one of the `known` splits."""
  known = list(known)
  if split not in known:
    raise InputError(
      f'data.split: {what} has no split "{split}".' + nearest(split, known)
    )


def class_order(name: str) -> tuple[int, int, str]:
  """The key by which classes are sorted: numbers by value, then words."""
  if name.isascii() and name.isdigit():
    return 0, int(name), name
  return 1, 0, name


def check_labels(
  labels: np.ndarray, classes: Sequence[str], where: str
) -> None:
  """Raises InputError unless every label is an index into the classes.

  Args:
    labels: integers, [N].
    classes: names by label; without any, labels only have to be 0 or more.
    where: the examples, for the message.
  """
  high = len(classes) if classes else np.inf
  wrong = (labels < 0) | (labels >= high)
  if not np.any(wrong):
    return
  label = labels[np.argmax(wrong)]
  expected = f'0 to {high - 1}' if classes else '0 or more'
  raise InputError(
    f'data: {np.sum(wrong)} of {len(labels)} labels of {where} are not classes '
    f'of the data, such as {label}; expected {expected}. Correct them, or '
    'leave these examples out.'
  )
