"""Programs as ONNX, by jax2onnx, for ONNX Runtime and for browsers.

ONNX has none of JAX's random bits, so the random numbers of a program are its
inputs.
"""

import contextlib
import io
import logging
import traceback
import warnings
from collections.abc import Sequence
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.errors import InputError, first_line
from gen_jax.models.layers import platforms
from gen_jax.runtime import jax_private
from gen_jax.training.export.programs import Program

_jnp_pad = jnp.pad
_LARGEST = 1e-4  # difference from JAX, relative to values above 1


def convert(program: Program, field: str) -> tuple[bytes, float]:
  """Converts a program and compares it with JAX in ONNX Runtime.

  Args:
    program: whose random numbers are inputs.
    field: the argument that asks for it, for messages.

  Returns:
    The file, and the largest difference from JAX on random inputs.

  Raises:
    InputError: when the libraries are missing, an operation cannot be
      converted, or the results differ.
  """
  jax2onnx, runtime = _libraries(field)
  with platforms.plain_only(), _convertible(), _quiet():
    try:
      model = jax2onnx.to_onnx(
        program.call,
        program.arguments('B'),
        model_name='gen_jax',
        input_names=[i.name for i in program.inputs],
        output_names=list(program.outputs()),
      )
    except Exception as error:
      raise InputError(
        f'{field}: {_operation(error)} cannot be converted to ONNX: '
        f'{first_line(error)}. Write a .stablehlo file instead.'
      ) from error
  content = model.SerializeToString()
  error = max(_difference(program, content, runtime, size) for size in (1, 3))
  if not error <= _LARGEST:
    raise InputError(
      f'{field}: the converted program differs from JAX by {error:.1e}, more '
      f'than {_LARGEST:.0e}. Write a .stablehlo file instead.'
    )
  return content, error


def _difference(program, content, runtime, size):
  """Returns the largest difference from JAX for some examples."""
  options = runtime.SessionOptions()
  options.log_severity_level = 3  # errors
  session = runtime.InferenceSession(content, options)
  values = program.examples(size)
  given = {i.name: v for i, v in zip(program.inputs, values, strict=True)}
  found = session.run(list(program.outputs()), given)
  expected = jax.tree.leaves(jax.jit(program.call)(*values))
  return max(
    float(np.max(np.abs(a - b) / np.maximum(np.abs(b), 1)))
    for a, b in zip(found, map(np.asarray, expected), strict=True)
  )


def _operation(error: BaseException) -> str:
  """Returns the name of the operation at which a conversion failed."""
  name = 'the program'
  for frame, _ in traceback.walk_tb(error.__traceback__):
    equation = frame.f_locals.get('eqn')
    primitive = getattr(equation, 'primitive', None)
    name = f'the operation {primitive.name!r}' if primitive else name
  return name


def _libraries(field):
  try:
    import jax2onnx
    import onnxruntime
  except ImportError as error:
    raise InputError(
      f"{field}: {error.name} is not installed: pip install 'gen_jax[onnx]'."
    ) from error
  return jax2onnx, onnxruntime


@contextlib.contextmanager
def _convertible():
  """Works around what jax2onnx 0.17 cannot convert for any number of examples.

  It replaces Flax's modules by operations without a batching rule, and pads and
  takes remainders of arrays of known shapes only.
  """
  from jax2onnx.plugins import plugin_system as system

  system.import_all_plugins()
  of_modules = [
    name for name in system.PLUGIN_REGISTRY if name.startswith('linen.')
  ]
  with (
    mock.patch.dict(system.PLUGIN_REGISTRY),
    mock.patch.object(jnp, 'pad', _pad),
    mock.patch.object(jnp, 'remainder', _remainder),
    jax_private.closed_jaxpr(),
  ):
    for name in of_modules:
      del system.PLUGIN_REGISTRY[name]
    yield


def _pad(
  x: jax.Array,
  widths: Sequence[tuple[int, int]],
  mode: str = 'constant',
  **kwargs: Any,
) -> jax.Array:
  """Returns x with zeros around it, or padded as `jnp.pad` does by a mode."""
  if mode != 'constant':
    return _jnp_pad(x, widths, mode, **kwargs)
  for axis, counts in enumerate(widths):
    parts = [x]
    for place, count in zip((0, 2), counts, strict=True):
      if count:
        shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
        parts.insert(place, jnp.zeros(shape, x.dtype))
    x = jnp.concatenate(parts, axis) if len(parts) > 1 else x
  return x


def _remainder(x: jax.Array, y: int) -> jax.Array:
  """Returns x - y floor(x / y) for integers, as `jnp.remainder`."""
  divisor = jnp.full_like(x, y)
  rest = x - jax.lax.div(x, divisor) * divisor
  opposed = (rest != 0) & ((rest < 0) != (divisor < 0))
  return jnp.where(opposed, rest + divisor, rest)


@contextlib.contextmanager
def _quiet():
  """Hides what the libraries print about their own work."""
  with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
    warnings.simplefilter('ignore')
    logging.disable(logging.WARNING)
    try:
      yield
    finally:
      logging.disable(logging.NOTSET)
