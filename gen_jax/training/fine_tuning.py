"""Starts a run from a trained model, which `config.init` names.

Its arrays are taken where the players of the run have arrays of the same name
and shape, at the start of every stage, so that networks that grow find those of
their later stages too. All else is initialized.
"""

from ml_collections import ConfigDict

from gen_jax.config import schema
from gen_jax.core import Players, averaged
from gen_jax.data.sources import image_shapes
from gen_jax.errors import InputError
from gen_jax.storage import published
from gen_jax.training import trained
from gen_jax.training.players import parameter_shapes

_SHOWN = 12  # arrays that the table names


def players(init: ConfigDict) -> Players | None:
  """Returns the trained players that a run starts from; None without any.

  Args:
    init: of the config.

  Raises:
    InputError: there is no such model, or it has no weights of this kind.
  """
  if not init.path:
    return None
  if init.weights == 'raw' and published.find(init.path):
    raise InputError(
      'config.init.weights: a file has averaged weights alone, no "raw" ones.'
    )
  state, _ = _open(init)
  found = averaged(state) if init.weights == 'averaged' else state.players
  return {
    player: {k: x for k, x in variables.items() if k not in published.TRAINING}
    for player, variables in found.items()
  }


def _open(init):
  try:
    return trained.open_trained(init.path)
  except InputError as error:
    raise InputError(f'config.init.path: {error}') from error


def complete(config: ConfigDict) -> ConfigDict:
  """Gives data without a shape, such as a folder, that of the trained model.

  Args:
    config: with all fields that every config has; it is changed.

  Raises:
    InputError: there is no such model.
  """
  expected = schema.declared_fields(config, 'data')
  needs = 'shape' in expected and not expected['shape'].has_default
  if config.init.path and needs and not config.data.get('shape'):
    _, experiment = _open(config.init)
    shape = image_shapes(experiment.described).get('image')
    if shape:
      with config.data.unlocked():
        config.data.shape = shape
  return config


def table(source: Players, players: Players, path: str) -> str:
  """Returns which parameters of a run are those of a trained model, as text.

  Args:
    source: the players of the trained model.
    players: of the run.
    path: of the trained model.
  """
  there = parameter_shapes(source)
  lines, others = [f'starts from {path}'], {}
  for player, variables in players.items():
    own = parameter_shapes({player: variables})
    new = {k: shape for k, shape in own.items() if there.get(k) != shape}
    if own:
      taken = len(own) - len(new)
      lines.append(f'  {player}: {taken} of {len(own)} arrays are taken')
    others |= new
  for name, shape in list(others.items())[:_SHOWN]:
    other = list(there[name]) if name in there else 'none'
    lines.append(f'  {name} {list(shape)} is new; the model has {other}')
  if len(others) > _SHOWN:
    lines.append(f'  {len(others) - _SHOWN} more are new')
  return '\n'.join(lines)


def check(source: Players, players: Players, path: str) -> None:
  """Raises InputError unless a trained model has arrays that can be taken."""
  if not parameter_shapes(source).items() & parameter_shapes(players).items():
    raise InputError(
      f'config.init.path={path!r}: this model has the players '
      f'{", ".join(source)}, and none of their arrays has the name and the '
      f'shape of one of the run, whose players are {", ".join(players)}.'
    )
