"""The mark of a value object that a group of a config describes."""

import abc
import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part(abc.ABC):  # noqa: B024
  """A part of an objective, such as a prior or a regularizer.

  A kind of part is an abstract class, and objectives declare their fields with
  it. The parts of this kind are its final subclasses, in the modules of
  `gen_jax.objectives.parts`; a config names one of them.
  """
