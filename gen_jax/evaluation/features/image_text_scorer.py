"""The network that decides whether an image fits a caption.

It embeds captions and images so that those of a pair are close. It is trained
on the training captions and images alone, with other networks, another seed and
other hashes of words than the encoder of the model that it measures. The
package has one for the emoji. For other captioned data the evaluators name a
workdir of `configs/image_text_scorer.py` in their field `scorer`.
"""

import dataclasses

import numpy as np

from gen_jax.errors import InputError
from gen_jax.evaluation.context import Task
from gen_jax.evaluation.features import reference_network
from gen_jax.evaluation.features.reference_network import ReferenceNetwork

_BATCH = 100
_NEEDS = ('encode_image', 'encode_text')


@dataclasses.dataclass(frozen=True)
class ImageTextScorer:
  """A trained scorer.

  Attributes:
    network: of captions and images.
  """

  network: ReferenceNetwork

  @property
  def hash(self) -> str:
    """Returns 12 hexadecimal digits of a hash of the parameters."""
    return self.network.hash

  @property
  def accuracy(self) -> float:
    """Returns how often an image is nearest to its caption of ten."""
    return self.network.accuracy

  def encode_images(self, images: np.ndarray) -> np.ndarray:
    """Returns vectors [N, E] of images [N, H, W, C] in [0, 1]."""
    return self.network.apply('encode_image', 'image', images, _BATCH)

  def encode_captions(self, captions: np.ndarray) -> np.ndarray:
    """Returns vectors [N, E] of the first of captions [N, K, words, P]."""
    return self.network.apply('encode_text', 'text', captions, _BATCH)


def load(task: Task, workdir: str = '') -> ImageTextScorer:
  """Returns the scorer of the data of a task.

  Args:
    task: whose images are measured.
    workdir: of a trained `configs/image_text_scorer.py`; '' for the scorer of
      the package.

  Raises:
    InputError: when the data has no words, when the package has no scorer of
      these data, or when the scorer takes images of another shape.
  """
  if 'text' not in task.fields:
    raise InputError(
      'config.evals: a score of captions needs their words: set data.words.'
    )
  if workdir:
    network = reference_network.of_workdir(
      task.open_trained, workdir, 'scorer', _NEEDS, 'retrieval/accuracy'
    )
  elif (name := _dataset(task)) != 'emoji':
    raise InputError(
      f'config.evals: the package has no scorer of the data {name!r}. '
      f'{reference_network.how_to_train("scorer")}.'
    )
  else:
    network = reference_network.packaged('emoji_captions')
  shape, _ = task.fields['image']
  if tuple(shape) != network.shape:
    raise InputError(
      f'config.evals: the scorer takes images of the shape {network.shape}, '
      f'and the data has {tuple(shape)}. '
      f'{reference_network.how_to_train("scorer")}.'
    )
  return ImageTextScorer(network)


def _dataset(task: Task) -> str:
  """Returns the name of the data; another style of emoji is other data."""
  name, style = task.data.get('name', ''), task.data.get('style', 'noto')
  return name if style == 'noto' else f'{name}, {style}'
