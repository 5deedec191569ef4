"""Any prepared data set of TensorFlow Datasets, read without TensorFlow.

The examples are read at random from ArrayRecord files and decoded by Pillow.
MNIST and Fashion-MNIST are also prepared here; TFDS needs TensorFlow for that,
and so every other data set has to be prepared elsewhere:

  tfds build celeb_a --file_format=array_record --data_dir=DIR

on a machine with TensorFlow; DIR is then copied and named in `data.data_dir`.
"""

import dataclasses
import functools
import json
import os
import pathlib
import re
import sys
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import numpy as np

from gen_jax.data import fingerprints, inputs
from gen_jax.data.checks import check_labels, check_split
from gen_jax.data.formats import images
from gen_jax.data.sources import Fields, Indices, check_indices, describe
from gen_jax.data.text import captions
from gen_jax.errors import InputError, nearest
from gen_jax.registry.fields import Count, Place

_CAPTIONS = 5  # of an image
_LABELS = 10_000  # that are checked when a split is opened


@dataclasses.dataclass(frozen=True, eq=False)
class TfdsSource:
  """A split that streams from ArrayRecord files.

  Attributes:
    name: full name of the data set, with its version.
    split: of the data set.
    records: random access to the serialized examples.
    features: the TFDS features that are read, and no others.
    shape: (H, W, C) of the images.
    image: the field with the image.
    label: the field with the label, or None.
    classes: names by label.
    text: the field with the captions, or None.
    words: that are read of each.
  """

  name: str
  split: str
  records: Any
  features: Any
  shape: images.Shape
  image: str
  label: str | None
  classes: tuple[str, ...] = ()
  text: str | None = None
  words: Count = 0
  arrays: None = None
  labels: None = None

  ranges = MappingProxyType({})  # all images have 8 bits

  @property
  def fields(self) -> Fields:
    fields = {'image': (self.shape, np.dtype(np.uint8))}
    if self.label is not None:
      fields['label'] = ((), np.dtype(np.int32))
    if self.text is not None:
      shape = (_CAPTIONS, self.words, captions.PIECES)
      fields['text'] = (shape, np.dtype(np.int32))
    return fields

  def __len__(self) -> int:
    return len(self.records)

  def __getitems__(self, indices: Indices) -> dict[str, np.ndarray]:
    import tensorflow_datasets as tfds

    indices = check_indices(indices, len(self))
    # The encoded bytes, for TFDS itself would decode in one thread.
    raw = {self.image: tfds.decode.SkipDecoding()}
    out = {'image': np.empty((len(indices), *self.shape), np.uint8)}
    with self._reading():
      examples = [
        self.features.deserialize_example_np(record, decoders=raw)
        for record in self.records.__getitems__(indices.tolist())
      ]
      if self.label is not None:
        out['label'] = self._labels(examples)
      if self.text is not None:
        out['text'] = np.stack(
          [
            captions.repeat(_texts(_pick(e, self.text)), _CAPTIONS, self.words)
            for e in examples
          ]
        )
      encoded = [example[self.image] for example in examples]
      for i, image in enumerate(images.map_threads(self._decode, encoded)):
        out['image'][i] = image
    return out

  def summary(self) -> str:
    return describe(self, self.name, self.split)

  @functools.cached_property
  def fingerprint(self) -> str:
    return fingerprints.digest(
      'tfds',
      [self.name, self.split, len(self), self.classes],
      [self.image, self.label, self.text, self.words, self.shape],
    )

  def check(self) -> None:
    """Raises InputError on labels that are no classes, among 10,000 evenly.

    The others are checked as they are read.
    """
    if self.label is None or not len(self):
      return
    count = min(len(self), _LABELS)
    rows = np.arange(count) * len(self) // count
    alone = _nested(self.label, _pick(self.features, self.label))
    with self._reading():
      examples = [
        alone.deserialize_example_np(record)
        for record in self.records.__getitems__(rows.tolist())
      ]
      self._labels(examples)

  def _reading(self):
    what = f'an example of {self.name} "{self.split}"'
    return inputs.reading(what, 'data.dataset')

  def _labels(self, examples: list[Any]) -> np.ndarray:
    labels = [_pick(example, self.label) for example in examples]
    labels = np.array(labels, np.int32)
    check_labels(labels, self.classes, f'{self.name} "{self.split}"')
    return labels

  def _decode(self, encoded: bytes) -> np.ndarray:
    with images.open_image(encoded) as image:
      return images.fit(image, self.shape)


