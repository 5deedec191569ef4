"""StackGAN on emoji: pictures from text, 32 pixels and then 64.

  python -m gen_jax.main --config=configs/stackgan.py
  python -m gen_jax sample --workdir=runs/stackgan --text="a red heart"

Three stages: captions and images learn to tell each other apart; stage I draws
small pictures from the captions; stage II draws them again, at twice the size.
An hour and a half on one shared CPU core.

Variants: `folder`, your own pictures with captions, by
`--config.data.path=DIR` (configs/image_text_scorer.py says how to score them);
`coco`, of TFDS; `minilm` and `folder_minilm`, whose captions are read by a
model of sentences in `--config.data.sentence_model=DIR`; `paper`, the networks
of the paper, 64 and 256 pixels, for the birds or flowers of the published
release and its vectors of captions, in DIR; `test`.
"""

from gen_jax.config import choose, default, tiny


def get_config(arg=None):
  """Returns the default in three stages, or the variant that `arg` names."""
  config = default()
  config.batch_size = 32
  config.data.name = 'emoji'
  config.data.update(words=24)

  sentences = (
    'a red heart',
    'a blue heart',
    'a smiling cat',
    'a green book',
    'a crying face',
    'a yellow star',
    'a woman with red hair',
    'the flag of france',
  )
  figures = dict(
    sentences=dict(name='captioned.Sentences', every=1000, sentences=sentences),
    held_out=dict(name='captioned.HeldOut', every=1000),
  )
  numbers = dict(
    retrieval=dict(name='retrieval.Retrieval', every=0, split='test'),
    sharpness=dict(name='sharpness.Sharpness', every=0, split='test'),
  )

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
    shape=(32, 32, None),
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
      corruption='deformation',
      level=2.0,
      size=32,
    ),
    'ema': dict(text=0.99, image=0.99),
    'evals': dict(retrieval=dict(name='retrieval.Reals', every=500)),
  }
  game = dict(
    loss='non_saturating',
    mismatch=0.5,
    augment=('translation', 'cutout'),
    penalty='r1',
    penalty_weight=0.1,
    penalty_every=8,
  )
  stage_1 = {
    'steps': 7500,
    'objective': dict(
      name='stackgan.StageI',
      text=text,
      gen1=gen1,
      disc1=dict(
        name='stackgan.Discriminator',
        channels=(64, 128, 256),
        text=128,
        normalize='',
      ),
      latent=100,
      kl=1 / 64,
      **game,
    ),
    'ema': dict(gen1=0.998),
    'evals': {**figures, **numbers},
  }
  stage_2 = {
    'steps': 3000,
    'objective': dict(
      name='stackgan.StageII',
      text=text,
      gen1=gen1,
      gen2=dict(
        name='stackgan.Refiner',
        shape=(64, 64, None),
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
        normalize='',
      ),
      latent=100,
      kl=1 / 64,
      **game,
    ),
    'ema': dict(gen2=0.998),
    'evals': dict(
      **figures,
      **numbers,
      combinations=dict(
        name='retrieval.Retrieval', every=0, split='combinations'
      ),
      diversity=dict(name='retrieval.Diversity', every=0, split='test'),
      between=dict(
        name='captioned.Between',
        every=0,
        sentences=('a red heart', 'a blue heart', 'a blue book'),
      ),
    ),
  }
  config.stages = (reader, stage_1, stage_2)
  for player in ('text', 'image'):
    config.optim[player] = dict(
      name='adamw', learning_rate=1e-3, schedule='cosine', weight_decay=1e-2
    )
  for player in ('gen1', 'disc1', 'gen2', 'disc2'):
    config.optim[player] = dict(
      name='adam',
      learning_rate=1e-3,
      b1=0.0,
      b2=0.99,
      schedule='constant_then_linear',
      lazy_rescale=False,
    )

  def without_scores():  # the scorer and a split of the package are of emoji
    for stage in (stage_1, stage_2):
      for name in ('retrieval', 'combinations', 'diversity'):
        stage['evals'].pop(name, None)

  def folder():  # --config.data.path=DIR
    config.data.name = 'captioned_folder'
    config.data.update(
      path='', shape=(64, 64, 3), skip_unreadable=False, range=('auto',)
    )
    without_scores()

  def coco():  # prepared by TFDS elsewhere, see gen_jax/data/datasets/tfds.py
    config.data.name, config.data.test = 'tfds', 'validation[:2000]'
    config.data.update(
      dataset='coco_captions',
      data_dir=None,
      shape=(64, 64, 3),
      text='captions/text',
    )
    without_scores()

  def given():
    for stage in (stage_1, stage_2):
      stage['objective']['text'] = dict(name='text.PrecomputedEmbedding')
    config.stages = (stage_1, stage_2)

  def minilm():  # --config.data.sentence_model=DIR
    config.data.sentence_model = ''
    given()

  def folder_minilm():
    folder()
    minilm()

  def paper():  # --config.data.path=DIR/birds
    config.batch_size = 64
    config.data.name = 'stackgan_release'
    config.data.update(path='', shape=(256, 256, 3), embeddings=True)
    config.data.flip = True
    given()
    gen1.update(
      shape=(64, 64, None), channels=(1024, 512, 256, 128, 64), condition=128
    )
    first, second = (s['objective'] for s in (stage_1, stage_2))
    first['disc1'].update(channels=(64, 128, 256, 512), normalize='batch')
    second['gen2'].update(
      shape=(256, 256, None),
      down=(128, 256, 512),
      blocks=4,
      up=(256, 128, 64, 32),
      condition=128,
      skip=False,
    )
    second['disc2'].update(
      channels=(64, 128, 256, 512, 1024, 2048), normalize='batch'
    )
    for player in ('gen1', 'disc1', 'gen2', 'disc2'):
      config.optim[player].update(learning_rate=2e-4, b1=0.5, b2=0.999)
    for stage in (stage_1, stage_2):
      stage['steps'] = 83_000  # 600 epochs of the birds
      stage['objective'].update(augment=(), penalty='')
      for name in ('sentences', 'between'):
        stage['evals'].pop(name, None)
    without_scores()

  def test():
    tiny(config)
    config.data.update(words=6, shape=(16, 16, 3))
    text.update(features=16, buckets=64, width=8, hidden=8)
    gen1.update(shape=(8, 8, None), channels=(4,), condition=4)
    reader, stage_1, stage_2 = (s['objective'] for s in config.stages)
    reader['image'].update(classes=16, channels=(4,), features=8)
    reader['size'] = 8
    stage_1['augment'] = ('cutout',)
    stage_2.update(augment=(), penalty='')
    stage_1['disc1'].update(channels=(4,), text=4)
    stage_2['gen2'].update(
      shape=(16, 16, None), down=(4,), blocks=1, up=(4,), condition=4
    )
    stage_2['disc2'].update(channels=(4,), text=4)
    for stage in config.stages:
      stage.update(steps=3, batch_size=8)
    without_scores()

  variants = (folder, coco, minilm, folder_minilm, paper, test)
  choose(arg, {f.__name__: f for f in variants})
  return config
