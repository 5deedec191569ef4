"""The stacked autoencoder: who learns in a stage, and from what it starts."""

import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import drawn

from gen_jax import config as config_lib
from gen_jax.config import stages
from gen_jax.data.datasets import mnist
from gen_jax.errors import InputError
from gen_jax.objectives.stacked_autoencoder import (
  StackedAutoencoder,
  StackedClassifier,
  corrupt,
)
from gen_jax.training import trained
from gen_jax.training.experiment import Experiment
from gen_jax.training.loop import train
from gen_jax.training.step import carry_over

ROOT = pathlib.Path(__file__).parents[2]
KEY = jax.random.key(0)
STACK = dict(shape=(4, 3, 1), widths=(6, 5, 2))
BATCH = {
  'image': np.random.default_rng(0).uniform(size=(8, 4, 3, 1)),
  'label': np.arange(8, dtype=np.int32) % 3,
}
BATCH['image'] = BATCH['image'].astype(np.float32)
PLAYERS = drawn(StackedAutoencoder(**STACK).init, KEY, BATCH)


def test_config():
  """The smallest run of all stages, every checkpoint kept."""
  config = config_lib.load(f'{ROOT}/configs/stacked_autoencoder.py:test')
  config.checkpoint.update(every=7, keep=100)
  for stage in config.stages:
    stage['evals'] = {}
    # A deformation takes longer to compile than all else.
    stage['objective'].update(corruption='masking', level=0.5)
  return config


test_config.__test__ = False


