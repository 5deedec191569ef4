"""Tables that say how arrays of another program become those of a network.

A row has the name of an array in the file, its place in the network here, and
the order of its axes: 'oihw->hwio' takes the kernel of a convolution in PyTorch
to the order of JAX, and '1c11->c' drops axes of length 1.
"""

import pathlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import flax
import flax.linen as nn
import jax
import numpy as np

from gen_jax.data.formats import safetensors, torch_files
from gen_jax.errors import InputError

Arrays = Mapping[str, np.ndarray]

_NAMED = 3  # keys that a message lists


def same(x: np.ndarray) -> np.ndarray:
  """Returns the values as they are."""
  return x


class Row(NamedTuple):
  """How one array is read.

  Attributes:
    theirs: its name in the file.
    ours: its place in the players.
    axes: their axes and ours, a letter each.
    change: of the values, in our order.
  """

  theirs: str
  ours: str
  axes: str
  change: Callable[[np.ndarray], np.ndarray] = same


def scaled(factor: float) -> Callable[[np.ndarray], np.ndarray]:
  """Returns a change that multiplies the values."""
  return lambda x: x * np.float32(factor)


def turned(x: np.ndarray) -> np.ndarray:
  """Turns kernels [h, w, i, o] by 180 degrees.

  A transposed convolution in PyTorch has the kernel of the convolution whose
  gradient it is; in JAX that of a convolution with gaps.
  """
  return x[::-1, ::-1]


def read(
  path: str, field: str, groups: tuple[str, ...] = ()
) -> dict[str, np.ndarray]:
  """Returns the arrays of a file of `torch.save`, or of safetensors, by name.

  Args:
    path: of the file; safetensors end with .safetensors.
    field: the flag that named it, for messages.
    groups: as for `torch_files.read`.

  Raises:
    InputError: it cannot be read.
  """
  if path.endswith('.safetensors'):
    arrays = safetensors.read(pathlib.Path(path), field)
  else:
    arrays = torch_files.read(pathlib.Path(path), field, groups)
  wrapper = 'module.'  # of a network that was trained on several devices
  if arrays and all(name.startswith(wrapper) for name in arrays):
    arrays = {name.removeprefix(wrapper): x for name, x in arrays.items()}
  return arrays


def convert(
  rows: Iterable[Row],
  arrays: Arrays,
  shapes: Mapping[str, tuple[int, ...]],
  where: str,
  ignored: Callable[[str], Any] = lambda name: False,
) -> dict[str, np.ndarray]:
  """Returns the arrays of a file by their places in a network.

  Args:
    rows: of the network.
    arrays: by their names in the file.
    shapes: of the arrays of the network, by place.
    where: the flag and the file, for messages.
    ignored: whether the network does not need an array of this name.

  Raises:
    InputError: an array is missing, is one too many or has another shape.
  """
  rows = list(rows)
  check_names([row.theirs for row in rows], arrays, where, ignored)
  found = {}
  for row in rows:
    before, after = row.axes.split('->')
    sizes = {**dict(zip(after, shapes[row.ours], strict=True)), '1': 1}
    check_shape(row.theirs, arrays, [sizes[axis] for axis in before], where)
    kept = [axis for axis in before if axis != '1']
    single = tuple(i for i, axis in enumerate(before) if axis == '1')
    x = np.squeeze(arrays[row.theirs], single)
    x = row.change(x.transpose([kept.index(axis) for axis in after]))
    found[row.ours] = np.ascontiguousarray(x, np.float32)
  return found


def check_names(
  expected: Sequence[str],
  arrays: Arrays,
  where: str,
  ignored: Callable[[str], Any] = lambda name: False,
) -> None:
  """Raises InputError unless a file has all arrays and no others."""
  wanted = set(expected)
  missing = [name for name in expected if name not in arrays]
  others = [x for x in arrays if x not in wanted and not ignored(x)]
  found = [
    f'{len(names)} {what} ({", ".join(names[:_NAMED])}'
    + (', ...)' if len(names) > _NAMED else ')')
    for what, names in (('missing', missing), ('unexpected', others))
    if names
  ]
  if found:
    raise InputError(
      f'{where} does not have the arrays of this kind of network: '
      f'{" and ".join(found)}.'
    )


def check_shape(
  name: str, arrays: Arrays, expected: Sequence[int], where: str
) -> None:
  """Raises InputError unless an array of a file has a shape."""
  shape = list(arrays[name].shape)
  if shape != list(expected):
    raise InputError(
      f'{where}: {name} has the shape {shape}, and the other arrays ask for '
      f'{list(expected)}.'
    )


def shapes_of(
  network: nn.Module, *inputs: Sequence[int], **keys: Any
) -> dict[str, tuple[int, ...]]:
  """Returns the shapes of the parameters of a network, by place.

  Args:
    network: a module.
    *inputs: the shapes of its inputs.
    **keys: further random streams that it draws from.
  """
  given = [jax.ShapeDtypeStruct(shape, np.float32) for shape in inputs]
  key = jax.random.key(0)
  made = jax.eval_shape(network.init, {'params': key, **keys}, *given)
  flat = flax.traverse_util.flatten_dict(made['params'], sep='/')
  return {name: tuple(x.shape) for name, x in flat.items()}


def size(arrays: Arrays, name: str, axis: int, where: str) -> int:
  """Returns the length of an axis of an array.

  Raises:
    InputError: there is no such array, or no such axis.
  """
  if name not in arrays:
    check_names([name], {}, where)
  shape = arrays[name].shape
  if len(shape) <= axis or 0 in shape:
    raise InputError(f'{where}: {name} has the shape {list(shape)}.')
  return shape[axis]


def count(arrays: Arrays, pattern: str) -> int:
  """Returns how many arrays have a name of a pattern."""
  return sum(bool(re.fullmatch(pattern, name)) for name in arrays)


def nested(arrays: Arrays) -> dict[str, Any]:
  """Returns arrays by place as the variables of a network."""
  return flax.traverse_util.unflatten_dict(dict(arrays), sep='/')
