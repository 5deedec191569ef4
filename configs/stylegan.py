"""StyleGAN on the emoji, growing from 8x8 to 32x32 pixels.

  python -m gen_jax.main --config=configs/stylegan.py

Takes 47 minutes on two cores of an EPYC: under a minute at 8 pixels, 6 minutes
at 16 and 40 minutes at 32, at 125 images a second. Most samples can be named
after half an hour, at step 9,200. More images improved the samples more than
more channels; as in the paper the last resolution has half the channels.

Each resolution has two stages: in the first it fades in, in the second it has
faded in. The optimizers start anew in each stage, as in the authors' program.
`python -m gen_jax cost --config=configs/stylegan.py:tpu
--config.data.path=DIR` prints the memory and the operations of a step of the
networks of the paper.

Variants:
  emoji64: the emoji with 64x64 pixels.
  folder: your own images, up to 64x64; set config.data.path.
  folder256, folder1024: your own images, with the networks of the paper and the
    batches of the authors' program for one GPU.
  tpu: folder256 in bfloat16.
  wgan_gp: the Wasserstein loss with a gradient penalty and drift.
  classes: the emoji of a category.
  final: 32x32 pixels from the start, to go on from a trained model:
    --init=zoo:stylegan; for your own images also --config.data.name=folder and
    --config.data.path.
  test: a tiny version for the tests.
"""

from typing import Any

from ml_collections import ConfigDict

from gen_jax.config import default, presets

