"""Parameters that do not learn: players or modules that `config.freeze` names.

To freeze the first layers of a discriminator helps a GAN that goes on with few
images (Mo et al., 2020, Freeze the Discriminator). Statistics of frozen layers,
such as those of batch normalization, still follow the data.
"""

from collections.abc import Sequence
from typing import Any

import jax
import optax

from gen_jax.core import Players, leaf_name
from gen_jax.errors import InputError, nearest
from gen_jax.training.players import parameter_shapes


def check(names: Sequence[str], stages: Sequence[Players]) -> None:
  """Raises InputError when a name of `config.freeze` names no parameters.

  Args:
    names: of players and of their modules.
    stages: the players of each stage of the run.
  """
  known = {name for players in stages for name in parameter_shapes(players)}
  for name in names:
    if not any(_is_below(k, name) for k in known):
      modules = {k.rpartition('/')[0] for k in known}
      raise InputError(
        f'config.freeze: no parameters are below {name!r}.'
        + nearest(name, {*modules, *(k.split('/')[0] for k in modules)})
      )


def freeze(
  optimizer: optax.GradientTransformation, player: str, names: Sequence[str]
) -> optax.GradientTransformation:
  """Returns an optimizer that does not move what is frozen.

  Args:
    optimizer: of the player.
    player: its name.
    names: of players and of their modules, `disc` or `disc/Conv_0`.
  """
  if not any(name.split('/')[0] == player for name in names):
    return optimizer

  def labels(params):
    return jax.tree_util.tree_map_with_path(
      lambda path, _: 'frozen' if _frozen(path, player, names) else 'learns',
      params,
    )

  return optax.partition(
    {'learns': optimizer, 'frozen': optax.set_to_zero()}, labels
  )


def keep_frozen(new: Any, old: Any, player: str, names: Sequence[str]) -> Any:
  """Returns `new` with those parameters of `old` that are frozen.

  Args:
    new: parameters of a player, as an update projects them.
    old: the same before that.
    player: its name.
    names: of players and of their modules, `disc` or `disc/Conv_0`.
  """
  return jax.tree_util.tree_map_with_path(
    lambda path, x, y: y if _frozen(path, player, names) else x, new, old
  )


def _frozen(path, player, names):
  place = f'{player}/{leaf_name(path)}'
  return any(_is_below(place, name) for name in names)


def _is_below(place: str, name: str) -> bool:
  return place == name or place.startswith(f'{name}/')
