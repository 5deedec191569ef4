"""Any prepared data set of TensorFlow Datasets, read without TensorFlow.

The examples are read at random from ArrayRecord files and decoded by Pillow.
MNIST and Fashion-MNIST are also prepared here; TFDS needs TensorFlow for that,
and so every other data set has to be prepared elsewhere:

  tfds build celeb_a --file_format=array_record --data_dir=DIR

on a machine with TensorFlow; DIR is then copied and named in `data.data_dir`.
"""

from typing import Any, NamedTuple

import numpy as np

from gen_jax.data import inputs
from gen_jax.data.checks import check_labels, check_split
from gen_jax.data.formats import images, tfds_files
from gen_jax.data.sources import Arrays, Fields, Source, describe
from gen_jax.data.text import captions
from gen_jax.errors import InputError, nearest
from gen_jax.registry.fields import Count, Place

_CAPTIONS = 5  # of an image
_LABELS = 10_000  # that are checked when a split is opened


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
) -> Source:
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
  builder = tfds_files.open_builder(dataset, data_dir, manual_dir)
  with inputs.reading(builder.data_dir, 'data.dataset'):
    info = builder.info
    name = info.full_name
    check_split(split, info.splits, name)
    records = tfds_files.open_records(builder, split, dataset)
    shape = _image_shape(info, image, shape)
    label, classes = _classes(info, image, label)
    if text is not None:
      captions.check_words(words)
      _check_text(info, text)
    paths = image, label, text
    reader = _Reader(
      records, f'{name} "{split}"', info.features, paths, shape, classes, words
    )
  reader.check_labels()
  size, fields = len(records), reader.fields()
  return Source(
    size=size,
    fields=fields,
    read=reader.read,
    description=describe(name, split, size, fields, classes),
    identity=lambda: (
      'tfds',
      [name, split, size, classes],
      [image, label, text, words, shape],
    ),
    classes=classes,
  )


class _Reader(NamedTuple):
  """Reads the examples of a split from its ArrayRecord files.

  Attributes:
    records: random access to the serialized examples.
    what: the data set and the split, for messages.
    features: of the data set.
    paths: of the image, the label and the captions; None for a field that is
      not read.
    shape: (H, W, C) of the images.
    classes: names by label.
    words: that are read of each caption.
  """

  records: Any
  what: str
  features: Any
  paths: tuple[str, str | None, str | None]
  shape: images.Shape
  classes: tuple[str, ...]
  words: int

  def fields(self) -> Fields:
    """Returns the shape and dtype of each field of one example."""
    _, label, text = self.paths
    fields: Fields = {'image': (self.shape, np.dtype(np.uint8))}
    if label is not None:
      fields['label'] = ((), np.dtype(np.int32))
    if text is not None:
      shape = (_CAPTIONS, self.words, captions.PIECES)
      fields['text'] = (shape, np.dtype(np.int32))
    return fields

  def check_labels(self) -> None:
    """Raises InputError on labels that are no classes, among 10,000 evenly.

    The others are checked as they are read.
    """
    size, label = len(self.records), self.paths[1]
    if label is not None and size:
      rows = np.arange(min(size, _LABELS)) * size // min(size, _LABELS)
      self.labels(self.examples(rows, (label,)))

  def read(self, rows: np.ndarray) -> Arrays:
    image, label, text = self.paths
    examples = self.examples(rows, self.paths)
    with self._reading():
      encoded = [example[image] for example in examples]
      decoded = list(images.map_threads(self._decode, encoded))
      image_array = np.array(decoded, np.uint8).reshape(-1, *self.shape)
      out: Arrays = {'image': image_array}
      if label is not None:
        out['label'] = self.labels(examples)
      if text is not None:
        some = [_texts(_pick(example, text)) for example in examples]
        tokens = [captions.repeat(x, _CAPTIONS, self.words) for x in some]
        shape = _CAPTIONS, self.words, captions.PIECES
        out['text'] = np.array(tokens, np.int32).reshape(-1, *shape)
    return out

  def examples(self, rows: np.ndarray, paths: tuple) -> list[Any]:
    """Returns some features of some examples, with the encoded image."""
    import tensorflow_datasets as tfds

    # TFDS itself would decode images in one thread.
    raw = {path: tfds.decode.SkipDecoding() for path in self.paths[:1]}
    raw = {path: x for path, x in raw.items() if path in paths}
    features = _select(self.features, paths)
    with self._reading():
      return [
        features.deserialize_example_np(record, decoders=raw)
        for record in self.records.__getitems__(rows.tolist())
      ]

  def labels(self, examples: list[Any]) -> np.ndarray:
    """Returns the labels, int32 [N]; raises InputError on one of no class."""
    labels = [_pick(example, self.paths[1] or '') for example in examples]
    labels = np.array(labels, np.int32)
    check_labels(labels, self.classes, self.what)
    return labels

  def _reading(self):
    return inputs.reading(f'an example of {self.what}', 'data.dataset')

  def _decode(self, encoded: bytes) -> np.ndarray:
    with images.open_image(encoded) as image:
      return images.fit(image, self.shape)


def _image_shape(info, image: str, shape) -> images.Shape:
  """Returns (H, W, C), by default that of the data set's images."""
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
  if shape is not None:
    return images.check_shape(shape)
  if None in known[image].shape:
    raise InputError(
      f'data.shape: the images of {info.full_name} differ in size; say to '
      'which (height, width, channels) they are resized.'
    )
  try:
    return images.check_shape(known[image].shape)
  except InputError as error:
    raise InputError(f'{error} It is that of {info.full_name}.') from error


def _classes(
  info, image: str, label: str | None
) -> tuple[str | None, tuple[str, ...]]:
  """Returns the label, None where it is left out, and its classes."""
  known = info.features
  if label is None or (label == 'label' and label not in known):
    return None, ()
  chosen = _find(known, label)
  is_scalar = getattr(chosen, 'shape', None) == ()
  kind = np.dtype(chosen.np_dtype).kind if is_scalar else 'O'
  if kind not in 'biu':
    raise InputError(
      f'data.label: {info.full_name} has no integer "{label}".'
      + nearest(label, set(known) - {image})
    )
  if kind == 'b':
    return label, ('False', 'True')
  return label, tuple(getattr(chosen, 'names', None) or ())


def _check_text(info, text: str) -> None:
  import tensorflow_datasets as tfds

  chosen = _find(info.features, text, sequences=True)
  if not isinstance(chosen, tfds.features.Text):
    raise InputError(
      f'data.text: {info.full_name} has no text "{text}".'
      + nearest(text, info.features)
    )


def _find(feature: Any, path: str, sequences: bool = False) -> Any:
  """Returns the feature at a path such as 'attributes/Smiling', or None.

  With `sequences`, also one inside of a sequence.
  """
  import tensorflow_datasets as tfds

  for part in path.split('/'):
    if not isinstance(feature, tfds.features.FeaturesDict):
      return None
    feature = feature[part] if part in feature else None
    if sequences and isinstance(feature, tfds.features.Sequence):
      feature = feature.feature
  return feature


def _select(features: Any, paths: tuple) -> Any:
  """Returns the features at some paths, nested as they are."""
  import tensorflow_datasets as tfds

  chosen: dict[str, Any] = {}
  for path in filter(None, paths):
    (first, *rest), feature = path.split('/'), _find(features, path)
    if feature is None or first in chosen:  # of a sequence, or another one
      rest, feature = [], features[first]
    for name in reversed(rest):
      feature = tfds.features.FeaturesDict({name: feature})
    chosen[first] = feature
  return tfds.features.FeaturesDict(chosen)


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
