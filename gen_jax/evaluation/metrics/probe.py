"""How well the class can be predicted from the latents."""

import warnings

import jax

from gen_jax.core import Players
from gen_jax.evaluation.context import Minimum, Results, Task, evaluator
from gen_jax.registry.fields import Count, Size


@evaluator('encode')
class Probe:
  """Accuracy of simple classifiers on the latents, and on PCA of their size.

  PCA is left out when there are more latents than pixels.

  A linear one (multinomial logistic regression) and the nearest neighbors, on
  standardized latents; trained on `num` images of the training split.

  Attributes:
    num: training images.
    neighbors: of the nearest-neighbor classifier.
  """

  task: Task
  split: str = 'test'
  num: Count = 10_000
  neighbors: Size = 5
  batch_size: Size = 500

  def minimum(self) -> tuple[Minimum, ...]:
    """Returns the smallest splits that it can be computed on."""
    return Minimum('train', self.neighbors, classes=2), Minimum(self.split)

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    from sklearn.decomposition import PCA

    sets = (('train', self.num), (self.split, 0))
    (train, labels, raw_train), (test, truth, raw_test) = (
      self.task.latents(players, split, num, self.batch_size, key)
      for split, num in sets
    )
    raw_train, raw_test = (x.reshape(len(x), -1) for x in (raw_train, raw_test))
    yield from self._score('', train, labels, test, truth)
    if train.shape[1] >= raw_train.shape[1]:
      return  # an overcomplete PCA is the identity
    pca = PCA(min(train.shape[1], *raw_train.shape), random_state=0)
    projected = pca.fit_transform(raw_train)
    yield from self._score(
      'pca_', projected, labels, pca.transform(raw_test), truth
    )

  def _score(self, prefix, train, labels, test, truth):
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    for name, classifier in (
      ('linear_accuracy', LogisticRegression(max_iter=300)),
      ('knn_accuracy', KNeighborsClassifier(self.neighbors)),
    ):
      model = make_pipeline(StandardScaler(), classifier)
      with warnings.catch_warnings():
        # 300 iterations are the protocol; the last digits do not matter.
        warnings.simplefilter('ignore', ConvergenceWarning)
        model.fit(train, labels)
      yield prefix + name, float(model.score(test, truth))
