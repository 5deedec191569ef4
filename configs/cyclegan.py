"""CycleGAN: emoji in two styles, translated both ways without pairs.

  python -m gen_jax.main --config=configs/cyclegan.py

Takes 59 minutes on one CPU core, shared with other work. Noto is domain a and
Twemoji domain b, at 32 pixels. Held-out pairs measure the translations: the
PSNR is 13.04 and 12.93 dB (the input: 11.95 dB).

Variants:
  emoji64: emoji of 64 pixels.
  folder: photographs in DIR/trainA, trainB, testA and testB; set
    config.data.common.path=DIR.
  horses: horses and zebras of TFDS.
  colorize: gray to color.
  super_resolution: a quarter of the resolution to all of it.
  digits: outlines of digits to strokes.
  paper: the networks of the paper for 256 pixels, on a folder.
  tpu: `paper` in bfloat16.
  unet: U-Nets as generators.
  resize: nearest-neighbor upsampling instead of transposed convolutions.
  regression, regression64: the same generators trained on pairs.
  test: a tiny version for the tests.
"""

from ml_collections import ConfigDict

from gen_jax.config import default, presets

_GENS, _DISCS = ('gen_ab', 'gen_ba'), ('disc_a', 'disc_b')


def get_config(arg: str | None = None) -> ConfigDict:
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
    **{player: _generator() for player in _GENS},
    **{player: _discriminator() for player in _DISCS},
    loss='least_squares',
    adversarial_weight=2.0,
    cycle_weight=10.0,
    identity_weight=5.0,
    pool_size=50,
  )
  rates = dict.fromkeys((*_GENS, *_DISCS), 2e-4)
  presets.adam(config, rates, b1=0.5, schedule='constant_then_linear')
  for player in _GENS:
    config.ema[player] = 0.999
  config.evals = dict(
    grid=dict(name='translation.Grid', every=2500, at_start=True),
    errors=dict(name='translation.Errors', every=5000),
    pairs=dict(name='translation.Pairs', every=5000),
    frechet=dict(name='translation.Frechet', every=0),
  )

  variants = (
    emoji64, folder, horses, colorize, super_resolution, digits, paper, tpu,
    unet, resize, regression, regression64, test,
  )  # fmt: skip
  return presets.choose(config, arg, *variants)


def emoji64(config: ConfigDict) -> None:
  """Translates emoji of 64 pixels."""
  config.steps = 12_000
  config.data.common.shape = (64, 64, 3)
  _networks(config, _DISCS, levels=3)


def folder(config: ConfigDict) -> None:
  """Trains on the images of folders, --config.data.common.path=DIR."""
  config.steps = 40_000
  presets.domain_folders(config)
  config.data.pairs = ()
  config.data.flip = True
  del config.evals['pairs']
  _networks(config, _DISCS, levels=3)


def horses(config: ConfigDict) -> None:
  """Trains on horses and zebras.

  TFDS prepares them with
  `tfds build cycle_gan/horse2zebra --file_format=array_record`.
  """
  folder(config)
  config.data.common = dict(
    name='tfds',
    dataset='cycle_gan/horse2zebra',
    data_dir=None,
    manual_dir=None,
    shape=(128, 128, 3),
  )
  _networks(config, channels=64)


def colorize(config: ConfigDict) -> None:
  """Translates between gray and color."""
  config.data.a = dict(style='noto', shape=(32, 32, 1))
  config.data.b = dict(style='noto')
  config.objective.gen_ba.out = 1
  config.objective.identity_weight = 0.0


def super_resolution(config: ConfigDict) -> None:
  """Translates between a quarter of the resolution and all of it."""
  config.data.a = dict(style='noto', change='low')
  config.data.b = dict(style='noto')


def digits(config: ConfigDict) -> None:
  """Translates between outlines and strokes of MNIST."""
  config.data.common = dict(name='mnist')
  config.data.a, config.data.b = dict(change='outline'), dict(change='')
  _networks(config, _GENS, out=1)


def paper(config: ConfigDict) -> None:
  """Takes the networks of the paper, for 256 pixels."""
  folder(config)
  config.steps = 200_000
  config.data.common.shape = (256, 256, 3)
  _networks(config, channels=64)
  _networks(config, _GENS, blocks=9)
  config.ema = {}


def tpu(config: ConfigDict) -> None:
  """Trains `paper` in bfloat16."""
  paper(config)
  config.precision = 'bfloat16'


def unet(config: ConfigDict) -> None:
  """Takes U-Nets for generators."""
  for player in _GENS:
    config.objective[player] = dict(
      name='translation.UNetTranslator',
      out=3,
      channels=(32, 64, 128, 256),
      upsample='transpose',
      normalize='instance',
    )


def resize(config: ConfigDict) -> None:
  """Enlarges maps without transposed convolutions."""
  _networks(config, _GENS, upsample='resize')


def regression(config: ConfigDict) -> None:
  """Trains the generators on pairs, without discriminators."""
  config.data.pairs = ('train', 'test')
  config.objective = dict(
    name='regression.PairedRegression',
    **{player: dict(config.objective[player]) for player in _GENS},
  )
  for player in _DISCS:
    del config.optim[player]


def regression64(config: ConfigDict) -> None:
  """Is `regression` at 64 pixels."""
  emoji64(config)
  regression(config)


def test(config: ConfigDict) -> None:
  """Makes it a run of seconds."""
  presets.test(config)
  _networks(config, channels=4, levels=1)
  _networks(config, _GENS, blocks=1)
  config.objective.pool_size = 12
  config.evals.grid.num = 4


def _networks(config, players=(*_GENS, *_DISCS), **fields):
  for player in players:
    config.objective[player].update(fields)


def _generator():
  return dict(
    name='translation.ResidualTranslator',
    out=3,
    channels=32,
    blocks=6,
    levels=2,
    upsample='transpose',
    normalize='instance',
  )


def _discriminator():
  return dict(
    name='translation.PatchDiscriminator',
    channels=32,
    levels=2,
    normalize='instance',
  )
