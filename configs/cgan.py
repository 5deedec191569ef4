"""Conditional GAN on MNIST: a digit that is asked for.

  python -m gen_jax.main --config=configs/cgan.py

45 minutes on one shared CPU core: a Frechet distance of 1.85, and 98.75% of the
digits are read as the one asked for.

Variants: `mismatch`, digits of the data under a wrong label as a further
negative; `dense`, the fully connected form of the paper; `embedding`, classes
as a few learned numbers for each network; `folder`, your own images, in a
folder for each class; `test`.
"""

from gen_jax.config import choose, default, own_images, tiny


def get_config(arg=None):
  """Returns the convolutional conditional GAN, or the variant `arg`."""
  config = default()
  config.batch_size = 64
  config.steps = 6000
  config.objective = dict(
    name='cgan.CGAN',
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
    ),
    latent=100,
    prior='normal',
    loss='non_saturating',
    classes=None,
    mismatch=0.0,
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

  def mismatch():
    config.objective.mismatch = 1.0

  def dense():
    config.objective.gen = dict(
      name='dense.Generator', shape=None, normalize='batch'
    )
    config.objective.disc = dict(name='dense.Discriminator', dropout=0.3)
    config.objective.penalty = ''
    for player in ('gen', 'disc'):
      config.optim[player].update(
        learning_rate=2e-4, b1=0.5, b2=0.999, schedule='constant'
      )

  def embedding():
    for player in ('gen', 'disc'):
      config.objective[player] = dict(
        name='embedding.Embedded',
        network=config.objective[player].to_dict(),
        classes=None,
        features=8,
      )

  def folder():  # images in a folder for each class: --config.data.path=DIR
    own_images(config)
    config.objective.gen.channels = (512, 256, 128, 64)
    config.objective.disc.channels = (64, 128, 256, 512)
    config.objective.penalty_weight = 0.1

  def test():
    tiny(config)
    config.objective.gen.channels = (4,)
    config.objective.disc.channels = (4,)
    config.objective.update(mismatch=1.0, penalty='r1', penalty_every=2)
    for name in ('accuracy', 'fidelity'):
      del config.evals[name]

  variants = (mismatch, dense, embedding, folder, test)
  choose(arg, {f.__name__: f for f in variants})
  return config
