"""StyleGAN: fade-in, mixing, truncation, losses, and an exact resume."""

import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import drawn

from gen_jax import config as config_lib
from gen_jax.config import stages
from gen_jax.core import Aux, averaged
from gen_jax.errors import InputError
from gen_jax.losses import penalties
from gen_jax.losses.augmentation import augment
from gen_jax.models import progressive, stylegan
from gen_jax.models.layers.resampling import downsample, upsample
from gen_jax.objectives.parts.latents import Normal
from gen_jax.objectives.parts.regularizers import (
  R1,
  R2,
  Drift,
  GradientPenalty,
)
from gen_jax.objectives.stylegan import StyleGAN, mix_styles
from gen_jax.training import trained
from gen_jax.training.experiment import Experiment
from gen_jax.training.loop import train
from gen_jax.training.step import carry_over

ROOT = pathlib.Path(__file__).parents[2]
KEY = jax.random.key(0)
SMALL = dict(fmap_base=16, fmap_max=4)
BATCH = {'image': jax.random.uniform(KEY, (4, 16, 16, 3), minval=-1)}


def make(size=8, **fields):
  gen = stylegan.Generator((size, size, 3), width=4, depth=1, **SMALL)
  disc = progressive.Discriminator(**SMALL)
  latents = Normal(size=3)
  return StyleGAN(**{'gen': gen, 'disc': disc, 'latents': latents, **fields})


OBJECTIVE = make()
PLAYERS = jax.jit(OBJECTIVE.init)(KEY, BATCH)
# With a mean of w that is not 0.
PLAYERS['gen']['average'] = {'w_avg': jnp.asarray([0.1, -0.2, 0.3, 0.4])}


@jax.jit
def three(players, key, psi):
  """Three samples, of any truncation."""
  return make(truncation_psi=psi).sample(players, key=key, num=3)


# Fade-in.


def test_alpha_rises_to_one_in_the_steps_of_the_fade_in():
  fading = make(fade_in_steps=4)
  alphas = [float(fading.alpha_at(step)) for step in range(6)]
  assert alphas == [0, 0.25, 0.5, 0.75, 1, 1]
  assert make().alpha_at(0) == 1.0


def test_real_images_fade_in_too():
  fading = make(fade_in_steps=4)
  images = BATCH['image']
  whole = downsample(images)  # 16 pixels to 8
  coarse = upsample(downsample(whole))
  np.testing.assert_allclose(
    fading.real_images(images, 0.25), 0.75 * coarse + 0.25 * whole, atol=1e-6
  )
  np.testing.assert_array_equal(OBJECTIVE.real_images(images, 1.0), whole)
  np.testing.assert_allclose(
    coarse[:, :2, :2],
    np.tile(whole[:, :2, :2].mean((1, 2), keepdims=True), (1, 2, 2, 1)),
    atol=1e-6,
  )


def test_losses_use_the_alpha_of_their_step_and_store_that_of_the_next():
  fading = make(fade_in_steps=4)
  shapes = jax.eval_shape(fading.init, KEY, BATCH)
  assert set(shapes) == {'gen', 'disc', 'fade_in'}

  def alphas(step):
    found = {}

    def loss(players, batch, *, key, step):
      found['alpha'] = fading.alpha(players)
      found['image'] = batch['image']
      return 0.0, Aux()

    players = {**PLAYERS, 'fade_in': fading._fade_in(0.0)}
    _, aux = fading.faded_loss(loss, players, BATCH, key=KEY, step=step)
    stored = aux.state['fade_in']['fade_in']['alpha_8']
    assert found['image'].shape == (4, 8, 8, 3)
    return float(found['alpha']), float(aux.metrics['alpha']), float(stored)

  assert alphas(1) == (0.25, 0.25, 0.5)
  assert alphas(3) == (0.75, 0.75, 1.0)
  assert [u.wrt for u in fading.updates()] == [('disc',), ('gen',)]


def test_a_larger_stage_takes_over_all_but_alpha():
  small, large = make(8), make(16, fade_in_steps=5)
  old = {**PLAYERS, 'fade_in': small._fade_in(1.0)}
  fresh = jax.tree.map(
    lambda x: np.full(x.shape, 7, x.dtype),
    jax.eval_shape(large.init, KEY, BATCH),
  )
  fresh['fade_in'] = jax.jit(lambda: large.init(KEY, BATCH)['fade_in'])()
  new = carry_over(old, fresh)
  for name in ('gen', 'disc'):
    for path, leaf in jax.tree_util.tree_leaves_with_path(old[name]):
      at = new[name]
      for part in path:
        at = at[part.key]
      np.testing.assert_array_equal(at, leaf)
  assert list(new['fade_in']['fade_in']) == ['alpha_16']
  assert float(new['fade_in']['fade_in']['alpha_16']) == 0


