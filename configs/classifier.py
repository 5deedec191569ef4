"""The classifier of MNIST that measures generated digits.

  python -m gen_jax.main --config=configs/classifier.py

Evaluators that need it train it themselves, on first use. Variants:
`fashion_mnist`; `folder`, your own images, in a folder for each class; `test`.
"""

from gen_jax.config import choose, default, own_images, tiny
from gen_jax.evaluation.features.reference_classifier import make_config


def get_config(arg=None):
  """Returns the classifier of MNIST, or the variant that `arg` names."""
  config = make_config(default().data, classes=None)

  def fashion_mnist():  # prepared by TFDS at its first use
    config.data.name = 'tfds'
    config.data.update(dataset='fashion_mnist', data_dir=None, manual_dir=None)
    config.update(make_config(config.data, classes=None))

  def folder():  # images in a folder for each class: --config.data.path=DIR
    own_images(config)

  def test():
    tiny(config)
    config.objective.network.update(channels=(4, 8), features=16)

  choose(arg, dict(fashion_mnist=fashion_mnist, folder=folder, test=test))
  return config
