"""How well a model of some classes detects images of other classes."""

import functools

import jax
import numpy as np

from gen_jax.core import Players
from gen_jax.data.subset import class_index, read_labels
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Results, Task, evaluator
from gen_jax.registry.fields import Count, Size


@evaluator('anomaly_scores', split=2)
class Anomaly:
  """Area under the ROC curve of each anomaly score of the model.

  An image of a class that is not normal is an anomaly. The area is the
  probability that an anomaly scores above a normal image. The average
  precision counts the anomalies as positives, so at chance level it is the
  fraction of anomalies.

  The figure has four pairs of rows, images above their reconstructions, sorted
  by the first score: the most anomalous images of the split, the most normal
  ones, the anomalies with the smallest scores, and the normal images with the
  largest ones.

  Attributes:
    normal: classes, by number or name; those of the training split if empty,
      which `data.classes` chooses.
    num: images of the split; 0 for all.
    draws: evaluations of a random score, such as that of a VAE; their mean
      counts.
    by_class: also the area of each anomalous class against the normal ones.
    shown: images in a row of the figure.
  """

  task: Task
  split: str = 'test'
  normal: tuple[int | str, ...] = ()
  num: Count = 0
  draws: Size = 1
  by_class: bool = False
  shown: Size = 16
  batch_size: Size = 500

  def __post_init__(self) -> None:
    if self.draws < 1:
      raise InputError(
        f'anomaly.Anomaly: draws={self.draws}: expected 1 or more.'
      )
    _ = self._normal  # what is wrong with the classes is found before training

  @functools.cached_property
  def _normal(self) -> np.ndarray:
    """The labels of the normal classes, which some of the split do not have."""
    train, source = self.task.source('train'), self.task.source(self.split)
    for one in (train, source):
      if 'label' not in one.fields:
        raise InputError('config.evals: anomaly.Anomaly needs labeled data.')
    rows = self.task.choose(self.split, self.num)
    present = np.unique(read_labels(source)[rows])
    if self.normal:
      names = source.classes
      count = len(names) or int(present.max()) + 1
      field = 'anomaly.Anomaly: normal'
      normal = [class_index(n, names, count, field) for n in self.normal]
    else:
      normal = np.unique(read_labels(train))
    known = np.isin(present, normal)
    if known.all() or not known.any():
      raise InputError(
        f'anomaly.Anomaly: {"all" if known.all() else "none"} of the split '
        f'{self.split!r} is normal: train on some classes only, such as '
        '--config.data.classes=3, or name them in `normal`.'
      )
    return np.asarray(normal)

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    scores, labels = self._scores(players, key)
    anomalous = ~np.isin(labels, self._normal)
    names = self.task.source(self.split).classes
    names = dict(enumerate(names)) or {k: str(k) for k in np.unique(labels)}
    yield 'normal', ','.join(names[k] for k in self._normal)
    for name, values in scores.items():
      yield f'{name}_auroc', float(roc_auc_score(anomalous, values))
      precision = average_precision_score(anomalous, values)
      yield f'{name}_average_precision', float(precision)
      if not self.by_class:
        continue
      for label in np.unique(labels[anomalous]):
        kept = ~anomalous | (labels == label)
        area = roc_auc_score(anomalous[kept], values[kept])
        yield f'{name}_auroc_{names[label]}', float(area)
    if 'reconstruct' in self.task.objective.predict_fns():
      first = next(iter(scores.values()))
      yield 'anomalies', self._figure(players, key, first, anomalous)

  def _scores(self, players, key):
    """Each score, [N], and the labels, [N]."""
    score = self.task.predict('anomaly_scores')

    def compute(batch, index):
      key_batch = jax.random.fold_in(key, index)
      draws = [
        score(players, batch, key=jax.random.fold_in(key_batch, draw))
        for draw in range(self.draws)
      ]
      scores = jax.tree.map(lambda *x: np.mean(x, axis=0), *draws)
      return scores, batch['label']

    return self.task.each(compute, self.split, self.num, self.batch_size, key)

  def _figure(self, players, key, score, anomalous):
    reconstruct = self.task.predict('reconstruct')
    order = np.argsort(score, kind='stable')  # the most normal first
    groups = (
      order[::-1],
      order,
      order[anomalous[order]],
      order[~anomalous[order]][::-1],
    )
    scored, rows = self.task.choose(self.split, self.num), []
    for group in groups:
      chosen = np.resize(group, self.shown)  # again from the first if few
      batch = self.task.rows(self.split, scored[chosen], key)
      rows += [batch['image'], reconstruct(players, batch, key=key)]
    return self.task.sheet(np.concatenate(rows), self.shown)