def equal(a, b):
  jax.tree.map(np.testing.assert_array_equal, jax.device_get(a), b)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A workdir of the smallest run, and the states at the ends of stages."""
  path, config = tmp_path_factory.mktemp('run'), test_config()
  train(config, path)
  ends = [stage.end for stage in stages.plan(config)]
  return path, [trained.open_trained(path, end)[0] for end in ends]


def moved(before, after):
  """The players that differ."""
  return {
    name
    for name in before
    if any(
      np.any(a != b)
      for a, b in zip(
        jax.tree.leaves(before[name]), jax.tree.leaves(after[name]), strict=True
      )
    )
  }


def test_every_objective_has_the_same_players():
  expected = jax.eval_shape(lambda: PLAYERS)
  for objective in (StackedAutoencoder(**STACK), StackedClassifier(**STACK)):
    shapes = jax.eval_shape(objective.init, KEY, BATCH)
    assert jax.tree.map(lambda x: x.shape, shapes) == jax.tree.map(
      lambda x: x.shape, expected
    )


def test_a_stage_moves_the_players_it_names_and_no_other(run):
  _, states = run
  layers = {'layer_0', 'layer_1', 'layer_2'}
  changes = [
    moved(a.players, b.players)
    for a, b in zip(states, states[1:], strict=False)
  ]
  assert changes == [{'layer_1'}, {'layer_2'}, layers, layers | {'classifier'}]


def test_the_classifier_leaves_the_decoders_alone(run):
  _, (*_, unrolled, last) = run
  for index in range(3):
    before, after = (
      state.players[f'layer_{index}']['params'] for state in (unrolled, last)
    )
    equal(before['decoder'], after['decoder'])
    assert moved({'e': before['encoder']}, {'e': after['encoder']})


def test_a_layer_reconstructs_the_code_of_the_frozen_one_below():
  objective = StackedAutoencoder(**STACK, first=1, depth=2)
  layers = [PLAYERS[f'layer_{i}']['params'] for i in range(2)]

  def dense(params, x):
    weights = params['Dense_0']
    return np.maximum(x @ weights['kernel'] + weights['bias'], 0)

  below = dense(layers[0]['encoder'], BATCH['image'].reshape(8, -1))
  code = dense(layers[1]['encoder'], below)
  out = dense(layers[1]['decoder'], code)

  @jax.jit
  def compute(players, batch):
    loss, _ = objective.loss(players, batch, key=KEY, step=0)
    return loss, objective.encode(players, batch)

  loss, encoded = compute(PLAYERS, BATCH)
  expected = np.square(out - below).sum(-1).mean()
  assert float(loss) == pytest.approx(float(expected), rel=1e-5)
  np.testing.assert_allclose(encoded, code, rtol=1e-5, atol=1e-6)


def test_scores_are_the_errors_of_the_reconstructed_images():
  objective = StackedAutoencoder(**STACK)
  images = objective.reconstruct(PLAYERS, BATCH)
  expected = -np.sum(
    BATCH['image'] * np.log(images) + (1 - BATCH['image']) * np.log1p(-images),
    axis=(1, 2, 3),
  )
  np.testing.assert_allclose(
    objective.anomaly_scores(PLAYERS, BATCH)['error'], expected, rtol=1e-4
  )


def test_noise_hides_pixels_in_all_channels():
  out = corrupt(jnp.ones((8, 4, 3, 2)), 'masking', 0.5, KEY)
  np.testing.assert_array_equal(out[..., 0], out[..., 1])
  hidden = np.asarray(out[..., 0] == 0)
  assert np.any(hidden[:, 1:] != hidden[:, :1])
  assert np.any(hidden[:, :, 1:] != hidden[:, :, :1])


def test_the_error_of_the_classifier_is_that_of_its_guesses():
  objective = StackedClassifier(**STACK)
  players = drawn(objective.init, KEY, BATCH)
  guesses = np.argmax(objective.classify(players, BATCH), axis=-1)
  batch = {**BATCH, 'label': np.where(np.arange(8) < 6, guesses, guesses + 1)}
  _, aux = objective.loss(players, batch, key=KEY, step=0)
  assert float(aux.metrics['error']) == pytest.approx(2 / 8)


def test_noise_hides_units_of_the_code_and_not_the_target():
  objective = StackedAutoencoder(**STACK, first=1, depth=2, level=1.0)
  stack = objective.stack

  @jax.jit
  def compute(players, batch):
    below = stack.encode(players, batch['image'], 0, 1)
    # Everything is masked: what is left to say is the same for all images.
    blank = stack.encode(players, jnp.zeros_like(below), 1, 2)
    out = stack.decode(players, blank, 2, 1)
    expected = jnp.square(out - below).sum(-1).mean()
    loss, _ = objective.loss(players, batch, key=KEY, step=0)
    return loss, expected, corrupt(jnp.ones((50, 6)), 'masking', 0.5, KEY)

  loss, expected, hidden = compute(PLAYERS, BATCH)
  assert float(loss) == pytest.approx(float(expected), rel=1e-5)
  # Each unit on its own.
  hidden = np.asarray(hidden) == 0
  assert 0.35 < hidden.mean() < 0.65
  assert 0 < hidden[0].sum() < 6 or 0 < hidden[1].sum() < 6


def test_unrolled_begins_as_the_greedy_layers_one_on_another():
  unrolled = StackedAutoencoder(**STACK)
  stack = unrolled.stack
  highest_layer = StackedAutoencoder(**STACK, first=2)

  @jax.jit
  def compute(players, batch):
    latents = batch['image']
    for index in range(3):
      latents = stack.encode(players, latents, index, index + 1)
    for index in reversed(range(3)):
      latents = stack.decode(players, latents, index + 1, index)
    return (
      unrolled.reconstruct(players, batch),
      jax.nn.sigmoid(latents),
      highest_layer.reconstruct(players, batch),
    )

  ours, expected, highest = compute(PLAYERS, BATCH)
  np.testing.assert_allclose(ours, expected, rtol=1e-5)
  # The highest layer alone decodes through the same ones.
  equal(highest, ours)


def test_classification_begins_from_the_pretrained_encoder(run):
  path, (*_, unrolled, _) = run
  plan = stages.plan(trained.read_config(path))
  before, after = (Experiment(stage) for stage in plan[-2:])
  players = carry_over(unrolled.players, after.init_players())
  images = mnist.load('test').arrays['image'][:5] / np.float32(255)

  @jax.jit
  def compute(players, old, images):
    batch = {'image': images}
    return (
      after.objective.encode(players, batch),
      before.objective.encode(old, batch),
      after.objective.classify(players, batch),
    )

  latents, of_old, logits = compute(players, unrolled.players, images)
  np.testing.assert_array_equal(latents, of_old)
  weights = players['classifier']['params']['Dense_0']
  np.testing.assert_allclose(
    logits,
    latents @ weights['kernel'] + weights['bias'],
    rtol=1e-5,
    atol=1e-6,
  )


# At the end of a stage of 3 steps, and within the next.
@pytest.mark.parametrize('cut', [12, 14])
def test_a_resume_is_exact_within_a_stage_and_at_its_end(run, cut, tmp_path):
  path, states = run
  shutil.copytree(path, tmp_path / 'w')
  for folder in (tmp_path / 'w' / 'checkpoints').iterdir():
    if folder.name.isdigit() and int(folder.name) > cut:
      shutil.rmtree(folder)
  again, _ = train(test_config(), tmp_path / 'w')
  equal(again, jax.device_get(states[-1]))


def test_a_layer_may_have_one_unit():
  objective = StackedAutoencoder(shape=(4, 3, 1), widths=(1,))
  assert objective.updates()[0].wrt == ('layer_0',)


@pytest.mark.parametrize(
  'make,match',
  [
    (lambda: StackedAutoencoder(**STACK, first=3), '0 to 2'),
    (lambda: StackedAutoencoder(**STACK, depth=4), '3 layers'),
    (
      lambda: StackedAutoencoder(**STACK, first=1, corruption='deformation'),
      'gets latents',
    ),
    (
      lambda: StackedClassifier(**STACK).init(KEY, {'image': BATCH['image']}),
      'labels',
    ),
  ],
)
def test_bad_input_names_the_field(make, match):
  with pytest.raises(InputError, match=match):
    make()
