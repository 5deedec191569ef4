"""StyleGAN, growing from 8x8 to 32x32 pixels; in small, on the emoji.

  python -m gen_jax.main --config=configs/stylegan.py

On two cores of an EPYC 8 pixels take under a minute, 16 take six, and 32 forty,
at 125 images a second; what is drawn can be named after half an hour, at step
9,200. More pictures did more for it than more channels: as in the paper they
fall to a half at the last resolution. Of a step of the paper's networks
`python -m gen_jax cost --config=configs/stylegan.py:bfloat16
--config.data.path=DIR` states memory and operations.

A resolution has two stages: in one it fades in, in the other it is all there;
optimizers start anew with each, as in the authors' program. Variants:
`emoji64`; `folder`, your own pictures, to 64x64; `folder256` and `folder1024`,
with the networks of the paper and the batches of its program for one GPU;
`bfloat16`, `folder256` in that precision; `wgan_gp`; `classes`, an emoji of a
category that is asked for; `test`.
"""

from gen_jax.config import choose, default, half_life, own_images, tiny


def get_config(arg=None):
  """Returns the small StyleGAN, or the variant that `arg` names."""
  config = default()
  config.data.name = 'emoji'
  config.data.shape = (32, 32, 3)
  # 64 channels, and 32 at the last resolution.
  networks = dict(fmap_base=512, fmap_max=64, classes=0, dtype=None)
  config.objective = dict(
    name='stylegan.StyleGAN',
    gen=dict(
      name='stylegan.Generator',
      shape=(32, 32, None),
      width=128,
      depth=4,  # 8 and .01 in the paper, for 100 times the images
      lr_mul=0.1,
      noise=False,  # what is drawn has no grain
      **networks,
    ),
    disc=dict(name='progressive.Discriminator', group=4, **networks),
    latent=128,
    fade_in_steps=0,
    style_mixing_prob=0.5,
    w_avg_beta=0.995,
    truncation_psi=1.0,
    truncation_cutoff=0,
    augment=(),  # 'color', 'translation', 'cutout', 'deformation'
    loss='non_saturating',
    penalty='r1',
    penalty_weight=0.1,  # 10 is for the 1024x1024 pixels of the paper
    penalty_every=16,
  )
  for player in ('gen', 'disc'):
    config.optim[player] = dict(
      name='adam',
      learning_rate=5e-3,
      b1=0.0,
      b2=0.99,
      eps=1e-8,
      schedule='constant',
      lazy_rescale=False,  # True as in StyleGAN2, for the penalty's updates
    )
  config.ema.gen = 0.0  # by the stages
  config.log_every = 100
  samples = dict(name='figures.Samples', every=500, at_start=True)
  config.evals = dict(samples=samples)

  def closing(**fidelity):
    """What is looked at when all is grown, beside the samples."""
    looks = dict(
      samples=config.evals.samples.to_dict(),
      fidelity=dict(name='fidelity.Fidelity', **fidelity),
      path_length=dict(name='perceptual_path_length.PathLength', num=2000),
      truncation=dict(name='style_figures.Truncation'),
      mixing=dict(name='style_figures.Mixing'),
      walk=dict(name='style_figures.Walk'),
    )
    if config.objective.gen.noise:
      looks['noise'] = dict(name='style_figures.Noise')
    return looks

  def grow(*rows, average=10_000, players=('gen', 'disc')):
    """Sets the stages.

    Args:
      *rows: resolution, batch size, learning rate, and thousands of images
        while it fades in and after that.
      average: half-life of the generator's average, in images.
      players: whose learning rate it is.
    """
    stages = []
    for index, (size, batch, rate, *thousands) in enumerate(rows):
      for fades, images in zip((True, False), thousands, strict=True):
        if fades and not index:  # the first is there from the start
          continue
        steps = images * 1000 // batch
        if not steps:
          continue
        stages.append(
          {
            'steps': steps,
            'batch_size': batch,
            'objective.gen.shape': (size, size, None),
            'objective.fade_in_steps': steps if fades else 0,
            'ema.gen': half_life(average, batch),
            **{f'optim.{name}.learning_rate': rate for name in players},
          }
        )
    # Of the emoji as many as there are to train on, as for the DCGAN.
    num = 1690 if config.data.name == 'emoji' else 2000
    stages[-1]['evals'] = closing(features='random', num=num)
    config.stages = tuple(stages)

  def small(rate, **options):
    grow(
      (8, 32, rate, 0, 40),
      (16, 32, rate, 20, 60),
      (32, 32, rate, 40, 280),
      **options,
    )

  small(5e-3)

  def pictures(size, name='emoji'):
    config.data.shape = (size, size, 3)
    config.objective.gen.shape = (size, size, None)
    for player in ('gen', 'disc'):  # half the channels at the last resolution
      config.objective[player].fmap_base = 16 * size
    if name == 'folder':  # --config.data.path=DIR
      own_images(config, (size, size, 3))
      config.objective.gen.noise = True

  def emoji64():
    pictures(64)
    grow(
      (8, 32, 5e-3, 0, 60),
      (16, 32, 5e-3, 30, 50),
      (32, 32, 5e-3, 30, 70),
      (64, 16, 5e-3, 40, 100),
    )

  def folder():
    pictures(64, 'folder')
    grow(
      (8, 32, 5e-3, 0, 60),
      (16, 32, 5e-3, 30, 50),
      (32, 32, 5e-3, 50, 100),
      (64, 16, 5e-3, 50, 150),
    )

  def paper(size):
    """The networks and the schedule of appendix C, 600,000 images a phase.

    The batch sizes are those of the authors' program for one GPU.
    """
    pictures(size, 'folder')
    config.objective.update(
      latent=512, style_mixing_prob=0.9, penalty_weight=10.0
    )
    config.objective.gen.update(width=512, depth=8, lr_mul=0.01)
    for player in ('gen', 'disc'):
      config.objective[player].update(fmap_base=8192, fmap_max=512)
    batches = {8: 128, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8, 512: 4}
    rates = {128: 1.5e-3, 256: 2e-3, 512: 3e-3, 1024: 3e-3}
    sizes = [2**n for n in range(3, size.bit_length())]
    rows = [[s, batches.get(s, 4), rates.get(s, 1e-3), 600, 600] for s in sizes]
    rows[-1][-1] = 25_000 - 1200 * (len(rows) - 1)
    config.evals.samples.update(every=10_000, num=16)
    grow(*rows)

  def folder256():
    paper(256)

  def folder1024():
    paper(1024)

  def bfloat16():
    paper(256)
    for player in ('gen', 'disc'):
      config.objective[player].dtype = 'bfloat16'

  def wgan_gp():
    objective = config.objective
    config.optim.critic = config.optim.disc
    objective.critic = objective.disc
    for field in ('disc', 'loss', 'penalty', 'penalty_weight', 'penalty_every'):
      del objective[field]
    del config.optim['disc']
    objective.update(
      name='stylegan.StyleWGAN',
      weight=10.0,
      one_sided=False,
      drift=1e-3,
      n_critic=1,
    )
    small(1e-3, players=('gen', 'critic'))

  def classes():
    for player in ('gen', 'disc'):
      config.objective[player].classes = None

  def test():
    tiny(config)
    config.data.shape = (16, 16, 3)
    for player in ('gen', 'disc'):
      config.objective[player].update(fmap_base=32, fmap_max=4)
    config.objective.update(latent=4, penalty_every=2)
    config.objective.gen.update(width=4, depth=2)
    config.evals.samples.update(every=2, num=4)
    grow((8, 8, 1e-3, 0, 1), (16, 8, 1e-3, 1, 0))
    for stage in config.stages:
      stage['steps'] = 4
    stage.update({'objective.fade_in_steps': 4, 'objective.penalty': ''})
    del stage['evals']

  variants = (
    emoji64,
    folder,
    folder256,
    folder1024,
    bfloat16,
    wgan_gp,
    classes,
    test,
  )
  choose(arg, {f.__name__: f for f in variants})
  return config
