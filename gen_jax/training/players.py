"""Names and shapes of the parameters of all players."""

import jax

from gen_jax.core import Players, leaf_name


def parameter_shapes(players: Players) -> dict[str, tuple[int, ...]]:
  """Returns the shapes of all parameters by name, `gen/Conv_0/kernel`."""
  return {
    f'{player}/{leaf_name(path)}': tuple(x.shape)
    for player, variables in players.items()
    for path, x in jax.tree_util.tree_leaves_with_path(variables['params'])
  }


def parameter_table(players: Players) -> str:
  """Returns the parameters of every player, a line each, and their sums."""
  rows = []
  for name, variables in players.items():
    leaves = jax.tree_util.tree_leaves_with_path(variables['params'])
    for path, leaf in leaves:
      shape = ' x '.join(map(str, leaf.shape)) or 'scalar'
      rows.append((f'{name}/{leaf_name(path)}', shape, f'{leaf.size:,}'))
    total = sum(leaf.size for _, leaf in leaves)
    size = sum(leaf.size * leaf.dtype.itemsize for _, leaf in leaves)
    rows.append((f'{name}: total', f'{size / 2**20:.1f} MiB', f'{total:,}'))
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  return '\n'.join(
    f'{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}' for a, b, c in rows
  )
