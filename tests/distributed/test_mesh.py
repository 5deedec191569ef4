"""Layouts of states and batches over devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.distributed import collectives, mesh
from gen_jax.errors import InputError


def chunk(state, data, inputs, count):
  del data
  mean = collectives.mean(jnp.mean(inputs['x']))
  return {'w': state['w'] + mean * count}, {'loss': mean}


@pytest.mark.parametrize('form', ['jit', 'pmap'])
def test_a_program_for_shapes_is_the_one_for_arrays(form):
  devices = jax.devices()[:4]
  layout = mesh.make(form, 8, devices)
  state = {'w': np.zeros(3, np.float32)}
  inputs = {'x': np.arange(16, dtype=np.float32).reshape(1, 8, 2)}
  shapes = layout.shapes(*jax.eval_shape(lambda *x: x, state, inputs))
  program = layout.compile(chunk)
  count = np.int32(2)
  program.compile(shapes[0], None, shapes[1], count)
  arrays = layout.replicate(state), layout.shard(inputs)
  for shape, array in zip(
    jax.tree.leaves(shapes), jax.tree.leaves(arrays), strict=True
  ):
    assert (shape.shape, shape.dtype) == (array.shape, array.dtype)
  state, metrics = program(arrays[0], None, arrays[1], count)
  np.testing.assert_allclose(layout.unreplicate(state)['w'], 2 * 7.5)
  assert {x.device for x in state['w'].addressable_shards} == set(devices)
  assert float(metrics['loss']) == 7.5


def test_a_batch_that_the_devices_do_not_divide_is_refused():
  with pytest.raises(InputError, match='not a multiple of the 3 devices'):
    mesh.make('jit', 8, jax.devices()[:3])