# W.


def test_mixing_takes_the_second_w_from_a_layer_on():
  first, second = jnp.zeros((500, 4)), jnp.ones((500, 4))
  w_plus = np.asarray(mix_styles(KEY, first, second, 4, 0.9))
  assert w_plus.shape == (500, 4, 4)
  until = 4 - w_plus[:, :, 0].sum(axis=1)  # layers of the first
  assert np.all(np.diff(w_plus[:, :, 0], axis=1) >= 0)
  assert np.mean(until < 4) == pytest.approx(0.9, abs=0.05)
  for layers in (1, 2, 3):
    assert np.mean(until == layers) == pytest.approx(0.3, abs=0.07)
  assert not np.any(mix_styles(KEY, first, second, 4, 0.0))


def test_w_avg_is_a_running_mean():
  @jax.jit
  def generated(players):
    _, state = OBJECTIVE.generate(players, BATCH, KEY)
    latents = OBJECTIVE.latents.sample(jax.random.split(KEY, 3)[0], 8)[::2]
    return OBJECTIVE.map_latents(players, latents)[:, 0], state

  w, state = generated(PLAYERS)
  old = np.asarray(PLAYERS['gen']['average']['w_avg'])
  expected = 0.995 * old + 0.005 * np.mean(w, axis=0)
  np.testing.assert_allclose(state['average']['w_avg'], expected, rtol=1e-4)


def test_truncation_moves_w_to_its_mean_in_the_first_layers():
  w_plus = jax.jit(OBJECTIVE.map_latents)(PLAYERS, jnp.ones((2, 3)))
  mean = PLAYERS['gen']['average']['w_avg']
  objective = make(truncation_psi=0.5, truncation_cutoff=3)
  half = objective.truncated(PLAYERS, w_plus)
  np.testing.assert_allclose(
    half[:, :3], mean + 0.5 * (w_plus[:, :3] - mean), rtol=1e-5
  )
  np.testing.assert_allclose(half[:, 3], w_plus[:, 3], rtol=1e-5)
  center = make(truncation_psi=0.0).truncated(PLAYERS, w_plus)
  np.testing.assert_allclose(center, np.broadcast_to(mean, w_plus.shape))
  # The weights of the noise start at 0, so the image of the mean is one.
  images = np.asarray(three(PLAYERS, KEY, 0.0))
  np.testing.assert_allclose(images[1:], images[:-1], atol=1e-5)


def test_synthesis_uses_the_same_noise_and_samples_do_not():
  players = jax.tree.map(lambda x: x, PLAYERS)
  for layer in players['gen']['params']['synthesis'].values():
    if isinstance(layer, dict) and 'noise' in layer:
      layer['noise'] = layer['noise'] + 1
  w_plus = jnp.zeros((2, 4, 4))
  synthesize = jax.jit(OBJECTIVE.synthesize)
  a, b = (
    np.asarray(synthesize(players, w_plus, key=jax.random.key(i)))
    for i in (1, 2)
  )
  np.testing.assert_allclose(a[0], a[1], atol=1e-5)
  assert np.abs(a - b).max() > 0.01
  images = np.asarray(three(players, KEY, 0.0))
  assert np.abs(images[0] - images[1]).max() > 0.01


def test_w_is_for_the_classes_given_or_for_all_in_turn():
  objective = make(
    gen=stylegan.Generator((8, 8, 3), width=4, depth=1, classes=3, **SMALL),
    disc=progressive.Discriminator(classes=3, **SMALL),
  )
  batch = {**BATCH, 'label': jnp.zeros(4, jnp.int32)}
  players = drawn(objective.init, KEY, batch)
  latents = jax.random.normal(KEY, (5, 3))
  in_turn = objective.map_latents(players, latents)
  asked = objective.map_latents(players, latents, jnp.array([0, 1, 2, 0, 1]))
  np.testing.assert_array_equal(in_turn, asked)
  other = objective.map_latents(players, latents, jnp.array([1, 1, 2, 0, 1]))
  changed = np.any(other != asked, axis=(1, 2))
  assert changed.tolist() == [True] + [False] * 4


def test_many_samples_are_generated_in_parts(monkeypatch):
  monkeypatch.setattr('gen_jax.objectives.stylegan._PART', 2)
  # Without noise, whose weights start at 0, they are those of one part.
  parts = jax.jit(lambda x: OBJECTIVE.sample(x, key=KEY, num=3))(PLAYERS)
  monkeypatch.undo()
  whole = three(PLAYERS, KEY, 1.0)
  np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-5)


