r"""Names the likeliest class of your own images.

python -m gen_jax classify --workdir=runs/classifier --input=FOLDER \
  --out=classes.csv

The table has a row for each file: its name, the class, and the probability that
the model gives it. The categories that InfoGAN finds without labels have
numbers. An image that cannot be read does not stop the others; those that
failed are named at the end, and the exit code is 2.
"""

import collections
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import jax
import numpy as np

from gen_jax.commands import cli, on_images
from gen_jax.evaluation import own_images
from gen_jax.storage import outputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(on_images.Arguments):
  """The arguments."""

  out: Annotated[str, 'table to write (.csv)']


def main(argv: Sequence[str] | None = None) -> int:
  """Writes the classes of a folder of images."""
  return cli.main(classify, Arguments, __doc__, argv)


def classify(args: Arguments) -> None:
  """Classifies every image below a folder.

  Raises:
    InputError: an argument cannot be used, or some images failed; the others
      have been written.
  """
  out = outputs.parse(args.out, (outputs.CSV,))
  opened = on_images.open_all(args, 'classify')
  fn, objective = opened.task.predict('classify'), opened.task.objective
  # Without labels in the training, categories are not the classes of the data.
  classes = opened.task.classes if objective.classes else ()
  failures, counts = {}, collections.Counter()

  def compute(given: own_images.Given) -> np.ndarray:
    logits = np.asarray(fn(opened.players, given.batch))
    return np.asarray(jax.nn.softmax(logits, axis=-1))

  def rows() -> Iterator[list[Any]]:
    for path, probabilities, failure in opened.images.each(compute):
      if failure:
        failures[path] = failure
        continue
      label = int(np.argmax(probabilities))
      name = classes[label] if label < len(classes) else str(label)
      counts[name] += 1
      probability = f'{probabilities[label]:.6f}'
      yield [opened.listed.name(path), name, probability]

  count = on_images.write_table(out, ['name', 'class', 'probability'], rows())
  line = f'{out}: classes of {count} images, step {opened.step}'
  for name, number in sorted(counts.items(), key=lambda x: (-x[1], x[0])):
    line += f'\n  {number} {on_images.printable(name)}'
  on_images.finish(opened.listed, failures, 'classified', line)
