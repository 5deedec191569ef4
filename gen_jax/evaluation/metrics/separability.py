"""Whether classes lie apart in a space of codes."""

import dataclasses
import warnings

import jax
import numpy as np

from gen_jax.errors import InputError
from gen_jax.evaluation.context import Minimum, Task
from gen_jax.evaluation.features import reference_classifier
from gen_jax.registry.fields import Count, Size
from gen_jax.storage.writer import to_unit


@dataclasses.dataclass(frozen=True)
class Separability:
  """Linear separability of Z and of W (Karras et al. 2018, section 4.2).

  A reference classifier tells of each sample whether it is of a
  class; of the half of which it is surest a linear support vector machine tells
  the same from the code. The score is exp(sum_k H(Y_k | X_k)), X_k what the
  machine says and Y_k the classifier: 1 where hyperplanes do. There, attributes
  of faces take the place of classes.

  Attributes:
    num: samples, half of which count.
    batch_size: of samples in one dispatch.
    classifier: workdir of a trained `configs/classifier.py`; '' for the
      classifier of the package.
  """

  task: Task
  num: Count = 4000
  batch_size: Size = 250
  classifier: str = ''

  needs = ('sample_latents', 'map_latents', 'synthesize')

  def minimum(self):
    return (Minimum('test'),)

  def __post_init__(self):
    if len(self.task.classes) < 2:
      raise InputError(
        'config.evals: separability.Separability needs labels of two classes '
        'or more, and the data has none.'
      )
    reference_classifier.load(self.task, self.classifier)

  def run(self, players, key):
    classifier = reference_classifier.load(self.task, self.classifier)
    codes, styles, logits = self._draw(players, key, classifier)
    logits -= logits.max(axis=1, keepdims=True)
    shares = np.exp(logits)
    shares /= shares.sum(axis=1, keepdims=True)
    spaces = {'z': codes, 'w': styles}
    total = dict.fromkeys(spaces, 0.0)
    for share in shares.T:
      sure = np.argsort(-np.maximum(share, 1 - share), kind='stable')
      sure = sure[: self.num // 2]
      truth = share[sure] > 0.5
      for name, x in spaces.items():
        total[name] += conditional_entropy(told(x[sure], truth), truth)
    for name, entropy in total.items():
      yield name, float(np.exp(entropy))
    yield 'classifier_hash', classifier.hash
    yield 'classifier_accuracy', classifier.accuracy

  def _draw(self, players, key, classifier):
    """Codes [N, Z], styles of the last layer [N, W] and logits [N, K]."""
    draw, map_, synthesize = map(self.task.predict, self.needs)
    parts = []
    for start in range(0, self.num, self.batch_size):
      key_code, key_noise = jax.random.split(jax.random.fold_in(key, start))
      codes = draw(players, key=key_code, num=self.batch_size)
      styles = map_(players, codes)
      images = synthesize(players, styles, key=key_noise)
      images = to_unit(images, self.task.objective.pixels)
      logits, _ = classifier.extract(images)
      parts.append((codes, styles[:, -1], logits))
    found = (np.concatenate(x)[: self.num] for x in zip(*parts, strict=True))
    return [x.astype(np.float64) for x in found]


def told(codes: np.ndarray, truth: np.ndarray) -> np.ndarray:
  """What a linear support vector machine says of its own examples, [N]."""
  from sklearn.exceptions import ConvergenceWarning
  from sklearn.svm import LinearSVC

  if truth.all() or not truth.any():
    return truth
  with warnings.catch_warnings():
    warnings.simplefilter('ignore', ConvergenceWarning)
    return LinearSVC(random_state=0).fit(codes, truth).predict(codes)


def conditional_entropy(told: np.ndarray, truth: np.ndarray) -> float:
  """H(truth | told) of booleans [N], in nats."""
  joint = np.array(
    [[np.mean((told == x) & (truth == y)) for y in (0, 1)] for x in (0, 1)]
  )
  given = joint.sum(axis=1, keepdims=True)
  where = joint > 0
  ratio = np.divide(joint, given, where=where, out=np.ones_like(joint))
  return float(-np.sum(joint * np.log(ratio)))
