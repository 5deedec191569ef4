"""Generative adversarial network of dense layers on MNIST.

  python -m gen_jax.main --config=configs/gan.py

Variants: `minimax`, the loss that saturates; `ring` and `grid`, mixtures of 8
and 25 Gaussians in the plane, whose modes are counted; `folder`, your own
images; `test`. PacGAN is

  python -m gen_jax.main --config=configs/gan.py:grid --config.objective.pack=2

With --config.steps=15000, a minute or two on 2 shared CPU cores, one run each,
2,500 samples: modes covered, share of high quality, reverse KL in nats.

                  ring                grid
  plain           8   98.1%  .004     23  85.9%  .16
  minimax loss    8   97.5%  .001     25  82.7%  .12
  packs of 2      8   97.4%  .002     23  15.9%  .64

Settings of the mixtures are chosen on seed 0, and results are to be those of
the seeds 1 to 5. Their numbers above are old: they are of seed 0.
"""

from gen_jax.config import choose, default, own_images, tiny


def get_config(arg=None):
  """Returns the dense GAN, or the variant that `arg` names."""
  config = default()
  config.steps = 40_000
  config.objective = dict(
    name='gan.GAN',
    gen=dict(
      name='dense.Generator',
      shape=None,
      hidden=(256, 512, 1024),
      normalize='batch',
      output='tanh',
    ),
    disc=dict(
      name='dense.Discriminator',
      hidden=(512, 256),
      normalize='',
      pieces=1,
      dropout=0.3,
    ),
    latent=100,
    prior='normal',
    loss='non_saturating',
    label=1.0,
    disc_steps=1,
    pack=1,
    augment=(),  # 'color', 'translation', 'cutout', 'deformation'
    # 'r1', 'r2', 'dragan' or 'dragan_uniform', for a judge with normalize=''
    penalty='',
    penalty_weight=10.0,
    penalty_every=1,
  )
  for player in ('gen', 'disc'):
    config.optim[player] = dict(
      name='adam',
      learning_rate=2e-4,
      b1=0.5,
      schedule='constant',
      lazy_rescale=False,
    )
  config.evals = dict(
    samples=dict(name='figures.Samples', every=5000, at_start=True),
    diversity=dict(name='diversity.Diversity', every=5000, num=500),
  )

  def minimax():
    config.objective.loss = 'minimax'

  def plane(mixture):
    config.steps = 20_000
    config.batch_size = 256
    config.log_every = 1000
    config.checkpoint.every = 5000
    config.data.name = 'toy'
    config.data.mixture = mixture
    config.objective.gen.update(
      shape=None, hidden=(128, 128, 128), output='linear', normalize=''
    )
    config.objective.disc.update(hidden=(128, 128, 128), dropout=0.0)
    config.objective.latent = 2
    for player in config.optim:
      config.optim[player].update(learning_rate=1e-3, schedule='linear')
    config.ema.gen = 0.999
    config.evals.modes = dict(name='mode_coverage.Modes', every=5000, num=2500)

  def ring():
    plane('ring')

  def grid():
    plane('grid')

  def folder():  # your own images: --config.data.path=DIR
    own_images(config)

  def test():
    tiny(config)
    config.objective.gen.hidden = (16,)
    config.objective.disc.hidden = (16,)
    config.objective.update(pack=1, label=0.9, disc_steps=2)
    config.ema.gen = 0.9

  variants = (minimax, ring, grid, folder, test)
  choose(arg, {f.__name__: f for f in variants})
  return config
