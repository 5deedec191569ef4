r"""The classification accuracy score of a class-conditional model.

python -m gen_jax classification_score --workdir=runs/cgan \
  --config=configs/classifier.py:samples

A classifier is trained on samples alone; the score is its accuracy on real
images (Ravuri and Vinyals 2019, Classification Accuracy Score for Conditional
Generative Models). It is low when samples lack variants of a class or do not
look like it. Samples and classifier are kept in WORKDIR/classification_score.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import numpy as np

from gen_jax import config as config_lib
from gen_jax.commands import cli
from gen_jax.core import averaged, root_key
from gen_jax.errors import InputError
from gen_jax.registry.fields import Seed, Size
from gen_jax.runtime import settings
from gen_jax.training import tasks, trained
from gen_jax.training.loop import train


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(cli.TrainedRun, cli.Configured):
  """The arguments; `config` is that of the classifier."""

  num: Annotated[Size, 'number of samples, equally many of each class'] = 60_000
  seed: Annotated[Seed, 'seed of the samples, 0 or more'] = 0
  split: Annotated[str, 'split of the real images'] = 'test'


def main(argv: Sequence[str] | None = None) -> int:
  """Trains a classifier on samples and prints its accuracy on real images."""
  return cli.main(classification_score, Arguments, __doc__, argv)


def classification_score(args: Arguments) -> float:
  """Returns and prints the score.

  Raises:
    InputError: when an argument cannot be used, or the model has no classes.
  """
  config = config_lib.load(args.config)
  config_lib.apply(config, args.overrides)
  settings.configure()
  state, experiment = trained.open_trained(args.workdir, args.step)
  task = tasks.make_task(experiment)
  task.predict('sample_classes')  # fails early without classes
  real = task.read(args.split, 0)
  if 'label' not in real:
    raise InputError(f'--split={args.split}: the images have no labels.')
  labels = np.arange(args.num) % len(task.classes)
  key = root_key(args.seed)
  images = task.samples(averaged(state), args.num, key, labels)
  folder = trained.results_folder(args.workdir, 'classification_score')
  folder.mkdir(parents=True, exist_ok=True)
  file = folder / f'samples_{int(state.step)}_{args.seed}.npz'
  np.savez(
    file,
    train_image=np.round(images * 255).astype(np.uint8),
    train_label=labels,
    test_image=real['image'],
    test_label=real['label'],
  )
  config.data = {**config_lib.default().data, 'name': 'npz', 'path': str(file)}
  _, metrics = train(config, folder / f'{file.stem}_classifier')
  accuracy = metrics['classification/accuracy']
  print(f'classification accuracy score = {accuracy}', flush=True)
  return accuracy
