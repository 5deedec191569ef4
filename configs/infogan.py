"""InfoGAN on MNIST: a category and two numbers that the image tells.

  python -m gen_jax.main --config=configs/infogan.py

Variants: `test`.
"""

from gen_jax.config import choose, default, tiny


def get_config(arg=None):
  """Returns the config, or the variant that `arg` names."""
  config = default()
  config.steps = 8000
  config.objective = dict(
    name='infogan.InfoGAN',
    gen=dict(
      name='dcgan.Generator',
      shape=(28, 28, 1),
      channels=(256, 128, 64),
      kernel=4,
      normalise='batch',
    ),
    disc=dict(
      name='dcgan.Discriminator',
      channels=(32, 64, 128),
      kernel=4,
      normalise='batch',
      extra=10 + 2,
    ),
    latent=62,
    prior='normal',
    loss='non_saturating',
    categories=10,
    continuous=2,
    weight=1.0,
    continuous_weight=0.1,
    augment=(),  # 'color', 'translation', 'cutout'
    penalty='',  # 'r1', 'r2' or 'dragan', for a judge with normalise=''
    penalty_weight=10.0,
    penalty_every=1,
  )
  for player in ('gen', 'disc'):
    # The generator is the faster, as the authors have it.
    rate = 1e-3 if player == 'gen' else 2e-4
    config.optim[player] = dict(
      name='adam', learning_rate=rate, b1=0.5, schedule='constant'
    )
  config.ema.gen = 0.999
  config.evals = dict(
    samples=dict(name='figures.Samples', every=1000, at_start=True),
    diversity=dict(name='diversity.Diversity', every=1000, num=500),
    matching=dict(name='factors.Matching', every=1000),
    sweeps=dict(name='factors.Sweeps', every=2000),
    fidelity=dict(name='fidelity.Fidelity', every=0, num=10_000),
  )

  def test():
    tiny(config)
    config.objective.gen.channels = (8, 4)
    config.objective.disc.channels = (4, 8)
    for name in ('fidelity',):
      del config.evals[name]

  choose(arg, dict(test=test))
  return config
