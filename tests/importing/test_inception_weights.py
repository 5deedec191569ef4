"""The Inception network of pytorch-fid."""

import jax
import numpy as np
import pytest

from gen_jax.errors import InputError
from gen_jax.importing import inception, tables
from gen_jax.models.inception import FIDInception

SHAPES = tables.shapes_of(FIDInception(1000), (1, 299, 299, 3))


def arrays():
  """As in the file: zeros, and normalizations that change nothing."""
  found = {}
  for name, shape in SHAPES.items():
    theirs, _, kind = name.replace('/', '.').rpartition('.')
    if theirs == 'fc':
      wanted = shape[::-1]
      found[f'fc.{"weight" if kind == "kernel" else "bias"}'] = wanted
    elif kind == 'kernel':
      h, w, i, o = shape
      found[f'{theirs}.conv.weight'] = o, i, h, w
      for n in ('weight', 'bias', 'running_mean', 'running_var'):
        found[f'{theirs}.bn.{n}'] = (o,)
  return {name: np.zeros(shape, np.float32) for name, shape in found.items()}


def load(monkeypatch, values):
  monkeypatch.setattr(tables, 'read', lambda path, flag: values)
  return inception.load({'--from': 'x.pth'})


def test_it_has_the_parameters_of_the_published_network():
  count = sum(np.prod(shape) for shape in SHAPES.values())
  scales = sum(  # which the normalization has beside the biases
    s[0] for n, s in SHAPES.items() if n.endswith('bias') and n != 'fc/bias'
  )
  # torchvision's inception_v3 has 27,161,264, and 3,326,696 in its side branch.
  assert count + scales == 27_161_264 - 3_326_696


def test_the_normalization_becomes_a_part_of_the_convolution(monkeypatch):
  values, rng = arrays(), np.random.default_rng(0)
  layer = 'Mixed_6b.branch7x7_2'
  norm = {n: rng.uniform(0.5, 2, 128) for n in inception._NORM}
  kernel = rng.normal(size=(128, 128, 1, 7)).astype(np.float32)
  values[f'{layer}.conv.weight'] = kernel
  for name, x in norm.items():
    values[f'{layer}.bn.{name}'] = x.astype(np.float32)
  found = load(monkeypatch, values).arrays
  y = rng.normal(size=128)  # of the convolution, before its normalization
  place = 'model/params/Mixed_6b/branch7x7_2'
  factor = found[f'{place}/kernel'][0, 3, 5] / kernel[:, 5, 0, 3]
  deviation = np.sqrt(norm['running_var'] + 1e-3)
  want = norm['weight'] * (y - norm['running_mean']) / deviation + norm['bias']
  np.testing.assert_allclose(
    y * factor + found[f'{place}/bias'], want, rtol=1e-5, atol=1e-5
  )


def test_other_numbers_of_classes_are_read_and_wrong_arrays_named(monkeypatch):
  values = arrays()
  values['fc.weight'] = np.zeros((1008, 2048), np.float32)
  values['fc.bias'] = np.zeros(1008, np.float32)
  assert len(load(monkeypatch, values).classes) == 1008
  values['Mixed_5b.branch1x1.bn.running_var'][:] = -1
  with pytest.raises(InputError, match='Mixed_5b.branch1x1.bn.running_var'):
    load(monkeypatch, values)
  del (
    values['Conv2d_1a_3x3.conv.weight'],
    values['Mixed_7c.branch_pool.bn.bias'],
  )
  with pytest.raises(InputError, match=r'2 missing \(Conv2d_1a_3x3\.conv'):
    load(monkeypatch, values)


def test_images_of_one_channel_are_gray_and_others_refused():
  network = FIDInception(5)
  for depth in (1, 3):
    x = jax.ShapeDtypeStruct((2, 28, 20, depth), np.float32)
    key = jax.random.key(0)
    (logits, features), _ = jax.eval_shape(network.init_with_output, key, x)
    assert (logits.shape, features.shape) == ((2, 5), (2, 2048))
  with pytest.raises(InputError, match='1 or 3 channels, not 4'):
    jax.eval_shape(network.init, key, jax.ShapeDtypeStruct((1, 9, 9, 4), 'f4'))
