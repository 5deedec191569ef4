"""Whether pictures fit their captions, by the eyes of a scorer."""

import dataclasses

import jax
import numpy as np

from gen_jax.evaluation.context import Minimum, Task
from gen_jax.evaluation.features import image_text_scorer
from gen_jax.evaluation.figures import captioned
from gen_jax.evaluation.metrics import statistics
from gen_jax.registry.fields import Count, Size


def top(similarity: np.ndarray, choices: int = 10) -> np.ndarray:
  """How likely each picture is nearest to its own caption, [N, N] -> [N].

  Among its own and `choices` - 1 others, drawn evenly without replacement: of
  N - 1 others b are at least as near, and none of them is drawn with
  probability prod_j (N - 1 - b - j) / (N - 1 - j), j < choices - 1. That is the
  mean over all draws.

  Args:
    similarity: of the i-th picture and the j-th caption.
    choices: captions; all if there are fewer.
  """
  count = len(similarity)
  own = np.diagonal(similarity)[:, None]
  nearer = np.sum(similarity >= own, axis=1) - 1  # not the own
  others = count - 1
  out = np.ones(count)
  for j in range(min(choices, count) - 1):
    out *= np.maximum(others - nearer - j, 0) / (others - j)
  return out


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """Cosines of vectors [N, E] and [M, E], [N, M] in float64."""
  a, b = (np.asarray(x, np.float64) for x in (a, b))
  a, b = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
  return a @ b.T


@dataclasses.dataclass(frozen=True)
class Retrieval:
  """How often a picture is nearer to its caption than to nine others.

  By `features/image_text_scorer.py`, over the captions of a split: `accuracy`
  of the model's pictures, `accuracy_real` of the split's images, `share` their
  quotient, and `accuracy_sketch` of stage I, where there are two, whose
  pictures are resized to the others' size.

  `frechet` is the Frechet distance between the vectors of the pictures and of
  the images, `frechet_floor` that between as many training images and those.

  Attributes:
    num: captions; 0 for all.
    copies: pictures of each.
    choices: captions that are chosen from.
    steps: of the scorer's training.
  """

  task: Task
  split: str = 'test'
  num: Count = 0
  copies: Size = 4
  choices: Size = 10
  steps: Size = 2000

  needs = ('encode_text', 'generate')

  def minimum(self):
    return Minimum('train', 2), Minimum(self.split, 2)

  def __post_init__(self):
    image_text_scorer.make_config(self.task.data)

  def run(self, players, key):
    eyes = image_text_scorer.load(self.task.data, self.steps)
    raw = self.task.read(self.split, self.num)
    shape = raw['image'].shape[1:]
    captions = eyes.read(raw['text'])
    texts = captioned.read(self.task, players, captioned.fields_of(raw))
    names = {'accuracy': 'generate', 'accuracy_sketch': 'generate_stage1'}
    values, seen = {}, {}
    for label, name in names.items():
      if name not in self.task.objective.predict_fns():
        continue
      seen[name] = [
        eyes.look(
          captioned.resized(
            captioned.draw(
              self.task, players, texts, jax.random.fold_in(key, copy), name
            ),
            shape,
          )
        )
        for copy in range(self.copies)
      ]
      values[label] = float(
        np.mean(
          [top(cosine(x, captions), self.choices).mean() for x in seen[name]]
        )
      )
    real = eyes.look(raw['image'].astype(np.float32) / 255)
    best = float(top(cosine(real, captions), self.choices).mean())
    yield from values.items()
    yield 'accuracy_real', best
    yield 'share', values['accuracy'] / best
    moments = statistics.moments(real)
    for label, vectors in (
      ('frechet', seen['generate']),
      ('frechet_sketch', seen.get('generate_stage1')),
    ):
      if vectors is not None:
        each = [
          statistics.frechet(statistics.moments(x), moments) for x in vectors
        ]
        yield label, float(np.mean(each))
    train = self.task.read('train', len(real))['image']
    floor = statistics.moments(eyes.look(train.astype(np.float32) / 255))
    yield 'frechet_floor', statistics.frechet(floor, moments)
    warning = statistics.rank_warning(moments, floor)
    if warning:
      yield 'warning', warning
    yield 'captions', len(captions)
    yield 'scorer', eyes.hash


@dataclasses.dataclass(frozen=True)
class Diversity:
  """How much pictures of one caption differ, as the scorer sees them.

  The mean of 1 - cosine over pairs of pictures: `within` a caption, and
  `between` captions. `share` is their quotient: 0 where the code does nothing,
  1 where the caption does nothing.

  Attributes:
    num: captions.
    copies: pictures of each.
    steps: of the scorer's training.
  """

  task: Task
  split: str = 'test'
  num: Count = 50
  copies: Size = 8
  steps: Size = 2000

  needs = ('encode_text', 'generate')

  def minimum(self):
    return (Minimum(self.split, 2),)

  def __post_init__(self):
    image_text_scorer.make_config(self.task.data)

  def run(self, players, key):
    eyes = image_text_scorer.load(self.task.data, self.steps)
    raw = self.task.read(self.split, self.num)
    texts = captioned.read(self.task, players, captioned.fields_of(raw))
    pictures = captioned.draw(
      self.task, players, np.repeat(texts, self.copies, axis=0), key
    )
    vectors = eyes.look(captioned.resized(pictures, raw['image'].shape[1:]))
    caption = np.repeat(np.arange(len(texts)), self.copies)
    values = spread(vectors, caption)
    yield from values.items()
    yield 'share', values['within'] / values['between']
    yield 'scorer', eyes.hash


def spread(vectors: np.ndarray, group: np.ndarray) -> dict[str, float]:
  """Mean 1 - cosine over pairs within groups and between, [N, E] and [N]."""
  far = 1 - cosine(vectors, vectors)
  same = group[:, None] == group
  other = ~np.eye(len(vectors), dtype=bool)
  return {
    'within': float(far[same & other].mean()),
    'between': float(far[~same].mean()),
  }


@dataclasses.dataclass(frozen=True)
class Reals:
  """How often an image is nearer to its caption than to nine others.

  By the model itself, which reads captions and looks at images.

  Attributes:
    num: images; 0 for all.
    choices: captions that are chosen from.
  """

  task: Task
  split: str = 'test'
  num: Count = 0
  choices: Size = 10
  batch_size: Size = 100

  needs = ('encode_text', 'encode_image')

  def minimum(self):
    return (Minimum(self.split, 2),)

  def run(self, players, key):
    read, look = (self.task.predict(name) for name in self.needs)
    vectors = [], []
    batches = self.task.batches(self.split, self.num, self.batch_size, key)
    for batch, count in batches:
      for predict, into in zip((look, read), vectors, strict=True):
        into.append(np.asarray(predict(players, batch))[:count])
    similarity = cosine(*map(np.concatenate, vectors))
    yield 'accuracy', float(top(similarity, self.choices).mean())
    # The other way: whether a caption finds its image.
    yield 'accuracy_of_captions', float(top(similarity.T, self.choices).mean())