def load(
  split: str,
  dataset: str,
  data_dir: Place | None = None,
  manual_dir: Place | None = None,
  shape: images.Shape | None = None,
  image: str = 'image',
  label: str | None = 'label',
  text: str | None = None,
  words: Count = 24,
) -> TfdsSource:
  """Returns a split of a prepared data set; prepares MNIST and Fashion-MNIST.

  Args:
    split: as TFDS names it.
    dataset: 'fashion_mnist', 'celeb_a', 'cycle_gan/horse2zebra', or with a
      version, 'lfw:0.1.1'.
    data_dir: where it is prepared; by default where TFDS looks, which is
      $TFDS_DATA_DIR or ~/tensorflow_datasets.
    manual_dir: a folder with the idx files of 'mnist' or 'fashion_mnist',
      which are else downloaded.
    shape: (H, W, C) that the images are cropped and resized to; not needed
      where the data set's images have one size.
    image: the field with the image.
    label: the field with an integer or boolean, 'attributes/Smiling' in a
      nested one. The default is left out where it does not exist.
    text: the field with one caption or several, for 'text': 'captions/text' of
      'coco_captions'. Five of an image are read, some of them again where it
      has fewer.
    words: that are read of each caption.

  Raises:
    InputError: the data set is not prepared, or not as ArrayRecord; or an
      unknown split or field. Nothing here waits for the network longer than
      some seconds.
  """
  import tensorflow_datasets as tfds

  builder = _open(dataset, data_dir, manual_dir)
  with inputs.reading(builder.data_dir, 'data.dataset'):
    info = builder.info
    check_split(split, info.splits, info.full_name)
    if tfds.core.FileFormat.ARRAY_RECORD not in info.available_file_formats():
      raise InputError(
        f'data.dataset: "{builder.data_dir}" has {info.file_format.value} '
        'files, which are not random access; '
        + _how_to_prepare(dataset, 'NEW_DIR')
      )
    features, shape, label, classes = _choose(info, image, label, shape)
    if text is not None:
      captions.check_words(words)
      features = _with_text(info, features, text)
    records = builder.as_data_source(
      split,
      deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES,
      file_format='array_record',
    )
    for file in info.splits[split].filepaths:
      if not file.exists():
        raise InputError(f'data.dataset: {file} is missing; copy it again.')
    source = TfdsSource(
      info.full_name,
      split,
      records,
      features,
      shape,
      image,
      label,
      classes,
      text,
      words,
    )
  source.check()
  return source


def _open(dataset: str, data_dir: str | None, manual_dir: str | None):
  """Returns the builder of a prepared data set, from its files alone.

  The stock builders are not asked: they belong to one version of the data,
  and import TensorFlow.
  """
  import tensorflow_datasets as tfds
  from tensorflow_datasets.core import read_only_builder

  root = pathlib.Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()
  where = root if data_dir else None  # TFDS then looks in several places
  try:
    _check_code(root, dataset)
    try:
      return read_only_builder.builder_from_files(dataset, data_dir=where)
    except tfds.core.DatasetNotFoundError:
      pass
    from gen_jax.data.formats import tfds_idx

    if dataset in tfds_idx.DATASETS:
      tfds_idx.prepare(dataset, root, manual_dir)
      return read_only_builder.builder_from_files(dataset, data_dir=root)
  except InputError:
    raise
  # Damaged files lead to errors of many kinds.
  except Exception as e:
    # TFDS explains in many lines; the first says what happened.
    reason = str(e).strip().split('\n')[0]
    raise InputError(
      f'data.dataset: cannot open "{dataset}" in {root}: {reason}'
      + _similar(dataset)
    ) from e

  name = dataset.split('/')[0].split(':')[0]
  found = root / name
  if found.is_dir():
    parts = ', '.join(sorted(os.listdir(found)))
    raise InputError(
      f'data.dataset: "{dataset}" is not prepared; {found} has: {parts}.'
    )
  if name not in tfds.list_builders(with_community_datasets=False):
    raise InputError(
      f'data.dataset: neither TFDS nor {root} has a data set "{name}".'
      + _similar(name)
    )
  raise InputError(
    f'data.dataset: "{dataset}" is not prepared in {root}; '
    + _how_to_prepare(dataset, 'DIR')
  )


def _check_code(root: pathlib.Path, dataset: str) -> None:
  """Raises InputError when the files of a data set name code to import.

  `features.json` names the class of each feature, and TFDS imports its module,
  whichever it is. The directory may be named by the config of a foreign
  workdir.
  """
  name = re.match(r'\w+', dataset)
  for file in _feature_files(root / name[0]) if name else ():
    for cls in _feature_classes(json.loads(file.read_text())):
      module = cls.rpartition('.')[0]
      own = module.partition('.')[0] == 'tensorflow_datasets'
      if module and not own and module not in sys.modules:
        raise InputError(
          f'data.dataset: {file} names code to import, {cls}. If you trust it, '
          f'import {module} in the file of your config.'
        )


