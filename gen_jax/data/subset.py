"""Parts of a labeled set: some classes only, or few examples of each."""

from collections.abc import Sequence

import numpy as np

from gen_jax.data.shuffling import permutation
from gen_jax.data.sources import Source, subset
from gen_jax.errors import InputError, nearest


def select(
  source: Source,
  *,
  classes: Sequence[int | str] = (),
  labels_per_class: Sequence[int] = (),
  seed: int = 0,
) -> Source:
  """Returns the chosen examples of a source, in their order.

  Args:
    source: of labeled images, unless everything is chosen.
    classes: numbers or names of the classes to keep; all if empty.
    labels_per_class: at most so many examples of a class, drawn by the seed:
      one number for every class or one for each; all if empty.
    seed: of the run.

  Raises:
    InputError: no labels, an unknown class, or a wrong number of numbers.
  """
  if not classes and not labels_per_class:
    return source
  if 'label' not in source.fields:
    field = 'classes' if classes else 'labels_per_class'
    raise InputError(f'data.{field}: this data set has no labels.')
  labels = read_labels(source)
  count = len(source.classes) or int(labels.max()) + 1
  keep = {
    class_index(name, source.classes, count, 'data.classes') for name in classes
  }
  most = _most(labels_per_class, count)
  order = permutation(seed, 'labels_per_class', 0, len(labels))
  rows = []
  for label in sorted(keep or range(count)):
    here = order[labels[order] == label]
    rows.append(here[: most[label]] if most else here)
  chosen = np.sort(np.concatenate(rows))
  if not len(chosen):
    raise InputError('data: no example is left of the chosen classes.')
  return subset(source, chosen)


def read_labels(source: Source) -> np.ndarray:
  """Returns the labels of a labeled source, int32 [N]."""
  if source.labels is not None:
    return source.labels
  return source.__getitems__(range(len(source)))['label']


def class_index(
  name: int | str, names: Sequence[str], count: int, field: str
) -> int:
  """Returns the label of a class that is given by its name or its number.

  If the names are numbers, as for folders 1 to 10, a number is read as a name.

  Args:
    name: what was given.
    names: of the classes, by label; may be empty.
    count: of the classes.
    field: where it was given, for the message.

  Raises:
    InputError: there is no such class.
  """
  text = str(name)
  if text in names:
    return names.index(text)
  if text.isdecimal():
    labels = {int(n): i for i, n in enumerate(names) if n.isdecimal()}
    labels = labels or dict(enumerate(range(count)))
    if int(text) in labels:
      return labels[int(text)]
  raise InputError(
    f'{field}: there is no class {name!r} among {count}.' + nearest(text, names)
  )


def _most(numbers, count):
  numbers = tuple(numbers)
  if len(numbers) not in (0, 1, count) or any(
    not isinstance(n, int) or n < 0 for n in numbers
  ):
    raise InputError(
      f'data.labels_per_class={numbers!r}: expected one number, or one for '
      f'each of the {count} classes.'
    )
  return numbers * count if len(numbers) == 1 else numbers
