"""Pix2Pix: emoji in one style, translated to another, learned from pairs.

  python -m gen_jax.main --config=configs/pix2pix.py

Takes 35 minutes on one CPU core, shared with other work, and reaches a PSNR of
14.46 dB on held-out pairs (a regression on pairs: 14.35 dB, the input: 11.95
dB). Noto is domain a and Twemoji domain b, at 32 pixels.
`--config.objective.direction=ba` translates from b to a.

Variants:
  emoji64: emoji of 64 pixels.
  folder: pairs of photographs, of one name in DIR/trainA and trainB, testA and
    testB; set config.data.common.path=DIR.
  gan_only: no L1 term.
  l1_only: no discriminator.
  paper: the networks of the paper for 256 pixels, on a folder.
  test: a tiny version for the tests.
"""

from ml_collections import ConfigDict

from gen_jax.config import default, presets


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the Pix2Pix of emoji, or the variant that `arg` names."""
  config = default()
  config.steps = 24_000
  config.batch_size = 1
  config.data.name = 'domains'
  config.data.update(
    common=dict(name='emoji', shape=(32, 32, 3)),
    a=dict(style='noto'),
    b=dict(style='twemoji'),
    pairs=('train', 'test'),
  )
  config.objective = dict(
    name='pix2pix.Pix2Pix',
    gen=dict(
      name='translation.UNetTranslator',
      out=3,
      channels=(64, 128, 256, 256),
      upsample='transpose',
      normalize='instance',
      dropout=0.0,  # 0.5 in the paper; maps of 32 pixels lose too much by it
    ),
    disc=dict(
      name='translation.PatchDiscriminator',
      channels=32,
      levels=2,
      normalize='instance',
    ),
    direction='ab',
    loss='non_saturating',
    adversarial_weight=1.0,
    l1_weight=100.0,
    dropout_at_test=False,
  )
  schedule = dict(b1=0.5, schedule='constant_then_linear')
  presets.adam(config, dict(gen=2e-4, disc=2e-4), **schedule)
  config.ema.gen = 0.999
  config.evals = dict(
    grid=dict(name='translation.Grid', every=2500, at_start=True),
    errors=dict(name='translation.Errors', every=5000),
    pairs=dict(name='translation.Pairs', every=5000),
    frechet=dict(name='translation.Frechet', every=0),
  )
  variants = emoji64, folder, gan_only, l1_only, paper, test
  return presets.choose(config, arg, *variants)


def emoji64(config: ConfigDict) -> None:
  """Translates emoji of 64 pixels, with one level more."""
  config.steps = 12_000
  config.data.common.shape = (64, 64, 3)
  config.objective.gen.channels = (32, 64, 128, 256, 256, 256)
  config.objective.disc.levels = 3


def folder(config: ConfigDict) -> None:
  """Trains on pairs of photographs, --config.data.common.path=DIR."""
  config.steps = 40_000
  presets.domain_folders(config)
  config.objective.gen.channels = (32, 64, 128, 256, 256, 256)
  config.objective.disc.levels = 3


def gan_only(config: ConfigDict) -> None:
  """Leaves out the L1 term."""
  config.objective.l1_weight = 0.0


def l1_only(config: ConfigDict) -> None:
  """Leaves out the discriminator."""
  config.objective.adversarial_weight = 0.0
  del config.optim['disc']


def paper(config: ConfigDict) -> None:
  """Takes the networks of the paper, for 256 pixels."""
  folder(config)
  config.steps = 80_000  # 200 epochs of the 400 facades
  config.data.common.shape = (256, 256, 3)
  config.objective.gen.channels = (64, 128, 256, 512, 512, 512, 512, 512)
  config.objective.disc.channels = 64
  config.objective.gen.dropout = 0.5
  config.objective.dropout_at_test = True
  config.ema = {}


def test(config: ConfigDict) -> None:
  """Makes it a run of seconds."""
  presets.test(config)
  config.objective.gen.channels = (4, 8)
  config.objective.disc.update(channels=4, levels=1)
  config.evals.grid.num = 4
