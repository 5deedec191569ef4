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


@pytest.mark.parametrize('form', ['jit', 'pmap', 'fsdp'])
def test_a_program_for_shapes_is_the_one_for_arrays(form):
  devices = jax.devices()[:4]
  layout = mesh.make(form, 8, devices)
  state = {'w': np.zeros(3, np.float32)}
  inputs = {'x': np.arange(16, dtype=np.float32).reshape(1, 8, 2)}
  shapes = layout.shapes(*jax.eval_shape(lambda *x: x, state, inputs))
  program = layout.compile(chunk)
  count = np.int32(2)
  program.compile(shapes[0], None, shapes[1], count)
  arrays = layout.place(state), layout.shard(inputs)
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


def test_a_divided_state_takes_an_eighth_of_the_memory_of_a_whole_one():
  size, length = 512, 2
  state = {'w': np.eye(size, dtype='f'), 'scale': np.ones(size, 'f')}
  inputs = {'x': np.ones((length, 8, size), np.float32)}

  def chunk(state, data, inputs, count):
    del data

    def body(t, state):
      def loss(whole):
        out = jnp.tanh(inputs['x'][t] @ whole['w']) * whole['scale']
        return jnp.mean(jnp.square(out - 0.3))

      grads = collectives.divide(jax.grad(loss)(collectives.whole(state)))
      return jax.tree.map(lambda w, g: w - 0.1 * g, state, grads)

    return jax.lax.fori_loop(0, count, body, state), {'loss': jnp.ones(())}

  results, needed = [], []
  for form in (mesh.make('jit', 8), mesh.make('fsdp', 8)):
    program = form.compile(chunk)
    arrays = form.place(state), None, form.shard(inputs), np.int32(length)
    program.compile(*arrays)
    memory = program._compiled.memory_analysis()
    needed.append(memory.argument_size_in_bytes)
    out, _ = program(*arrays)
    results.append(jax.device_get(form.unreplicate(out)))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), *results
  )
  # The small array, the batch and the count are not divided by this form.
  rest = 4 * (size + length * size + 1)
  assert needed[0] - rest == 4 * size**2
  assert needed[1] - rest == 4 * size**2 / 8
  assert out['w'].sharding.spec == jax.sharding.PartitionSpec(None, 'data')
