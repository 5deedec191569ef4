r"""Scores how unfamiliar your own images are to a model.

python -m gen_jax score --workdir=runs/vae --input=FOLDER --out=scores.csv \
  --maps=FOLDER/

The table has a row for each file: its name and each score of the model, larger
for less familiar images. With --maps, a picture for each file shows the image,
its reconstruction and where they differ, from black to yellow. An image that
cannot be read does not stop the others; those that failed are named at the end,
and the exit code is 2.
"""

import dataclasses
import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import jax
import numpy as np

from gen_jax.commands import cli, on_images
from gen_jax.core import Players
from gen_jax.evaluation import own_images, restoration
from gen_jax.evaluation.context import Task
from gen_jax.registry.fields import Size
from gen_jax.storage import outputs
from gen_jax.storage.images import save_image, to_uint8

_SHOWN = 5  # images with the largest scores


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(on_images.Conditioned):
  """The arguments."""

  out: Annotated[str, 'table to write (.csv)']
  maps: Annotated[
    str | None, 'folder of pictures that show where an image is unfamiliar'
  ] = None
  draws: Annotated[
    Size,
    'evaluations of a score with random numbers, such as that of a VAE; their '
    'mean is written',
  ] = 1


def main(argv: Sequence[str] | None = None) -> int:
  """Writes the anomaly scores of a folder of images."""
  return cli.main(score, Arguments, __doc__, argv)


def score(args: Arguments) -> None:
  """Scores every image below a folder.

  Raises:
    InputError: an argument cannot be used, or some images failed; the others
      have been written.
  """
  out = outputs.parse(args.out, (outputs.CSV,))
  folders = {}
  if args.maps is not None:
    maps = outputs.parse(args.maps, (outputs.FOLDER,), '--maps').path
    folders = {'--maps': maps}
  opened = on_images.open_all(args, 'anomaly_scores', folders)
  task, players, images = opened.task, opened.players, opened.images
  pictures = opened.names(folders['--maps']) if folders else {}
  names = _names(task, players, bool(images.labels))
  compute = _scores(task, players, args.draws, bool(pictures))
  failures, ranking = {}, []

  def rows() -> Iterator[list[Any]]:
    for path, value, failure in images.each(compute):
      if failure:
        failures[path] = failure
        continue
      if pictures:
        with outputs.writing(pictures[path]):
          save_image(pictures[path], value['map'])
      name = opened.listed.name(path)
      scores = [float(value['scores'][k]) for k in names]
      ranking.append((scores[0], name))
      yield [name, *scores]

  count = on_images.write_table(out, ['name', *names], rows())
  line = f'{out}: scores of {count} images, step {opened.step}'
  for value, name in heapq.nlargest(_SHOWN, ranking, lambda x: x[0]):
    line += f'\n  {names[0]} {value:.6g}  {on_images.printable(name)}'
  on_images.finish(opened.listed, failures, 'scored', line)


def _names(task: Task, players: Players, labeled: bool) -> list[str]:
  """Returns the names of the scores, the main one first.

  A compiled function returns them in the order of the alphabet.
  """
  fn = task.objective.predict_fns()['anomaly_scores']
  found = []

  def call(players, batch):
    found.extend(fn(players, batch, key=jax.random.key(0)))

  shape, dtype = task.fields['image']
  raw = {'image': np.zeros((1, *shape), dtype)}
  if labeled:
    raw['label'] = np.zeros(1, np.int32)
  jax.eval_shape(call, players, task.preprocess(raw, jax.random.key(0)))
  return found


def _scores(
  task: Task, players: Players, draws: int, maps: bool
) -> Callable[[own_images.Given], Any]:
  """Returns a function of a batch: the scores and, if wanted, the maps."""
  score = task.predict('anomaly_scores')
  reconstruct = own_images.capability(task, 'reconstruct') if maps else None

  def compute(given: own_images.Given) -> dict[str, Any]:
    keys = jax.random.split(given.key, draws)
    found = [score(players, given.batch, key=key) for key in keys]
    result = {'scores': jax.tree.map(lambda *x: np.mean(x, axis=0), *found)}
    if reconstruct is not None:
      made = reconstruct(players, given.batch, key=keys[0])
      restored = to_uint8(np.asarray(made), task.objective.pixels)
      result['map'] = restoration.error_maps(given.images, restored)
    return result

  return compute
