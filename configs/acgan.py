"""Auxiliary classifier GAN on MNIST: a digit that is asked for.

  python -m gen_jax.main --config=configs/acgan.py

Variants: `folder`, your own images, in a folder for each class; `test`.
"""

from gen_jax.config import choose, default, own_images, tiny


def get_config(arg=None):
  """Returns the config, or the variant that `arg` names."""
  config = default()
  config.batch_size = 64
  config.steps = 6000
  config.objective = dict(
    name='acgan.ACGAN',
    gen=dict(
      name='dcgan.Generator',
      shape=None,
      channels=(256, 128, 64),
      kernel=4,
      normalize='batch',
    ),
    disc=dict(
      name='dcgan.Discriminator',
      channels=(64, 128, 256),
      kernel=4,
      normalize='',
      extra=None,
    ),
    latent=100,
    prior='normal',
    loss='non_saturating',
    classes=None,
    weight=1.0,
    augment=(),  # 'color', 'translation', 'cutout', 'deformation'
    penalty='r1',
    penalty_weight=0.02,
    penalty_every=8,
  )
  for player in ('gen', 'disc'):
    config.optim[player] = dict(
      name='adam',
      learning_rate=2e-3,
      b1=0.0,
      b2=0.99,
      schedule='linear',
      lazy_rescale=False,
    )
  config.ema.gen = 0.999
  config.evals = dict(
    samples=dict(name='figures.Samples', every=1000, at_start=True, num=100),
    diversity=dict(name='diversity.Diversity', every=1000, num=500),
    classes=dict(name='conditional.BetweenClasses', every=0),
    accuracy=dict(
      name='conditional_accuracy.LabelAccuracy', every=0, num=10_000
    ),
    fidelity=dict(name='fidelity.Fidelity', every=0, num=10_000),
  )

  def folder():  # images in a folder for each class: --config.data.path=DIR
    own_images(config)
    config.objective.gen.channels = (512, 256, 128, 64)
    config.objective.disc.channels = (64, 128, 256, 512)
    config.objective.penalty_weight = 0.1

  def test():
    tiny(config)
    config.objective.augment = ('color',)
    config.objective.gen.channels = (4,)
    config.objective.disc.channels = (4,)
    for name in ('accuracy', 'fidelity'):
      del config.evals[name]

  choose(arg, dict(folder=folder, test=test))
  return config
