"""The mark of a value object that a group of a config describes."""

from typing import Protocol


class Part(Protocol):
  """A part of an objective, such as a prior or a regularizer.

  A kind of part is a protocol that extends this one, and objectives declare
  their fields with it. The parts of this kind are the classes that name it as
  their base, in the modules of `gen_jax.objectives.parts`; a config names one
  of them.
  """


def derives(cls: type, base: type = Part) -> bool:
  """Returns whether a class names a kind of part among its bases.

  Having the same methods is not enough, as it would be for `issubclass`.
  """
  return base in cls.__mro__
