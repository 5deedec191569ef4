"""StackGAN on emoji: pictures from text, 32 pixels and then 64.

  python -m gen_jax.main --config=configs/stackgan.py
  python -m gen_jax.sample --workdir=runs/stackgan --text="a red heart"

Three stages: captions and images learn to tell each other apart; stage I draws
small pictures from the captions; stage II draws them again, at twice the size.

Variants: `folder`, your own pictures with captions; `paper`, the networks of
the paper, 64 and 256 pixels, for the birds of the published release; `test`.
"""

from gen_jax.config import choose, default, tiny


def get_config(arg=None):
  """Returns the default in three stages, or the variant that `arg` names."""
  config = default()
  config.batch_size = 64
  config.data.name = 'emoji'
  config.data.update(words=24)

  text = dict(
    name='text.Encoder',
    features=128,
    buckets=16_384,
    width=96,
    hidden=256,
    dropout=0.2,
  )
  gen1 = dict(
    name='stackgan.Generator',
    shape=(32, 32, 3),
    channels=(256, 128, 64, 32),
    condition=64,
  )
  reader = {
    'steps': 2000,
    'batch_size': 128,
    'objective': dict(
      name='contrastive.Contrastive',
      text=text,
      image=dict(
        name='classifier.ConvClassifier',
        classes=128,
        channels=(32, 64, 128),
        features=256,
        dropout=0.3,
      ),
      temperature=0.1,
      noise='deformation',
      amount=2.0,
      size=32,
    ),
    'ema': dict(text=0.99, image=0.99),
    'evals': {},
  }
  stage_1 = {
    'steps': 6000,
    'objective': dict(
      name='stackgan.StageI',
      text=text,
      gen1=gen1,
      disc1=dict(
        name='stackgan.Discriminator',
        channels=(64, 128, 256),
        text=128,
        normalise='spectral',
      ),
      latent=100,
      loss='hinge',
      mismatch=0.5,
      kl=1 / 64,
    ),
    'ema': dict(gen1=0.998),
    'evals': {},
  }
  stage_2 = {
    'steps': 4000,
    'batch_size': 32,
    'objective': dict(
      name='stackgan.StageII',
      text=text,
      gen1=gen1,
      gen2=dict(
        name='stackgan.Refiner',
        shape=(64, 64, 3),
        down=(32, 64),
        blocks=2,
        up=(64, 32),
        condition=64,
        skip=True,
      ),
      disc2=dict(
        name='stackgan.Discriminator',
        channels=(32, 64, 128, 256),
        text=128,
        normalise='spectral',
      ),
      latent=100,
      loss='hinge',
      mismatch=0.5,
      kl=1 / 64,
    ),
    'ema': dict(gen2=0.998),
    'evals': {},
  }
  config.stages = (reader, stage_1, stage_2)
  for player in ('text', 'image'):
    config.optim[player] = dict(
      name='adamw', learning_rate=1e-3, schedule='cosine', weight_decay=1e-2
    )
  for player in ('gen1', 'disc1', 'gen2', 'disc2'):
    config.optim[player] = dict(
      name='adam', learning_rate=2e-4, b1=0.5, schedule='constant_then_linear'
    )

  def test():
    tiny(config)
    config.data.words = 6
    for stage in config.stages:
      stage.update(steps=3, batch_size=8)

  choose(arg, dict(test=test))
  return config
