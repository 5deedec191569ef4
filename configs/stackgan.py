"""StackGAN on emoji: images from captions, 32 pixels and then 64.

  python -m gen_jax.main --config=configs/stackgan.py
  python -m gen_jax sample --workdir=runs/stackgan --text="a red heart"

Takes an hour and a half on one shared CPU core. There are three stages: the
text encoder learns which captions belong to which images; stage I generates
small images from captions; stage II generates images of twice the size from
these and the captions.

Variants:
  folder: your own images with captions; set config.data.path. See
    configs/image_text_scorer.py for how to score the results.
  coco: COCO captions of TFDS.
  minilm, folder_minilm: captions encoded by a sentence model; set
    config.data.sentence_model.
  paper: the networks of the paper, 64 and 256 pixels, for the birds or flowers
    of the published release and its vectors of captions; set config.data.path.
  test: a tiny version for the tests.
"""

from typing import Any

from ml_collections import ConfigDict

from gen_jax.config import default, presets

_PLAYERS = ('gen1', 'disc1', 'gen2', 'disc2')


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the default in three stages, or the variant that `arg` names."""
  config = default()
  config.batch_size = 32
  config.data.name = 'emoji'
  config.data.update(words=24)
  config.stages = _encoder_stage(), _stage_1(), _stage_2()
  for player in ('text', 'image'):
    config.optim[player] = dict(
      name='adamw', learning_rate=1e-3, schedule='cosine', weight_decay=1e-2
    )
  presets.adam(
    config,
    dict.fromkeys(_PLAYERS, 1e-3),
    b1=0.0,
    b2=0.99,
    schedule='constant_then_linear',
    lazy_rescale=False,
  )
  variants = folder, coco, minilm, folder_minilm, paper, test
  return presets.choose(config, arg, *variants)


def _text_encoder() -> dict[str, Any]:
  return dict(
    name='text.Encoder',
    features=128,
    buckets=16_384,
    width=96,
    hidden=256,
    dropout=0.2,
  )


def _encoder_stage() -> dict[str, Any]:
  """Returns the stage in which the text encoder is trained."""
  objective = dict(
    name='contrastive.Contrastive',
    text=_text_encoder(),
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
  )
  return {
    'steps': 2000,
    'batch_size': 128,
    'objective': objective,
    'ema': dict(text=0.99, image=0.99),
    'evals': dict(retrieval=dict(name='retrieval.Reals', every=500)),
  }


def _stage_1() -> dict[str, Any]:
  """Returns stage I."""
  disc1 = _discriminator(64, 128, 256)
  return {
    'steps': 7500,
    'objective': _objective('stackgan.StageI', disc1=disc1),
    'ema': dict(gen1=0.998),
    'evals': _evals(),
  }


def _stage_2() -> dict[str, Any]:
  """Returns stage II."""
  gen2 = dict(
    name='stackgan.Refiner',
    shape=(64, 64, None),
    down=(32, 64),
    blocks=2,
    up=(64, 32),
    condition=64,
    skip=True,
  )
  disc2 = _discriminator(32, 64, 128, 256)
  evals = dict(
    combinations=dict(
      name='retrieval.Retrieval', every=0, split='combinations'
    ),
    diversity=dict(name='retrieval.Diversity', every=0, split='test'),
    between=dict(
      name='captioned.Between',
      every=0,
      sentences=('a red heart', 'a blue heart', 'a blue book'),
    ),
  )
  return {
    'steps': 3000,
    'objective': _objective('stackgan.StageII', gen2=gen2, disc2=disc2),
    'ema': dict(gen2=0.998),
    'evals': {**_evals(), **evals},
  }


def _objective(name: str, **networks: Any) -> dict[str, Any]:
  """Returns what the objectives of both stages share, and further networks."""
  gen1 = dict(
    name='stackgan.Generator',
    shape=(32, 32, None),
    channels=(256, 128, 64, 32),
    condition=64,
  )
  return dict(
    name=name,
    text=_text_encoder(),
    gen1=gen1,
    latent_size=100,
    loss='non_saturating',
    regularizers=presets.r1(0.1, every=8),
    matching_aware_weight=0.5,
    kl_weight=1 / 64,
    augment=('translation', 'cutout'),
    **networks,
  )


def _discriminator(*channels: int) -> dict[str, Any]:
  return dict(
    name='stackgan.Discriminator', channels=channels, text=128, normalize=''
  )


def _evals() -> dict[str, Any]:
  """Returns the evaluators of both stages."""
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
  return dict(
    sentences=dict(name='captioned.Sentences', every=1000, sentences=sentences),
    held_out=dict(name='captioned.HeldOut', every=1000),
    retrieval=dict(name='retrieval.Retrieval', every=0, split='test'),
    sharpness=dict(name='sharpness.Sharpness', every=0, split='test'),
  )


def folder(config: ConfigDict) -> None:
  """Trains on your own images with captions, --config.data.path=DIR."""
  config.data.name = 'captioned_folder'
  config.data.update(
    path='', shape=(64, 64, 3), skip_unreadable=False, range=('auto',)
  )
  _remove_evals(config, 'retrieval', 'combinations', 'diversity')


def coco(config: ConfigDict) -> None:
  """Trains on COCO, which TFDS prepares; see gen_jax/data/datasets/tfds.py."""
  config.data.name, config.data.test = 'tfds', 'validation[:2000]'
  config.data.update(
    dataset='coco_captions',
    data_dir=None,
    shape=(64, 64, 3),
    text='captions/text',
  )
  _remove_evals(config, 'retrieval', 'combinations', 'diversity')


def minilm(config: ConfigDict) -> None:
  """Uses a sentence model, --config.data.sentence_model=DIR."""
  config.data.sentence_model = ''
  _use_embeddings(config)


def folder_minilm(config: ConfigDict) -> None:
  """Uses a sentence model for your own images with captions."""
  folder(config)
  minilm(config)


def paper(config: ConfigDict) -> None:
  """Uses the networks of the paper, --config.data.path=DIR/birds."""
  config.batch_size = 64
  config.data.name = 'stackgan_release'
  config.data.update(path='', shape=(256, 256, 3), embeddings=True)
  config.data.flip = True
  _use_embeddings(config)
  first, second = objectives = [s['objective'] for s in config.stages]
  for objective in objectives:
    objective.update(augment=(), regularizers={})
    objective['gen1'].update(
      shape=(64, 64, None), channels=(1024, 512, 256, 128, 64), condition=128
    )
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
  for player in _PLAYERS:
    config.optim[player].update(learning_rate=2e-4, b1=0.5, b2=0.999)
  for stage in config.stages:
    stage['steps'] = 83_000  # 600 epochs of the birds
  names = 'sentences', 'between', 'retrieval', 'combinations', 'diversity'
  _remove_evals(config, *names)


def _use_embeddings(config: ConfigDict) -> None:
  """Leaves out the text encoder: the data have vectors of captions."""
  config.stages = config.stages[1:]
  for stage in config.stages:
    stage['objective']['text'] = dict(name='text.PrecomputedEmbedding')


def _remove_evals(config: ConfigDict, *names: str) -> None:
  """Removes evaluators, such as those that are for emoji alone."""
  for stage in config.stages[-2:]:
    for name in names:
      stage['evals'].pop(name, None)


def test(config: ConfigDict) -> None:
  """Makes it a tiny version for the tests."""
  presets.test(config)
  config.data.update(words=6, shape=(16, 16, 3))
  encoder, first, second = (s['objective'] for s in config.stages)
  for objective in (encoder, first, second):
    objective['text'].update(features=16, buckets=64, width=8, hidden=8)
  encoder['image'].update(classes=16, channels=(4,), features=8)
  encoder['size'] = 8
  for objective in (first, second):
    objective['gen1'].update(shape=(8, 8, None), channels=(4,), condition=4)
  first['augment'] = ('cutout',)
  first['disc1'].update(channels=(4,), text=4)
  second.update(augment=(), regularizers={})
  second['gen2'].update(
    shape=(16, 16, None), down=(4,), blocks=1, up=(4,), condition=4
  )
  second['disc2'].update(channels=(4,), text=4)
  for stage in config.stages:
    stage.update(steps=3, batch_size=8)
  _remove_evals(config, 'retrieval', 'combinations', 'diversity')
