"""Whether generated images fit their captions, as a scorer decides."""

import jax
import numpy as np

from gen_jax.core import Players
from gen_jax.evaluation.context import Results, Task, evaluator
from gen_jax.evaluation.features import image_text_scorer, reference_network
from gen_jax.evaluation.figures import captioned
from gen_jax.evaluation.metrics import statistics
from gen_jax.registry.fields import Count, Fraction, Size


def top(similarity: np.ndarray, choices: int = 10) -> np.ndarray:
  """Returns how likely each image is nearest to its own caption, [N].

  The choice is among its own caption and `choices` - 1 others, which are
  sampled uniformly without replacement. If b of the N - 1 others are at least
  as near, then none of these is sampled with probability
  prod_j (N - 1 - b - j) / (N - 1 - j), j < choices - 1. This is the mean over
  all samples.

  Args:
    similarity: of the i-th image and the j-th caption, [N, N].
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
  """Returns cosines [N, M], float64, of vectors [N, E] and [M, E]."""
  a, b = (np.asarray(x, np.float64) for x in (a, b))
  a, b = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
  return a @ b.T


@evaluator('encode_text', 'generate', train=2, split=2)
class Retrieval:
  """How often a generated image is nearer to its caption than to nine others.

  The scorer of `features/image_text_scorer.py` decides, over the captions of a
  split: `accuracy` is that of the generated images, `accuracy_real` that of the
  images of the split, `accuracy_ratio` their quotient, and `accuracy_stage1`
  that of stage I, where there are two, whose images are resized to the others'
  size.

  `frechet` is the Frechet distance between the vectors of the generated images
  and of the real ones, `frechet_train` the same for as many training images.

  Attributes:
    num: captions; 0 for all.
    copies: pictures of each.
    choices: captions that are chosen from.
    scorer: workdir of a trained `configs/image_text_scorer.py`; '' for the
      scorer of the package.
  """

  task: Task
  split: str = 'test'
  num: Count = 0
  copies: Size = 4
  choices: Size = 10
  scorer: str = ''

  def __post_init__(self) -> None:
    image_text_scorer.load(self.task, self.scorer)

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    scorer = image_text_scorer.load(self.task, self.scorer)
    raw = self.task.read(self.split, self.num)
    shape = raw['image'].shape[1:]
    captions = scorer.encode_captions(raw['text'])
    texts = captioned.read(self.task, players, captioned.fields_of(raw))
    names = {'accuracy': 'generate', 'accuracy_stage1': 'generate_stage1'}
    values, vectors = {}, {}
    for label, name in names.items():
      if name not in self.task.objective.predict_fns():
        continue
      vectors[name] = [
        scorer.encode_images(
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
          [top(cosine(x, captions), self.choices).mean() for x in vectors[name]]
        )
      )
    real = scorer.encode_images(raw['image'].astype(np.float32) / 255)
    best = float(top(cosine(real, captions), self.choices).mean())
    yield from values.items()
    yield 'accuracy_real', best
    yield 'accuracy_ratio', values['accuracy'] / best
    moments = statistics.moments(real)
    for label, copies in (
      ('frechet', vectors['generate']),
      ('frechet_stage1', vectors.get('generate_stage1')),
    ):
      if copies is not None:
        each = [
          statistics.frechet(statistics.moments(x), moments) for x in copies
        ]
        yield label, float(np.mean(each))
    images = self.task.read('train', len(real))['image']
    train = statistics.moments(
      scorer.encode_images(images.astype(np.float32) / 255)
    )
    yield 'frechet_train', statistics.frechet(train, moments)
    warning = statistics.rank_warning(moments, train)
    if warning:
      yield 'warning', warning
    yield 'captions', len(captions)
    yield from reference_network.identity('scorer', scorer)


@evaluator('encode_text', 'generate', split=2)
class Diversity:
  """How much the images of one caption differ, as the scorer measures it.

  The mean of 1 - cosine over pairs of images: `within` a caption, and `between`
  captions. `ratio` is their quotient: 0 where the latents have no effect, 1
  where the caption has none. `between_ratio` divides `between` by the same
  mean for real images.

  Attributes:
    num: captions.
    copies: images of each.
    least: a `between_ratio` below it leads to a warning of mode collapse.
    scorer: workdir of a trained `configs/image_text_scorer.py`; '' for the
      scorer of the package.
  """

  task: Task
  split: str = 'test'
  num: Count = 50
  copies: Size = 8
  least: Fraction = 0.5
  scorer: str = ''

  def __post_init__(self) -> None:
    image_text_scorer.load(self.task, self.scorer)

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    scorer = image_text_scorer.load(self.task, self.scorer)
    raw = self.task.read(self.split, self.num)
    texts = captioned.read(self.task, players, captioned.fields_of(raw))
    pictures = captioned.draw(
      self.task, players, np.repeat(texts, self.copies, axis=0), key
    )
    vectors = scorer.encode_images(
      captioned.resized(pictures, raw['image'].shape[1:])
    )
    caption = np.repeat(np.arange(len(texts)), self.copies)
    values = spread(vectors, caption)
    yield from values.items()
    yield 'ratio', values['within'] / values['between']
    real = scorer.encode_images(raw['image'].astype(np.float32) / 255)
    real = spread(real, np.arange(len(real)))['between']
    ratio = values['between'] / max(real, 1e-12)
    yield 'between_ratio', ratio
    if ratio < self.least:
      yield 'warning', collapse_warning(ratio)
    yield from reference_network.identity('scorer', scorer)


def collapse_warning(ratio: float) -> str:
  """Returns the warning for images of different captions that are alike."""
  return (
    f'images of two captions differ {ratio:.0%} as much as two real images: '
    'mode collapse, unless training has just begun. Try a larger '
    'objective.matching_aware_weight, an R1 penalty in objective.regularizers, '
    'or a smaller learning rate.'
  )


def spread(vectors: np.ndarray, group: np.ndarray) -> dict[str, float]:
  """Returns the mean of 1 - cosine over pairs within groups and between.

  Args:
    vectors: [N, E].
    group: of each vector, [N].
  """
  far = 1 - cosine(vectors, vectors)
  same = group[:, None] == group
  other = ~np.eye(len(vectors), dtype=bool)
  within = far[same & other]
  return {
    'within': float(within.mean()) if within.size else 0.0,
    'between': float(far[~same].mean()),
  }


@evaluator('encode_text', 'encode_image', split=2)
class Reals:
  """How often an image is nearer to its caption than to nine others.

  The model itself embeds captions and images.

  Attributes:
    num: images; 0 for all.
    choices: captions that are chosen from.
  """

  task: Task
  split: str = 'test'
  num: Count = 0
  choices: Size = 10
  batch_size: Size = 100

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    encode = [self.task.predict(f'encode_{k}') for k in ('image', 'text')]
    vectors = self.task.each(
      lambda batch, _: [fn(players, batch) for fn in encode],
      self.split,
      self.num,
      self.batch_size,
      key,
    )
    similarity = cosine(*vectors)
    yield 'accuracy', float(top(similarity, self.choices).mean())
    # The other way: whether a caption finds its image.
    yield 'accuracy_of_captions', float(top(similarity.T, self.choices).mean())
