"""CycleGAN: emoji in two styles, translated both ways without pairs.

  python -m gen_jax.main --config=configs/cyclegan.py

Noto is domain a, Twemoji b, at 32 pixels. The pairs of the test split measure.

Variants: `emoji64`, the same at 64 pixels; `folder`, photographs in DIR/trainA,
trainB, testA and testB, with `--config.data.common.path=DIR`; `horses`, those
of TFDS; `colorize`, from gray to color; `super_resolution`, from a quarter of
the resolution; `digits`, from outlines to strokes; `paper`, the networks of
the paper for 256 pixels; `unet`; `resize`, without transposed convolutions;
`regression` and `regression64`, the yardstick: the generators trained on pairs;
`test`.
"""

from gen_jax.config import choose, default, tiny

_GENS, _DISCS = ('gen_ab', 'gen_ba'), ('disc_a', 'disc_b')


def get_config(arg=None):
  """Returns the CycleGAN of emoji, or the variant that `arg` names."""
  config = default()
  config.steps = 24_000
  config.batch_size = 1
  config.data.name = 'domains'
  config.data.update(
    common=dict(name='emoji', shape=(32, 32, 3)),
    a=dict(style='noto'),
    b=dict(style='twemoji'),
    pairs=('test',),  # splits whose images of one index belong together
  )
  config.objective = dict(
    name='cyclegan.CycleGAN',
    **{player: _gen() for player in _GENS},
    **{
      player: dict(
        name='translation.PatchDiscriminator',
        channels=32,
        levels=2,
        normalize='instance',
      )
      for player in _DISCS
    },
    loss='least_squares',
    adversarial=2.0,
    cycle=10.0,
    identity=5.0,
    pool=50,
  )
  for player in (*_GENS, *_DISCS):
    config.optim[player] = dict(
      name='adam',
      learning_rate=2e-4,
      b1=0.5,
      schedule='constant_then_linear',
    )
  for player in _GENS:
    config.ema[player] = 0.999
  config.evals = dict(
    grid=dict(name='translation.Grid', every=2500, at_start=True),
    errors=dict(name='translation.Errors', every=5000),
    pairs=dict(name='translation.Pairs', every=5000),
    frechet=dict(name='translation.Frechet', every=0),
  )

  def domains(a, b):  # assigned, for an update would merge them
    config.data.a, config.data.b = a, b

  def sized(height, width, channels_a=3, channels_b=3):
    config.data.common.shape = (height, width, channels_b)
    if channels_a != channels_b:
      config.data.a.shape = (height, width, channels_a)
      config.objective.gen_ba.out = channels_a
      config.objective.identity = 0.0

  def networks(gens=_GENS, discs=_DISCS, **fields):
    for player in (*gens, *discs):
      config.objective[player].update(fields)

  def emoji64():
    config.steps = 12_000
    sized(64, 64)
    networks(gens=(), levels=3)

  def folder():  # --config.data.common.path=DIR
    config.steps = 40_000
    config.data.common = dict(
      name='folder',
      path='',
      shape=(64, 64, 3),
      skip_unreadable=False,
      range=('auto',),  # or (low, high) of images of more than 8 bits
    )
    domains(dict(suffix='A'), dict(suffix='B'))
    config.data.pairs = ()
    config.data.flip = True
    del config.evals['pairs']
    networks(gens=(), levels=3)

  def horses():  # tfds build cycle_gan/horse2zebra --file_format=array_record
    folder()
    config.data.common = dict(
      name='tfds',
      dataset='cycle_gan/horse2zebra',
      data_dir=None,
      manual_dir=None,
      shape=(128, 128, 3),
    )
    networks(channels=64)

  def colorize():
    domains(dict(style='noto'), dict(style='noto'))
    sized(32, 32, channels_a=1)

  def super_resolution():
    domains(dict(style='noto', change='low'), dict(style='noto'))

  def digits():
    config.data.common = dict(name='mnist')
    domains(dict(change='outline'), dict(change=''))
    networks(discs=(), out=1)

  def paper():
    folder()
    config.steps = 200_000
    config.data.common.shape = (256, 256, 3)
    networks(channels=64)
    networks(discs=(), blocks=9)
    config.ema = {}

  def unet():
    for player in _GENS:
      config.objective[player] = dict(
        name='translation.UNetTranslator',
        out=3,
        channels=(32, 64, 128, 256),
        upsample='transpose',
        normalize='instance',
      )

  def resize():
    networks(discs=(), upsample='resize')

  def regression():
    config.data.pairs = ('train', 'test')
    config.objective = dict(
      name='translation.PairedRegression',
      **{player: dict(config.objective[player]) for player in _GENS},
    )
    for player in _DISCS:
      del config.optim[player]

  def regression64():
    emoji64()
    regression()

  def test():
    tiny(config)
    networks(channels=4, levels=1)
    networks(discs=(), blocks=1)
    config.objective.pool = 12
    config.evals.grid.num = 4

  variants = (
    emoji64, folder, horses, colorize, super_resolution, digits, paper, unet,
    resize, regression, regression64, test,
  )  # fmt: skip
  choose(arg, {f.__name__: f for f in variants})
  return config


def _gen():
  return dict(
    name='translation.ResidualTranslator',
    out=3,
    channels=32,
    blocks=6,
    levels=2,
    upsample='transpose',
    normalize='instance',
  )
