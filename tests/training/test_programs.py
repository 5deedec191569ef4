"""Programs of trained models give what the models give, without the package."""

import functools
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import drawn

from gen_jax import config as config_lib
from gen_jax.config import stages
from gen_jax.errors import InputError
from gen_jax.training.experiment import Experiment
from gen_jax.training.export import onnx, programs, stablehlo

ROOT = pathlib.Path(__file__).parents[2]
CASES = [
  ('vae', 'reconstruct'),
  ('conditional_vae', 'sample_classes'),
  ('denoising_autoencoder', 'encode'),
  ('stacked_autoencoder', 'classify'),
  ('dcgan', 'sample'),
  ('cgan', 'sample_classes'),
  ('acgan', 'classify'),
  ('infogan', 'sample_codes'),
  ('cyclegan', 'translate_ba'),
  ('pix2pix', 'translate_ab'),
  ('stylegan', 'sample'),
  ('stylegan', 'synthesize'),
  ('stylegan with noise', 'sample'),
  ('stackgan', 'draw'),
  ('classifier', 'features'),
  ('image_text_scorer', 'encode_text'),
]


@functools.cache
def model(config):
  """Returns an objective, variables and a description of its data."""
  name, _, noise = config.partition(' with ')
  loaded = config_lib.load(f'{ROOT}/configs/{name}.py:test')
  if noise:
    loaded.objective.gen.noise = True
  experiment = Experiment(stages.plan(loaded)[-1])
  players = drawn(experiment._jitted_init, jax.random.key(0))
  return experiment.objective, players, experiment.described


def program(config, capability, **options):
  return programs.make(*model(config), capability, **options)


@pytest.mark.slow('compiles a program twice, for two numbers of examples')
@pytest.mark.parametrize('config,capability', CASES)
def test_a_serialized_program_is_the_program(config, capability):
  made = program(config, capability)
  content = stablehlo.serialize(made, ('cpu', 'tpu'))
  exported = jax.export.deserialize(bytearray(content))
  assert exported.platforms == ('cpu', 'tpu')
  assert 'gen_jax_conv' not in exported.mlir_module()
  for size in (1, 3):
    values = made.examples(size)
    found, expected = exported.call(*values), jax.jit(made.call)(*values)
    assert jax.tree.leaves(found)[0].shape[0] == size
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, expected
    )


def test_each_example_of_a_program_is_that_of_the_model():
  objective, players, _ = model('vae')
  sample = objective.predict_fns()['sample']
  seeds = np.array([3, 8], np.uint32)
  images = jax.jit(program('vae', 'sample').call)(seeds)
  for seed, image in zip(seeds, images, strict=True):
    (expected,) = sample(players, key=jax.random.key(seed), num=1)
    np.testing.assert_allclose(image, expected, atol=1e-5)


def test_images_go_from_0_to_1_where_the_networks_have_another_range():
  objective, players, _ = model('cyclegan')
  made = program('cyclegan', 'translate_ab')
  (x,) = made.examples(2)
  translate = objective.predict_fns()['translate_ab']
  expected = translate(players, {'a': x * 2 - 1})
  np.testing.assert_allclose(made.call(x), (expected + 1) / 2, atol=1e-5)


def test_draws_as_inputs_are_the_random_numbers_of_the_model():
  objective, players, _ = model('dcgan')
  made = program('dcgan', 'sample', draws=True)
  assert [i.name for i in made.inputs] == ['integer_0', 'normal_0']
  component, normal = made.examples(3)
  prior = objective.latents
  means = prior.radius * jax.nn.one_hot(component[:, 0], prior.size)
  latents = means + normal[:, 0]
  expected = objective.gen.apply(players['gen'], latents)
  np.testing.assert_allclose(
    made.call(component, normal), (expected + 1) / 2, atol=1e-5
  )


