"""The network that measures whether generated emoji fit their captions.

  python -m gen_jax.main --config=configs/image_text_scorer.py

Takes about 8 minutes on one CPU core. A held-out image is nearer to its own
caption than to nine others in 50.5% of the cases. The averaged parameters are
part of the package; evaluators load them, so that nobody has to train it again:

  python -m gen_jax export --workdir=runs/image_text_scorer \
    --out=NAME.safetensors --metric=retrieval/accuracy --dtype=float16

For your own captioned images train `folder` and name its workdir in the
evaluators, for example with `gen_jax evaluate`: --add=retrieval.Retrieval
--config.evals.retrieval.scorer=runs/image_text_scorer

The networks, the seed and the hashes of words differ from those of the encoder
in configs/stackgan.py, so that the model is not measured by what it was trained
with.

Variants:
  folder: your own images with captions; set config.data.path.
  test: a tiny version for the tests.
"""

from ml_collections import ConfigDict

from gen_jax.config import default, presets


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the scorer of emoji, or the variant that `arg` names."""
  config = default()
  config.seed = 1000
  config.steps = 2000
  config.batch_size = 128
  config.log_every = 500
  config.checkpoint.update(every=0, keep=1)
  config.data.name = 'emoji'
  config.data.update(words=24)
  config.objective = dict(
    name='contrastive.Contrastive',
    text=dict(
      name='text.Encoder',
      features=64,
      buckets=10_007,
      width=64,
      hidden=128,
      dropout=0.3,
    ),
    image=dict(
      name='classifier.ConvClassifier',
      classes=64,
      channels=(32, 64, 96, 128),
      kernel=3,
      features=128,
      dropout=0.4,
    ),
    temperature=0.1,
    corruption='deformation',
    level=3.0,
  )
  for player in ('text', 'image'):
    config.optim[player] = dict(
      name='adamw', learning_rate=1e-3, schedule='cosine', weight_decay=1e-2
    )
    config.ema[player] = 1 - 10 / config.steps  # over a tenth of the steps
  config.evals = dict(retrieval=dict(name='retrieval.Reals', every=0))
  return presets.choose(config, arg, folder, test)


def folder(config: ConfigDict) -> None:
  """Trains on your own images with captions, --config.data.path=DIR."""
  config.data.name = 'captioned_folder'
  config.data.update(
    path='', shape=(64, 64, 3), skip_unreadable=False, range=('auto',)
  )


def test(config: ConfigDict) -> None:
  """Trains tiny networks for a few steps."""
  presets.test(config)
  config.data.update(words=6, shape=(16, 16, 3))
  config.objective.text.update(features=8, buckets=64, width=8, hidden=8)
  config.objective.image.update(classes=8, channels=(4,), features=8)