def test_each_part_of_many_samples_has_noise_of_its_own(monkeypatch):
  monkeypatch.setattr('gen_jax.objectives.stylegan._PART', 1)
  players = jax.tree.map(lambda x: x, PLAYERS)
  for layer in players['gen']['params']['synthesis'].values():
    if isinstance(layer, dict) and 'noise' in layer:
      layer['noise'] = layer['noise'] + 1
  draw = jax.jit(lambda x: make(truncation_psi=0.0).sample(x, key=KEY, num=2))
  first, second = draw(players)  # of the same w
  assert np.abs(first - second).max() > 0.01


# Losses.


def test_r1_is_lazy_and_for_the_data():
  lazy = make(regularizers=(R1(weight=10.0, every=16),))
  assert [(u.name, u.wrt, u.every) for u in lazy.updates()] == [
    ('disc', ('disc',), 1),
    ('disc_r1', ('disc',), 16),
    ('gen', ('gen',), 1),
  ]

  @jax.jit
  def both(players, batch):
    def score(x):
      return jnp.sum(lazy.score(players, x, batch, KEY))

    gradient = jax.grad(score)(downsample(batch['image']))
    total, _ = lazy.updates()[1].loss(players, batch, key=KEY, step=15)
    return gradient, total

  gradient, total = both(PLAYERS, BATCH)
  expected = 16 * 10 / 2 * np.square(gradient).sum((1, 2, 3)).mean()
  assert float(total) == pytest.approx(float(expected), rel=1e-4)


def test_r1_and_r2_are_added():
  objective = make(regularizers=(R1(weight=2.0), R2(weight=3.0)))
  update = objective.updates()[0]
  assert len(objective.updates()) == 2

  @jax.jit
  def both(players, batch):
    key, _ = jax.random.split(KEY)
    plain = make().updates()[0]
    total, aux = update.loss(players, batch, key=KEY, step=0)
    return total - plain.loss(players, batch, key=key, step=0)[0], aux.metrics

  difference, metrics = both(PLAYERS, BATCH)
  expected = 2 * metrics['r1'] + 3 * metrics['r2']
  assert float(difference) == pytest.approx(float(expected), rel=1e-3)
  assert min(metrics['r1'], metrics['r2']) > 0


def test_the_images_of_the_discriminator_can_be_augmented():
  images = downsample(BATCH['image'])
  moved = make(augment=('cutout',))

  @jax.jit
  def both(players, images):
    _, key = jax.random.split(KEY)
    augmented = augment(images, ('cutout',), key)
    logits = moved.score(players, images, BATCH, KEY)
    return augmented, logits, moved.logits(players, augmented, BATCH)

  augmented, logits, expected = both(PLAYERS, images)
  assert np.any(augmented != images)
  np.testing.assert_allclose(logits, expected, rtol=1e-5)


def test_the_wasserstein_loss_has_a_gradient_penalty_and_drift():
  wgan = make(
    loss='wasserstein',
    regularizers=(Drift(weight=0.5), GradientPenalty(weight=7.0)),
  )
  update = wgan.updates()[0]
  assert [u.wrt for u in wgan.updates()] == [('disc',), ('gen',)]

  @jax.jit
  def both(players, batch):
    total, aux = update.loss(players, batch, key=KEY, step=0)
    key, key_penalties = jax.random.split(KEY)
    fake, _ = wgan.generate(players, batch, jax.random.split(key, 3)[0])
    real = downsample(batch['image'])

    def score(x):
      return wgan.logits(players, x, batch)

    key_mix, _ = jax.random.split(key_penalties)
    between = penalties.interpolates(key_mix, real, fake)
    gradient = jax.grad(lambda x: jnp.sum(score(x)))(between)
    return total, aux.metrics, gradient, score(real), score(fake)

  total, metrics, gradient, real, fake = both(PLAYERS, BATCH)
  norm = np.sqrt(np.square(gradient).sum((1, 2, 3)))
  distance = np.mean(real) - np.mean(fake)
  expected = 7 * np.square(norm - 1).mean() + 0.5 * np.square(real).mean()
  assert float(total) == pytest.approx(float(expected - distance), rel=1e-4)
  assert float(metrics['wasserstein_distance']) == pytest.approx(
    float(distance), rel=1e-3
  )


