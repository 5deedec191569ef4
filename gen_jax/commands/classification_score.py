"""The classification accuracy score of a class-conditional model.

python -m gen_jax classification_score --workdir=runs/cgan \
  --config=configs/classifier.py:samples

A classifier is trained on samples alone; the score is its accuracy on real
images (Ravuri and Vinyals 2019, Classification Accuracy Score for Conditional
Generative Models). It is low when samples lack variants of a class or do not
look like it. Samples and classifier are kept in WORKDIR/classification_score.
"""

import argparse
from collections.abc import Sequence

import numpy as np

from gen_jax import config as config_lib
from gen_jax.commands import cli
from gen_jax.core import averaged, root_key
from gen_jax.errors import InputError
from gen_jax.runtime import settings
from gen_jax.storage import workdir
from gen_jax.training import tasks, trained
from gen_jax.training.loop import train


def main(argv: Sequence[str] | None = None) -> int:
  """Trains a classifier on samples and prints its accuracy on real images."""
  parser = cli.Parser('gen_jax classification_score', description=__doc__)
  parser.add_trained_run()
  parser.add_argument(
    '--config',
    required=True,
    help='of the classifier, such as configs/classifier.py:samples',
  )
  parser.add_argument(
    '--num',
    type=cli.number(int, 1),
    default=60_000,
    help='samples, equally many of each class',
  )
  parser.add_argument('--seed', type=cli.seed, default=0)
  parser.add_argument(
    '--split', default='test', help='of the real images; test by default'
  )
  return cli.run(lambda: score(*parser.read(argv)))


def score(
  args: argparse.Namespace, overrides: Sequence[tuple[str, str]]
) -> float:
  """Returns and prints the score.

  Args:
    args: of the command.
    overrides: fields of the classifier's config.

  Raises:
    InputError: when an argument cannot be used, or the model has no classes.
  """
  config = config_lib.load(args.config)
  config_lib.apply(config, overrides)
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
  folder = workdir.folder(args.workdir) / 'classification_score'
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
