"""MNIST, complete and embedded: 60,000 train and 10,000 test digits.

LeCun, Cortes and Burges, "The MNIST database of handwritten digits", 1998.
"""

from gen_jax.data.checks import check_split
from gen_jax.data.datasets import embedded
from gen_jax.data.formats import idx, images
from gen_jax.data.sources import Source, array_source

# The four original files, by split: (images, labels), each with its SHA-256.
FILES = {
  'train': (
    (
      'train-images-idx3-ubyte.gz',
      '440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609',
    ),
    (
      'train-labels-idx1-ubyte.gz',
      '3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c',
    ),
  ),
  'test': (
    (
      't10k-images-idx3-ubyte.gz',
      '8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6',
    ),
    (
      't10k-labels-idx1-ubyte.gz',
      'f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6',
    ),
  ),
}


def load(split: str, shape: images.Shape = (28, 28, 1)) -> Source:
  """Returns 'train' or 'test', in the original order.

  Args:
    split: 'train' (60,000 digits) or 'test' (10,000).
    shape: (H, W, C) of the images; another than 28x28x1 resizes them.

  Raises:
    InputError: an unknown split, or an embedded file is damaged.
  """
  shape = images.check_shape(shape)
  check_split(split, FILES, 'mnist')
  image, label = (
    idx.parse(embedded.read(f'mnist/{name}', sha256), name)
    for name, sha256 in FILES[split]
  )
  arrays = {
    'image': images.fit_array(image[..., None], shape),  # [N, H, W, C]
    'label': label.astype('int32'),  # [N]
  }
  return array_source('mnist', split, arrays, tuple('0123456789'))