def _feature_files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields every `features.json` below a folder, through links as TFDS does."""
  seen = set()
  for path, folders, files in os.walk(folder, followlinks=True):
    place = os.path.realpath(path)
    if place in seen:  # a link that leads in a circle
      folders.clear()
      continue
    seen.add(place)
    if 'features.json' in files:
      yield pathlib.Path(path) / 'features.json'


def _feature_classes(value: Any) -> Iterator[str]:
  """Yields the names of classes at any depth of a `features.json`."""
  if isinstance(value, list):
    value = dict(enumerate(value))
  if not isinstance(value, dict):
    return
  for key, inner in value.items():
    # In the forms that TFDS reads: today's, protobuf's other, and an older one.
    if key in ('pythonClassName', 'python_class_name', 'type'):
      if isinstance(inner, str):
        yield inner
    yield from _feature_classes(inner)


def _similar(name: str) -> str:
  import tensorflow_datasets as tfds

  known = tfds.list_builders(with_community_datasets=False)
  if name in known:
    return ''
  return nearest(name, known).partition(' Known')[0]  # which are hundreds


def _how_to_prepare(dataset: str, folder: str) -> str:
  return (
    f'run `tfds build {dataset} --file_format=array_record '
    f'--data_dir={folder}` on a machine with TensorFlow, copy {folder} here '
    'and name it in data.data_dir.'
  )


def _choose(info, image: str, label: str | None, shape):
  """Returns the features to read, the shape, the label and its classes."""
  import tensorflow_datasets as tfds

  known = info.features
  pictures = [k for k, v in known.items() if isinstance(v, tfds.features.Image)]
  if image not in pictures:
    raise InputError(
      f'data.image: {info.full_name} has no image "{image}".'
      + nearest(image, pictures)
    )
  if known[image].np_dtype != np.uint8:
    raise InputError(
      f'data.image: "{image}" of {info.full_name} is not of 8 bits.'
    )
  if shape is None:
    shape = known[image].shape
    if None in shape:
      raise InputError(
        f'data.shape: the images of {info.full_name} differ in size; say to '
        'which (height, width, channels) they are resized.'
      )
    try:
      shape = images.check_shape(shape)
    except InputError as error:
      raise InputError(f'{error} It is that of {info.full_name}.') from error
  shape = images.check_shape(shape)

  features = {image: known[image]}
  if label == 'label' and label not in known:
    label = None
  if label is None:
    return tfds.features.FeaturesDict(features), shape, None, ()
  try:
    chosen = _pick(known, label)
    scalar = chosen.shape == () and np.dtype(chosen.np_dtype).kind in 'biu'
  except (KeyError, TypeError, AttributeError):
    scalar = False
  if not scalar:
    raise InputError(
      f'data.label: {info.full_name} has no integer "{label}".'
      + nearest(label, set(known) - {image})
    )
  classes = tuple(getattr(chosen, 'names', None) or ())
  if np.dtype(chosen.np_dtype).kind == 'b':
    classes = ('False', 'True')
  features.update(_nested(label, chosen))
  return tfds.features.FeaturesDict(features), shape, label, classes


def _nested(label: str, feature: Any):
  """One feature, as the examples are: {'attributes': {'Smiling': ...}}."""
  import tensorflow_datasets as tfds

  for part in reversed(label.split('/')):
    feature = tfds.features.FeaturesDict({part: feature})
  return feature


def _with_text(info, features, text: str):
  """Returns the features to read with the one that has the captions."""
  import tensorflow_datasets as tfds

  first, *rest = text.split('/')
  try:
    chosen = info.features[first]
    if rest:  # a sequence of dicts is a dict of sequences
      chosen = getattr(chosen, 'feature', chosen)
      last = _pick(chosen, '/'.join(rest))
    else:
      last = getattr(chosen, 'feature', chosen)
    if not isinstance(last, tfds.features.Text):
      raise TypeError
  except (KeyError, TypeError, AttributeError):
    raise InputError(
      f'data.text: {info.full_name} has no text "{text}".'
      + nearest(text, info.features)
    ) from None
  return tfds.features.FeaturesDict(
    {**dict(features.items()), first: info.features[first]}
  )


def _texts(value: Any) -> list[str]:
  """One caption or several, as text."""
  return [
    x.decode('utf-8', errors='replace') if isinstance(x, bytes) else str(x)
    for x in np.atleast_1d(value).tolist()
  ]


def _pick(example: Any, path: str) -> Any:
  for part in path.split('/'):
    example = example[part]
  return example