_PLAYERS = ('gen', 'disc')


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the small StyleGAN, or the variant that `arg` names."""
  config = default()
  config.data.name = 'emoji'
  config.data.shape = (32, 32, 3)
  # 64 channels, and 32 at the last resolution.
  networks = dict(fmap_base=512, fmap_max=64, classes=0)
  config.objective = dict(
    name='stylegan.StyleGAN',
    gen=dict(
      name='stylegan.Generator',
      shape=(32, 32, None),
      width=128,
      depth=4,  # 8 and .01 in the paper, for 100 times the images
      lr_mul=0.1,
      noise=False,  # emoji have no texture
      **networks,
    ),
    disc=dict(name='progressive.Discriminator', group=4, **networks),
    latents=dict(name='latents.Normal', size=128),
    loss='non_saturating',
    real_label=1.0,
    disc_steps=1,
    regularizers=presets.r1(0.1, every=16),  # 10 for the paper's 1024x1024
    augment=(),  # 'color', 'translation', 'cutout', 'deformation'
    fade_in_steps=0,
    style_mixing_prob=0.5,
    w_avg_beta=0.995,
    truncation_psi=1.0,
    truncation_cutoff=0,
  )
  presets.adam(
    config,
    dict.fromkeys(_PLAYERS, 5e-3),
    b1=0.0,
    b2=0.99,
    eps=1e-8,
    schedule='constant',
    lazy_rescale=False,  # True as in StyleGAN2, for the updates of R1
  )
  config.ema.gen = 0.0  # set by the stages
  config.log_every = 100
  samples = dict(name='figures.Samples', every=500, at_start=True)
  config.evals = dict(samples=samples)
  _grow_to_32(config, 5e-3)
  variants = emoji64, folder, folder256, folder1024, tpu, wgan_gp, classes
  return presets.choose(config, arg, *variants, final, test)


def emoji64(config: ConfigDict) -> None:
  """Trains on the emoji with 64x64 pixels."""
  _resize(config, 64)
  _grow(
    config,
    (8, 32, 5e-3, 0, 60),
    (16, 32, 5e-3, 30, 50),
    (32, 32, 5e-3, 30, 70),
    (64, 16, 5e-3, 40, 100),
  )


def folder(config: ConfigDict) -> None:
  """Trains on your own images, --config.data.path=DIR."""
  _own_images(config, 64)
  _grow(
    config,
    (8, 32, 5e-3, 0, 60),
    (16, 32, 5e-3, 30, 50),
    (32, 32, 5e-3, 50, 100),
    (64, 16, 5e-3, 50, 150),
  )


def folder256(config: ConfigDict) -> None:
  """Trains the networks of the paper on your own images, 256x256."""
  _paper(config, 256)


def folder1024(config: ConfigDict) -> None:
  """Trains the networks of the paper on your own images, 1024x1024."""
  _paper(config, 1024)


def tpu(config: ConfigDict) -> None:
  """Trains `folder256` in bfloat16."""
  _paper(config, 256)
  config.precision = 'bfloat16'


def wgan_gp(config: ConfigDict) -> None:
  """Uses the Wasserstein loss, a gradient penalty and drift."""
  config.objective.loss = 'wasserstein'
  config.objective.regularizers = dict(
    drift=dict(name='regularizers.Drift', weight=1e-3),
    gradient_penalty=dict(
      name='regularizers.GradientPenalty', weight=10.0, one_sided=False
    ),
  )
  _grow_to_32(config, 1e-3)


def classes(config: ConfigDict) -> None:
  """Gives the networks the classes of the data."""
  for player in _PLAYERS:
    config.objective[player].classes = None


def final(config: ConfigDict) -> None:
  """Trains the last stage alone, from a trained model."""
  last = config.stages[-1]
  config.stages = ()
  config.evals = last.pop('evals')
  config.update_from_flattened_dict(last)


def test(config: ConfigDict) -> None:
  """Makes it a tiny version for the tests."""
  presets.test(config)
  config.data.shape = (16, 16, 3)
  for player in _PLAYERS:
    config.objective[player].update(fmap_base=32, fmap_max=4)
  config.objective.latents.size = 4
  config.objective.regularizers.r1.every = 2
  config.objective.gen.update(width=4, depth=2)
  config.evals.samples.update(every=2, num=4)
  _grow(config, (8, 8, 1e-3, 0, 1), (16, 8, 1e-3, 1, 0))
  for stage in config.stages:
    stage['steps'] = 4
  last = config.stages[-1]
  last.update({'objective.fade_in_steps': 4, 'objective.regularizers': {}})
  del last['evals']


def _paper(config: ConfigDict, size: int) -> None:
  """Uses the networks and the schedule of the paper's appendix C.

  A phase has 600,000 images. The batch sizes are those of the authors' program
  for one GPU.
  """
  _own_images(config, size)
  config.objective.style_mixing_prob = 0.9
  config.objective.latents.size = 512
  config.objective.regularizers.r1.weight = 10.0
  config.objective.gen.update(width=512, depth=8, lr_mul=0.01)
  for player in _PLAYERS:
    config.objective[player].update(fmap_base=8192, fmap_max=512)
  batches = {8: 128, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8, 512: 4}
  rates = {128: 1.5e-3, 256: 2e-3, 512: 3e-3, 1024: 3e-3}
  sizes = [2**n for n in range(3, size.bit_length())]
  rows = [[s, batches.get(s, 4), rates.get(s, 1e-3), 600, 600] for s in sizes]
  rows[-1][-1] = 25_000 - 1200 * (len(rows) - 1)
  config.evals.samples.update(every=10_000, num=16)
  _grow(config, *rows)
  # The distances need all of their samples in memory.
  del config.stages[-1]['evals']['diversity']


def _own_images(config: ConfigDict, size: int) -> None:
  presets.folder(config, (size, size, 3))
  _resize(config, size)
  config.objective.gen.noise = True


def _resize(config: ConfigDict, size: int) -> None:
  config.data.shape = (size, size, 3)
  config.objective.gen.shape = (size, size, None)
  for player in _PLAYERS:  # half the channels at the last resolution
    config.objective[player].fmap_base = 16 * size


def _grow_to_32(config: ConfigDict, rate: float) -> None:
  _grow(
    config,
    (8, 32, rate, 0, 40),
    (16, 32, rate, 20, 60),
    (32, 32, rate, 40, 280),
  )


def _grow(config: ConfigDict, *rows: Any) -> None:
  """Sets the stages.

  Args:
    config: whose `stages` are set.
    *rows: resolution, batch size, learning rate, and thousands of images while
      the resolution fades in and after that.
  """
  stages = []
  for index, (size, batch, rate, *thousands) in enumerate(rows):
    for fades, images in zip((True, False), thousands, strict=True):
      steps = images * 1000 // batch
      if not steps or (fades and not index):  # the first does not fade in
        continue
      stages.append(
        {
          'steps': steps,
          'batch_size': batch,
          'objective.gen.shape': (size, size, None),
          'objective.fade_in_steps': steps if fades else 0,
          'ema.gen': presets.half_life(10_000, batch),
          **{f'optim.{name}.learning_rate': rate for name in _PLAYERS},
        }
      )
  stages[-1]['evals'] = _final_evals(config)
  config.stages = tuple(stages)


def _final_evals(config: ConfigDict) -> dict[str, Any]:
  """Returns the evaluators of the last stage."""
  # For the emoji as many as there are training images.
  num = 1690 if config.data.name == 'emoji' else 2000
  evals = dict(
    samples=config.evals.samples.to_dict(),
    fidelity=dict(name='fidelity.Fidelity', features='random', num=num),
    diversity=dict(name='diversity.Diversity', every=2000, num=500),
    path_length=dict(name='perceptual_path_length.PathLength', num=2000),
    truncation=dict(name='style_figures.Truncation'),
    mixing=dict(name='style_figures.Mixing'),
    walk=dict(name='style_figures.Walk'),
  )
  if config.objective.gen.noise:
    evals['noise'] = dict(name='style_figures.Noise')
  return evals
