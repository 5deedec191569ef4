"""The old name of `collectives`, `mesh` and `prediction`."""

# TODO: remove when no file imports it.
from gen_jax.distributed.collectives import (
  batch_mean,
  fold_device,
  gather,
  mean,
  own_part,
)
from gen_jax.distributed.collectives import broadcast_first as of_first
from gen_jax.distributed.collectives import std as deviation
from gen_jax.distributed.collectives import warm_up_collectives as introduce
from gen_jax.distributed.mesh import Jit, Parallel, Pmap, divisible, make
from gen_jax.distributed.prediction import full_precision
from gen_jax.distributed.prediction import shard_batch as spread

__all__ = [
  'Jit',
  'Parallel',
  'Pmap',
  'batch_mean',
  'deviation',
  'divisible',
  'fold_device',
  'full_precision',
  'gather',
  'introduce',
  'make',
  'mean',
  'of_first',
  'own_part',
  'spread',
]