def test_failures_are_reported_as_for_every_gan():
  warnings = OBJECTIVE.updates()[-1].warnings
  metrics = {
    'disc/real_accuracy': 1.0,
    'disc/fake_accuracy': 1.0,
    'gen/grad_norm': 1.0,
  }
  assert set(warnings(metrics)) == {'no_convergence'}
  assert set(warnings({**metrics, 'gen/grad_norm': 1e-5})) == {
    'vanishing_gradient'
  }
  assert not warnings({**metrics, 'disc/fake_accuracy': 0.6})


# A run.


def fading_config():
  """One stage that fades 8 pixels in, within two of its six steps cut."""
  config = config_lib.load(f'{ROOT}/configs/stylegan.py:test')
  first = {**config.stages[0], 'objective.fade_in_steps': 5, 'steps': 6}
  config.stages, config.evals = (first,), {}
  config.objective.regularizers = {}
  config.objective.gen.depth = 1
  config.checkpoint.update(every=3, keep=10)
  return config


@pytest.mark.slow('compiles a step of StyleGAN')
def test_a_resume_within_a_fade_is_exact_and_the_average_has_its_alpha(
  tmp_path, one_device
):
  config = fading_config()
  whole, _ = train(config, tmp_path)
  whole = jax.device_get(whole)
  state, experiment = trained.open_trained(tmp_path, 3)
  assert float(state.players['fade_in']['fade_in']['alpha_8']) == pytest.approx(
    0.6
  )
  assert set(state.ema) == {'gen'}
  alpha = experiment.objective.alpha(averaged(state))
  assert float(alpha) == pytest.approx(0.6)
  os.rename(tmp_path / 'checkpoints' / '6', tmp_path / 'gone')
  again, _ = train(config, tmp_path)
  jax.tree.map(np.testing.assert_array_equal, jax.device_get(again), whole)


def test_the_config_grows_with_fresh_optimizers_and_its_half_life():
  config = config_lib.load(f'{ROOT}/configs/stylegan.py')
  plan = stages.plan(config)
  sizes = [s.config.objective.gen.shape[0] for s in plan]
  assert sizes == [8, 16, 16, 32, 32]
  for stage in plan:
    batch = stage.config.batch_size
    fades = stage.config.objective.fade_in_steps
    assert fades in (0, stage.config.steps)
    assert stage.config.ema.gen ** (10_000 / batch) == pytest.approx(0.5)
  experiment = Experiment(plan[1])
  state = jax.eval_shape(lambda: experiment.init_state(experiment._init(KEY)))
  assert set(state.opt) == {'gen', 'disc'}
  paper = stages.plan(config_lib.load(f'{ROOT}/configs/stylegan.py:folder256'))
  gen = paper[-1].config.objective.gen
  assert (gen.fmap_base, gen.fmap_max, gen.shape[0]) == (8192, 512, 256)
  images = sum(s.config.steps * s.config.batch_size for s in paper)
  assert images == pytest.approx(25e6, rel=0.05)


def test_the_paper_has_the_batches_and_rates_of_the_official_program():
  plan = stages.plan(config_lib.load(f'{ROOT}/configs/stylegan.py:folder1024'))
  found = {
    stage.config.objective.gen.shape[0]: (
      stage.config.batch_size,
      stage.config.optim.gen.learning_rate,
      stage.config.optim.disc.learning_rate,
    )
    for stage in plan
  }
  # Its tables for one GPU, with 4 and 1e-3 where they say nothing.
  batches = {8: 128, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8, 512: 4, 1024: 4}
  rates = {128: 0.0015, 256: 0.002, 512: 0.003, 1024: 0.003}
  assert found == {
    size: (batch, rates.get(size, 1e-3), rates.get(size, 1e-3))
    for size, batch in batches.items()
  }


def check(size):
  for update in make().updates():
    update.check_batch(size, size)


def test_a_batch_of_one_group_is_accepted():
  check(4)


@pytest.mark.parametrize(
  'make,match',
  [
    (lambda: make(loss='hinge', real_label=0.9), 'real_label=0.9'),
    (lambda: check(6), 'batch of 6'),
    (lambda: check(2), 'group=4.*take group=2'),
    (lambda: make(disc=progressive.Discriminator(classes=2)), 'disc.classes'),
    (lambda: make(32).init(KEY, BATCH), 'gen.shape'),
    (lambda: make().init(KEY, {'image': jnp.zeros((2, 24, 24, 3))}), 'gen.sh'),
    (lambda: make().init(KEY, {'image': jnp.zeros((2, 8, 8, 1))}), 'gen.shape'),
  ],
)
def test_bad_input_names_the_field(make, match):
  with pytest.raises(InputError, match=match):
    make()
