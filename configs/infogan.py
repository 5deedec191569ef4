"""InfoGAN on MNIST: a category and two numbers that the image tells.

  python -m gen_jax.main --config=configs/infogan.py

The networks and rates are those of the paper's appendix C.1. Its dense layers
count: without them the category came to mean a slant or a thickness, and no
digit.

Variants: `test`.
"""

from gen_jax.config import choose, default, tiny


def get_config(arg=None):
  """Returns the config, or the variant that `arg` names."""
  config = default()
  config.batch_size = 128
  config.steps = 4000
  config.objective = dict(
    name='infogan.InfoGAN',
    gen=dict(
      name='dcgan.Generator',
      shape=(28, 28, 1),
      channels=(128, 64),
      kernel=4,
      normalise='batch',
      hidden=(1024,),
    ),
    disc=dict(
      name='dcgan.Discriminator',
      channels=(64, 128),
      kernel=4,
      normalise='batch',
      hidden=(1024,),
      extra=10 + 2,
    ),
    latent=62,
    prior='uniform',
    loss='non_saturating',
    categories=10,
    continuous=2,
    weight=1.0,
    continuous_weight=0.1,
    augment=(),  # 'color', 'translation', 'cutout', 'deformation'
    penalty='',
  )
  for player, rate in (('gen', 1e-3), ('disc', 2e-4)):
    config.optim[player] = dict(
      name='adam', learning_rate=rate, b1=0.5, b2=0.999, schedule='constant'
    )
  config.ema.gen = 0.995
  config.evals = dict(
    samples=dict(name='figures.Samples', every=1000, at_start=True),
    diversity=dict(name='diversity.Diversity', every=1000, num=500),
    matching=dict(name='factors.Matching', every=500),
    sweeps=dict(name='factors.Sweeps', every=2000),
    fidelity=dict(name='fidelity.Fidelity', every=0, num=10_000),
  )

  def test():
    tiny(config)
    config.objective.gen.update(channels=(8, 4), hidden=(16,))
    config.objective.disc.update(channels=(4, 8), hidden=(16,))
    for name in ('fidelity',):
      del config.evals[name]

  choose(arg, dict(test=test))
  return config
