"""Programs as serialized StableHLO, which JAX runs without this package.

exported = jax.export.deserialize(bytearray(open(path, 'rb').read()))
images = exported.call(seeds)
"""

from collections.abc import Sequence

import jax

from gen_jax.models.layers import conv_native
from gen_jax.training.export.programs import Program

PLATFORMS = ('cpu', 'cuda', 'rocm', 'tpu')


def serialize(program: Program, platforms: Sequence[str]) -> bytes:
  """Returns a program for some platforms and any number of examples.

  Each platform has its own form of what depends on it, such as convolutions.
  """
  (size,) = jax.export.symbolic_shape('b')
  with conv_native.off():  # whose functions another process does not have
    exported = jax.export.export(jax.jit(program.call), platforms=platforms)(
      *program.arguments(size)
    )
  return bytes(exported.serialize())
