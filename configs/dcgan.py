"""Deep convolutional GAN on MNIST.

  python -m gen_jax.main --config=configs/dcgan.py

The judge's slope costs (R1), which asks for one without batch normalization.
The codes are of a mixture of 32 normals, for digits are in pieces. 49 minutes
on one shared CPU core: a Frechet distance of 1.9 to 2.4, by the samples that
are drawn, coverage .91.

Variants: `paper`, the prior, the judge and the optimizer of the paper; `small`,
the networks of TensorFlow's tutorial; `spectral`, a judge of bounded slope;
`fashion_mnist`; `stacked_mnist`, of 1,000 modes, and `packed`, the same with a
judge of two images at a time; `emoji`, few data, which the judge sees
augmented; `folder`, your own pictures, of 64x64; `test`.
"""

from gen_jax.config import choose, default, own_images, tiny


def get_config(arg=None):
  """Returns the DCGAN, or the variant that `arg` names."""
  config = default()
  config.batch_size = 64
  config.steps = 11_000
  config.objective = dict(
    name='gan.GAN',
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
    prior='mixture',
    components=32,
    radius=8.0,
    loss='non_saturating',
    label=1.0,
    disc_steps=1,
    pack=1,
    augment=(),  # 'color', 'translation', 'cutout', 'deformation'
    penalty='r1',
    penalty_weight=0.02,
    penalty_every=8,
  )
  # Of a judge as fast as the generator the noise is larger than what it tells.
  for player, rate in (('gen', 5e-3), ('disc', 1e-3)):
    config.optim[player] = dict(
      name='adam',
      learning_rate=rate,
      b1=0.0,
      b2=0.99,
      schedule='linear',
      lazy_rescale=False,
    )
  config.ema.gen = 0.999
  config.evals = dict(
    samples=dict(name='figures.Samples', every=1000, at_start=True),
    diversity=dict(name='diversity.Diversity', every=1000, num=500),
    fidelity=dict(
      name='fidelity.Fidelity', every=0, num=10_000, features='classifier'
    ),
  )

  def slowly(learning_rate, b1):
    for player in ('gen', 'disc'):
      config.optim[player].update(
        learning_rate=learning_rate, b1=b1, b2=0.999, schedule='constant'
      )

  def paper():
    config.batch_size = 128
    config.objective.disc.normalize = 'batch'
    config.objective.update(prior='uniform', penalty='')
    slowly(2e-4, 0.5)

  def small():
    config.batch_size = 128
    config.objective.gen = dict(name='dcgan.SmallGenerator')
    config.objective.disc = dict(name='dcgan.SmallDiscriminator')
    config.objective.update(prior='normal', penalty='')
    slowly(1e-4, 0.9)

  def spectral():  # Miyato et al. 2018
    config.objective.disc.normalize = 'spectral'
    config.objective.update(loss='hinge', penalty='')
    for player in ('gen', 'disc'):
      config.optim[player].learning_rate = 2e-3

  def fashion_mnist():  # prepared by TFDS at its first use
    config.data.name = 'tfds'
    config.data.update(dataset='fashion_mnist', data_dir=None, manual_dir=None)

  def stacked_mnist():
    config.steps = 5000
    config.data.name = 'stacked_mnist'
    config.data.resident = 'no'  # put together as they are read
    config.evals.modes = dict(name='mode_coverage.StackedModes', every=2500)
    del config.evals['fidelity']  # the modes are what it is about

  def packed():  # PacDCGAN2 (Lin et al. 2018)
    stacked_mnist()
    config.objective.pack = 2

  def pictures(gen):
    config.objective.prior = 'normal'
    config.objective.gen.channels = gen
    config.objective.disc.channels = tuple(c // 2 for c in gen[::-1])
    config.objective.penalty_weight = 0.1
    config.optim.gen.learning_rate = 2e-3  # of twice the channels
    config.evals.fidelity.features = 'random'  # no classifier knows these

  def emoji():
    config.data.name = 'emoji'
    config.data.shape = (32, 32, 3)
    config.evals.fidelity.num = 1690  # as the training images are
    config.objective.augment = ('translation', 'cutout')
    pictures((512, 256, 128))

  def folder():  # --config.data.path=DIR
    own_images(config)
    pictures((1024, 512, 256, 128))

  def test():
    tiny(config)
    config.objective.gen.channels = (4,)
    config.objective.disc.channels = (4,)
    config.objective.penalty_every = 2
    del config.evals['fidelity']

  variants = (
    paper,
    small,
    spectral,
    fashion_mnist,
    stacked_mnist,
    packed,
    emoji,
    folder,
    test,
  )
  choose(arg, {f.__name__: f for f in variants})
  return config
