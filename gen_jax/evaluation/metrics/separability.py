"""Whether classes are linearly separable in a space of latents."""

import warnings

import jax
import numpy as np
from scipy.special import softmax

from gen_jax.core import Players
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Results, Task, evaluator
from gen_jax.evaluation.features import reference_classifier, reference_network
from gen_jax.registry.fields import Count, Size


@evaluator('sample_latents', 'map_latents', 'synthesize', test=1)
class Separability:
  """Linear separability of Z and of W (Karras et al. 2018, section 4.2).

  For each class, the reference classifier decides which samples belong to it. A
  linear support vector machine predicts the same from the latents, for the half
  of the samples of which the classifier is most certain. The score is
  exp(sum_k H(Y_k | X_k)), where X_k is the prediction and Y_k the decision of
  the classifier. It is 1 where hyperplanes separate the classes. In the paper,
  attributes of faces take the place of classes.

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

  def __post_init__(self) -> None:
    if len(self.task.classes) < 2:
      raise InputError(
        'config.evals: separability.Separability needs labels of two classes '
        'or more, and the data has none.'
      )
    reference_classifier.load(self.task, self.classifier)

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    classifier = reference_classifier.load(self.task, self.classifier)
    latents, w, logits = self._sample(players, key, classifier)
    probabilities = softmax(logits, axis=1)
    spaces = {'z': latents, 'w': w}
    total = dict.fromkeys(spaces, 0.0)
    for p in probabilities.T:
      certain = np.argsort(-np.maximum(p, 1 - p), kind='stable')
      certain = certain[: self.num // 2]
      truth = p[certain] > 0.5
      for name, x in spaces.items():
        total[name] += conditional_entropy(
          predictions(x[certain], truth), truth
        )
    for name, entropy in total.items():
      yield name, float(np.exp(entropy))
    yield from reference_network.identity('classifier', classifier)

  def _sample(self, players, key, classifier):
    """Returns latents [N, Z], w of the last layer [N, W] and logits [N, K]."""
    sample, map_, synthesize = map(
      self.task.predict, ('sample_latents', 'map_latents', 'synthesize')
    )
    parts = []
    for start in range(0, self.num, self.batch_size):
      key_latents, key_noise = jax.random.split(jax.random.fold_in(key, start))
      latents = sample(players, key=key_latents, num=self.batch_size)
      w_plus = map_(players, latents)  # [B, L, W]
      images = self.task.unit(synthesize(players, w_plus, key=key_noise))
      logits, _ = classifier.extract(images)
      parts.append((latents, w_plus[:, -1], logits))
    found = (np.concatenate(x)[: self.num] for x in zip(*parts, strict=True))
    return [x.astype(np.float64) for x in found]


def predictions(latents: np.ndarray, truth: np.ndarray) -> np.ndarray:
  """Returns what a linear support vector machine predicts, bool [N].

  Args:
    latents: on which it is fitted, [N, Z].
    truth: the classes to predict, bool [N].
  """
  from sklearn.exceptions import ConvergenceWarning
  from sklearn.svm import LinearSVC

  if truth.all() or not truth.any():
    return truth
  with warnings.catch_warnings():
    warnings.simplefilter('ignore', ConvergenceWarning)
    return LinearSVC(random_state=0).fit(latents, truth).predict(latents)


def conditional_entropy(predicted: np.ndarray, truth: np.ndarray) -> float:
  """Returns H(truth | predicted) of booleans [N], in nats."""
  joint = np.array(
    [[np.mean((predicted == x) & (truth == y)) for y in (0, 1)] for x in (0, 1)]
  )
  given = joint.sum(axis=1, keepdims=True)
  where = joint > 0
  ratio = np.divide(joint, given, where=where, out=np.ones_like(joint))
  return float(-np.sum(joint * np.log(ratio)))