@pytest.mark.parametrize(
  'config,capability,names',
  [
    ('vae', 'reconstruct', ['image', 'seed']),
    ('vae', 'encode', ['image']),  # the mean
    ('autoencoder', 'reconstruct', ['image']),
    ('denoising_autoencoder', 'anomaly_scores', ['image']),
    ('stylegan', 'synthesize', ['w_plus']),
    ('stylegan with noise', 'synthesize', ['w_plus', 'seed']),
  ],
)
def test_a_seed_is_an_input_only_where_numbers_are_drawn(
  config, capability, names
):
  assert [i.name for i in program(config, capability).inputs] == names


def test_draws_that_cannot_be_inputs_are_refused(monkeypatch):
  objective, _, _ = model('gan')
  sample = objective.predict_fns()['sample']
  compiled = jax.jit(sample, static_argnames='num')  # hides the key
  monkeypatch.setattr(
    type(objective), 'predict_fns', lambda self: {'sample': compiled}
  )
  with pytest.raises(InputError, match='GAN draws random numbers that cannot'):
    program('gan', 'sample', draws=True)


def test_truncation_0_gives_the_average_image():
  made = program('stylegan', 'sample')
  assert [i.name for i in made.inputs] == ['truncation', 'seed']
  images = jax.jit(made.call)(np.float32(0), np.arange(3, dtype=np.uint32))
  np.testing.assert_allclose(images[1:], images[:-1], atol=1e-5)


def test_a_file_is_read_without_this_package(tmp_path):
  made = program('vae', 'decode')
  (tmp_path / 'vae.stablehlo').write_bytes(stablehlo.serialize(made, ['cpu']))
  values = made.examples(4)
  np.savez(tmp_path / 'values.npz', *values, expected=made.call(*values))
  script = """
import sys
sys.modules['gen_jax'] = None
import jax, numpy as np
values = np.load('values.npz')
exported = jax.export.deserialize(bytearray(open('vae.stablehlo', 'rb').read()))
images = exported.call(values['arr_0'])
np.testing.assert_allclose(images, values['expected'], atol=1e-5)
"""
  subprocess.run([sys.executable, '-c', script], cwd=tmp_path, check=True)


def test_an_unknown_capability_is_refused_with_the_nearest_name():
  with pytest.raises(InputError, match='VAE does not have it.*"sample"'):
    program('vae', 'sampel')


def test_the_description_names_shapes_types_and_meaning():
  about = programs.describe(program('cgan', 'sample_classes'))
  labels, seed = about['inputs']
  assert labels == {
    'name': 'labels',
    'shape': ['B'],
    'dtype': 'int32',
    'about': 'numbers of classes, from 0 to 9',
  }
  assert seed['dtype'] == 'uint32'
  (images,) = about['outputs']
  assert images['shape'] == ['B', 28, 28, 1]


def test_a_failed_conversion_names_the_operation(monkeypatch):
  pytest.importorskip('jax2onnx')
  pytest.importorskip('onnxruntime')

  def call(x):
    return jnp.linalg.eigh(x @ x.swapaxes(1, 2))[0]

  example = programs.Input('x', (3, 3), np.float32, '', lambda rng: 0)
  made = programs.Program('eigenvalues', call, (example,))
  with pytest.raises(InputError, match="--out=a.onnx: the operation 'eigh'"):
    onnx.convert(made, '--out=a.onnx')


@pytest.mark.long
@pytest.mark.parametrize('config,capability', CASES)
def test_onnx_runtime_gives_what_jax_gives(config, capability):
  pytest.importorskip('jax2onnx')
  pytest.importorskip('onnxruntime')
  made = program(config, capability, draws=True)
  # `convert` compares both for 1 and for 3 examples.
  content, error = onnx.convert(made, '--out=a.onnx')
  assert error < 1e-4
  import onnxruntime

  session, about = (
    onnxruntime.InferenceSession(content),
    programs.describe(made),
  )
  for found, described in (
    (session.get_inputs(), about['inputs']),
    (session.get_outputs(), about['outputs']),
  ):
    assert [x.name for x in found] == [x['name'] for x in described]
    assert [x.shape for x in found] == [x['shape'] for x in described]
