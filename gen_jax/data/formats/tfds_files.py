"""Finds the files of a prepared data set of TensorFlow Datasets."""

import json
import os
import pathlib
import re
import sys
from collections.abc import Iterator
from typing import Any

from gen_jax.errors import InputError, nearest
from gen_jax.registry.fields import Place


def open_builder(
  dataset: str, data_dir: Place | None, manual_dir: Place | None
) -> Any:
  """Returns the builder of a prepared data set, from its files alone.

  The stock builders are not used: they belong to one version of the data, and
  import TensorFlow. MNIST and Fashion-MNIST are prepared if they are not yet.

  Args:
    dataset: its name, also with a version or a configuration.
    data_dir: where it is prepared; None for the default of TFDS.
    manual_dir: a folder with the idx files of MNIST or Fashion-MNIST.

  Raises:
    InputError: it is not prepared, its files are damaged or name code, or TFDS
      is not installed.
  """
  try:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import read_only_builder
  except ImportError as error:
    raise InputError(
      f"data.name='tfds': {error.name} is not installed: pip install "
      "'gen_jax[tfds]'."
    ) from error

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
    + how_to_prepare(dataset, 'DIR')
  )


def open_records(builder: Any, split: str, dataset: str) -> Any:
  """Returns random access to the serialized examples of a split.

  Raises:
    InputError: the files are not ArrayRecord, or one of them is missing.
  """
  import tensorflow_datasets as tfds

  info = builder.info
  if tfds.core.FileFormat.ARRAY_RECORD not in info.available_file_formats():
    raise InputError(
      f'data.dataset: "{builder.data_dir}" has {info.file_format.value} '
      'files, which are not random access; '
      + how_to_prepare(dataset, 'NEW_DIR')
    )
  records = builder.as_data_source(
    split,
    deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES,
    file_format='array_record',
  )
  for file in info.splits[split].filepaths:
    if not file.exists():
      raise InputError(f'data.dataset: {file} is missing; copy it again.')
  return records


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


def how_to_prepare(dataset: str, folder: str) -> str:
  """Returns what to do about a data set that cannot be read, for messages."""
  return (
    f'run `tfds build {dataset} --file_format=array_record '
    f'--data_dir={folder}` on a machine with TensorFlow, copy {folder} here '
    'and name it in data.data_dir.'
  )
