"""From a source to the batches of a step, as a pure function of (seed, step).

The indices of the images that step t sees follow from the seed and t alone:
a permutation of the data per epoch, cut into batches without a remainder. So
a resume needs no iterator state, and each process reads just its slice. A
small set lives on the devices and is gathered there; a large one streams from
the host. Both give the same batches. What does not belong together, such as the
two domains of a translation, has a permutation of each.
"""

import collections
import concurrent.futures
import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.core import Batch
from gen_jax.data.shuffling import permutation
from gen_jax.data.sources import Source, shuffle_groups

_RESIDENT_BYTES = 2**30
_STREAMED_BYTES = 2**26  # of one dispatch


def indices(
  seed: int, name: str, first: int, count: int, size: int
) -> np.ndarray:
  """Returns the indices of the images shown as number first, first + 1, ...

  Args:
    seed: of the run.
    name: of the stream, so that two domains have different orders.
    first: images shown before.
    count: how many.
    size: of the data set.
  """
  position = np.arange(first, first + count)
  epoch, offset = np.divmod(position, size)
  out = np.empty(count, np.int32)
  for e in np.unique(epoch):
    here = epoch == e
    out[here] = permutation(seed, name, int(e), size)[offset[here]]
  return out


class Batches:
  """The inputs of the train chunk, for any range of steps."""

  def __init__(
    self,
    source: Source,
    *,
    batch_size: int,
    seed: int,
    resident: str = 'auto',
    start_step: int = 0,
    start_images: int = 0,
    process: tuple[int, int] = (0, 1),
  ) -> None:
    """Prepares the batches of one stage.

    Args:
      source: the training split.
      batch_size: over all devices of all processes.
      seed: of the run.
      resident: 'yes', 'no', or 'auto' for sets up to 1 GiB in memory.
      start_step: the stage's first step.
      start_images: images shown before it.
      process: this process's index, and their number.
    """
    self._parts = shuffle_groups(source)
    self._batch_size = batch_size
    self._seed = seed
    self._start = (start_step, start_images)
    self._process = process
    self._stream: _Stream | None = None
    sizes = {k: _example_bytes(x) for k, x in self._parts.items()}
    self._example_bytes = sum(sizes.values())
    self.data: Mapping[str, np.ndarray] | None = None
    whole = sum(sizes[k] * len(x) for k, x in self._parts.items())
    if resident == 'yes' or (resident == 'auto' and whole <= _RESIDENT_BYTES):
      self.data = {}
      for part in self._parts.values():
        self.data |= part.arrays or part.__getitems__(range(len(part)))

  def rows(self, step: int) -> dict[str, np.ndarray]:
    """Returns this process's slice of the indices of a step's batch, by field.

    They differ between fields that have an order of their own.
    """
    found = {}
    for name, part in self._parts.items():
      found |= dict.fromkeys(part.fields, self._rows(step, name, part))
    return found

  def read(self, step: int) -> dict[str, np.ndarray]:
    """Returns this process's slice of a step's batch, from the source."""
    batch = {}
    for name, part in self._parts.items():
      batch |= part.__getitems__(self._rows(step, name, part))
    return batch

  def _rows(self, step: int, name: str, part: Source) -> np.ndarray:
    start_step, start_images = self._start
    process, processes = self._process
    count = self._batch_size // processes
    first = start_images + (step - start_step) * self._batch_size
    return indices(self._seed, name, first + process * count, count, len(part))

  def inputs(self, step: int, count: int, length: int) -> Any:
    """Returns what the train chunk takes for `count` steps from `step` on.

    By field [length, B, ...]: indices for a resident set, else raw batches;
    what lies beyond `count` is not used.
    """
    if self.data is not None:
      inputs = {}
      for name, part in self._parts.items():
        rows = [self._rows(step + t, name, part) for t in range(count)]
        inputs |= dict.fromkeys(part.fields, _padded(rows, length))
      return inputs
    if self._stream is None or self._stream.step != step:
      self.close()
      self._stream = _Stream(self.read, step)
    batches = [self._stream.next() for _ in range(count)]
    return {k: _padded([b[k] for b in batches], length) for k in batches[0]}

  def length(self, steps: int) -> int:
    """Returns how many of `steps` batches to send in one dispatch."""
    if self.data is not None:
      return steps
    one = self._batch_size * self._example_bytes
    return int(np.clip(_STREAMED_BYTES // one, 1, steps))

  def close(self) -> None:
    """Stops reading ahead."""
    if self._stream is not None:
      self._stream.close()
      self._stream = None


def _example_bytes(source):
  return sum(
    math.prod(shape) * np.dtype(dtype).itemsize
    for shape, dtype in source.fields.values()
  )


def _padded(parts, length):
  out = np.empty((length, *parts[0].shape), parts[0].dtype)
  out[: len(parts)] = parts
  out[len(parts) :] = parts[-1]
  return out


class _Stream:
  """Reads the batches of consecutive steps ahead, in a thread."""

  def __init__(
    self, read: Callable[[int], Any], step: int, ahead: int = 8
  ) -> None:
    self.step = step  # of the next batch
    self._read, self._ahead = read, ahead
    self._pool = concurrent.futures.ThreadPoolExecutor(1)
    self._batches = collections.deque(
      self._pool.submit(read, step + i) for i in range(ahead)
    )

  def next(self) -> Any:
    batch = self._batches.popleft().result()
    ahead = self._pool.submit(self._read, self.step + self._ahead)
    self._batches.append(ahead)
    self.step += 1
    return batch

  def close(self) -> None:
    self._pool.shutdown(cancel_futures=True)


@dataclasses.dataclass(frozen=True)
class Preprocess:
  """Raw examples to what the networks see, on the device.

  uint8 images become float32, in [0, 1] for 'unit' pixels or [-1, 1] for
  'symmetric' ones; everything else stays as it is.

  Attributes:
    pixels: 'unit' or 'symmetric'.
    binarize: '' leaves gray values; 'static' sets a pixel to 1 from 128 on;
      'dynamic' draws it anew each time, with its gray value as probability
      (Salakhutdinov and Murray 2008).
    flip: mirror every second image, drawn at random. Off in evaluation.
  """

  pixels: str
  binarize: str = ''
  flip: bool = False

  def __call__(self, batch: Batch, key: jax.Array) -> Batch:
    """Returns the batch that the networks take."""
    out = {}
    for index, (name, x) in enumerate(sorted(batch.items())):
      if x.dtype == jnp.uint8 and x.ndim == 4:
        x = self._image(x, jax.random.fold_in(key, index))
      out[name] = x
    return out

  def _image(self, x, key):  # [B, H, W, C]
    key_binarize, key_flip = jax.random.split(key)
    if self.binarize == 'static':
      x = (x >= 128).astype(jnp.float32)
    else:
      x = x.astype(jnp.float32) / 255
    if self.binarize == 'dynamic':
      x = jax.random.bernoulli(key_binarize, x).astype(jnp.float32)
    if self.flip:
      mirrored = jax.random.bernoulli(key_flip, shape=(len(x), 1, 1, 1))
      x = jnp.where(mirrored, x[:, :, ::-1], x)
    return x * 2 - 1 if self.pixels == 'symmetric' else x
