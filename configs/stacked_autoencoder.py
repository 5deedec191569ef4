"""Stacked autoencoder on MNIST, then a classifier from 100 labels.

  python -m gen_jax.main --config=configs/stacked_autoencoder.py

A stage for each layer, one for all of them unrolled, and one for the classifier
on ten labels a class, drawn by the seed. Variants: `scratch` (the last stage
alone: the same network without pretraining), `test`.
"""

from gen_jax.config import choose, default


def get_config(arg=None):
  """Returns the pretrained classifier, or the variant that `arg` names."""
  config = default()
  config.batch_size = 256
  config.log_every = 250
  widths = (500, 250, 30)
  layers = [f'layer_{index}' for index in range(len(widths))]

  def objective(name, **fields):
    return dict(
      name=f'stacked_autoencoder.{name}',
      shape=(28, 28, 1),
      widths=widths,
      classes=10,
      reconstruction='cross_entropy',
      hidden='relu',
      code='linear',
      noise='masking',
      **fields,
    )

  def adam(learning_rate):
    return dict(
      name='adam',
      learning_rate=learning_rate,
      schedule='cosine',
      warmup=0,
      clip_norm=0.0,
    )

  unsupervised = dict(
    error=dict(name='reconstruction.Error', num=0),
    reconstructions=dict(name='figures.Reconstructions'),
  )
  dictionary = dict(dictionary=dict(name='figures.Dictionary'))
  scatter = dict(scatter=dict(name='latent_figures.Scatter'))
  greedy = [
    {
      'steps': 500,
      'objective': objective('GreedyLayer', amount=0.5, index=index),
      'evals': unsupervised if index else unsupervised | dictionary,
    }
    for index in range(len(widths))
  ]
  unrolled = {
    'steps': 2000,
    'objective': objective('Unrolled', amount=0.5),
    'evals': unsupervised | scatter,
  }
  classifier = {
    'steps': 400,
    'batch_size': 100,
    'data.labels_per_class': (10,),
    'objective': objective('Classifier', amount=0.5),
    'optim': {name: adam(3e-4) for name in layers} | {'classifier': adam(3e-3)},
    'evals': dict(error=dict(name='classification.Error', num=0)) | scatter,
  }
  config.optim = {name: adam(1e-3) for name in layers}
  config.stages = (*greedy, unrolled, classifier)

  def scratch():
    config.stages = (classifier,)

  def test():
    config.log_every = 3
    config.checkpoint.every = 4
    config.data.train, config.data.test = 'train[:64]', 'test[:40]'
    for stage in config.stages:
      stage['steps'] = 3
      stage['batch_size'] = 8
      stage['objective']['widths'] = (16, 12, 4)

  choose(arg, dict(scratch=scratch, test=test))
  return config
