"""Prepares MNIST and Fashion-MNIST for TFDS without TensorFlow.

The stock builders of TFDS extract and encode with TensorFlow. This one parses
the original idx files and writes the same examples under the same keys, hence
in the same order, as ArrayRecord.
"""

import contextlib
import hashlib
import http.client
import io
import os
import pathlib
import shutil
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from PIL import Image

from gen_jax.data import inputs
from gen_jax.data.datasets import embedded, mnist
from gen_jax.data.formats import idx
from gen_jax.errors import InputError
from gen_jax.registry.fields import Place
from gen_jax.runtime import timeout

_TIMEOUT = 5.0  # seconds without an answer or a byte


class IdxDataset(NamedTuple):
  """The files of a data set, and its description.

  Attributes:
    files: split -> (images, labels), each a file name and its SHA-256.
    classes: names by label.
    url: of the folder with the files; '' where they ship with gen_jax.
  """

  files: dict[str, tuple[tuple[str, str], tuple[str, str]]]
  classes: tuple[str, ...]
  url: str = ''


DATASETS = {
  'mnist': IdxDataset(
    files=mnist.FILES,
    classes=tuple('0123456789'),
  ),
  'fashion_mnist': IdxDataset(
    url='http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/',
    files={
      'train': (
        (
          'train-images-idx3-ubyte.gz',
          '3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84',
        ),
        (
          'train-labels-idx1-ubyte.gz',
          'a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845',
        ),
      ),
      'test': (
        (
          't10k-images-idx3-ubyte.gz',
          '346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073',
        ),
        (
          't10k-labels-idx1-ubyte.gz',
          '67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5',
        ),
      ),
    },
    classes=(
      'T-shirt/top',
      'Trouser',
      'Pullover',
      'Dress',
      'Coat',
      'Sandal',
      'Shirt',
      'Sneaker',
      'Bag',
      'Ankle boot',
    ),
  ),
}


class IdxBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """Writes the examples of idx files, as the stock builders would."""

  VERSION = tfds.core.Version('3.0.1')  # of the stock builders

  def __init__(
    self,
    name: str,
    splits: dict[str, tuple[np.ndarray, np.ndarray]],
    data_dir: pathlib.Path,
  ) -> None:
    self.name = name
    self._arrays = splits
    super().__init__(data_dir=data_dir, file_format='array_record')

  def _info(self) -> tfds.core.DatasetInfo:
    dataset = DATASETS[self.name]
    features = {
      'image': tfds.features.Image(shape=(28, 28, 1)),
      'label': tfds.features.ClassLabel(names=list(dataset.classes)),
    }
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(features),
      supervised_keys=('image', 'label'),
    )

  def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
    return {k: self._generate_examples(*v) for k, v in self._arrays.items()}

  def _generate_examples(
    self, images: np.ndarray, labels: np.ndarray
  ) -> Iterator[tuple[int, dict[str, Any]]]:
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
      # Encoded here, for TFDS would encode an array with TensorFlow.
      png = io.BytesIO()
      Image.fromarray(image).save(png, 'PNG')
      png.seek(0)
      yield i, {'image': png, 'label': int(label)}


def prepare(
  name: str, data_dir: pathlib.Path, manual_dir: Place | None = None
) -> None:
  """Writes `data_dir/<name>/3.0.1`, in about 15 seconds.

  Args:
    name: a key of `DATASETS`.
    data_dir: the root folder of prepared data sets.
    manual_dir: a folder with the idx files; None takes the embedded ones, or
      downloads.

  Raises:
    InputError: a file is missing or damaged, or the network does not answer
      within some seconds.
  """
  splits = {}
  for split, files in DATASETS[name].files.items():
    images, labels = (
      idx.parse(_read(name, file, sha256, manual_dir), file, 'data.dataset')
      for file, sha256 in files
    )
    splits[split] = images, labels
  try:
    # TFDS prints its progress; standard output belongs to the caller.
    with contextlib.redirect_stdout(sys.stderr):
      IdxBuilder(name, splits, data_dir).download_and_prepare()
  except OSError as e:
    # Another process may have put the same files there in the meantime.
    if not (data_dir / name / '3.0.1' / 'features.json').exists():
      raise InputError(f'data.data_dir: cannot write to {data_dir}: {e}') from e


def _read(name: str, file: str, sha256: str, manual_dir: Place | None) -> bytes:
  dataset = DATASETS[name]
  if manual_dir is not None:
    path = pathlib.Path(manual_dir).expanduser() / file
    with inputs.reading(path, 'data.manual_dir'):
      data = inputs.read_bytes(path)
    origin = str(path)
  elif not dataset.url:
    return embedded.read(f'{name}/{file}', sha256)
  else:
    origin = dataset.url + file
    try:
      data = _download(origin)
    except (OSError, http.client.HTTPException) as e:
      raise InputError(
        f'data.dataset: cannot download {origin} ({e}); put the files '
        f'{", ".join(_file_names(dataset))} into a folder and name it in '
        'data.manual_dir.'
      ) from e
  if hashlib.sha256(data).hexdigest() != sha256:
    raise InputError(f'{origin}: damaged, or not the file that was published.')
  return data


def _file_names(dataset: IdxDataset) -> list[str]:
  return [name for pair in dataset.files.values() for name, _ in pair]


def _download(url: str) -> bytes:
  """Returns the content, or raises OSError after a silence of `_TIMEOUT`."""

  # The timeout of a socket does not limit the look-up of the host's name,
  # which can take a minute without a network.
  def connect():
    return urllib.request.urlopen(url, timeout=_TIMEOUT)

  content = io.BytesIO()
  with timeout.call(connect, _TIMEOUT) as response:
    shown = tqdm.tqdm.wrapattr(
      response,
      'read',
      desc=os.path.basename(url),
      total=int(response.headers.get('Content-Length') or 0),
      disable=None,  # not in log files
    )
    with shown as stream:
      shutil.copyfileobj(stream, content)
  return content.getvalue()
