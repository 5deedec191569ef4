r"""Generates images with a trained model.

python -m gen_jax sample --workdir=runs/vae --num=64 --out=samples.png

A model of captions needs them; it generates a row of images for each, or the
way from each to the next:

python -m gen_jax sample --workdir=runs/stackgan --text="a red heart" --num=8
python -m gen_jax sample --workdir=runs/stackgan --text="a red heart" \
  --text="a blue book" --between=8 --num=4

A model that cannot sample but can encode and decode, such as a plain
autoencoder, samples from a mixture of Gaussians over its training latents.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

import annotated_types

from gen_jax import config as config_lib
from gen_jax.commands import cli
from gen_jax.core import Objective, averaged, root_key
from gen_jax.errors import InputError
from gen_jax.evaluation import sampling
from gen_jax.registry.fields import Count, Number, Seed, Size
from gen_jax.runtime import settings
from gen_jax.storage import image_stream, outputs
from gen_jax.training import tasks, trained


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(cli.TrainedRun):
  """The arguments.

  A mixture is fitted to the training images: `overrides` say where these are
  now. Otherwise no data set is opened.
  """

  num: Annotated[int, annotated_types.Ge(1), 'number of images, 1 or more'] = 64
  seed: Annotated[Seed, 'seed of the samples, 0 or more'] = 0
  label: Annotated[
    str | None, 'class of the images, by name or number (default: all)'
  ] = None
  text: Annotated[
    tuple[str, ...], 'caption of --num images; may be given again'
  ] = ()
  between: Annotated[
    Count, 'number of images between each --text and the next'
  ] = 0
  components: Annotated[
    Size | None,
    'sample from a mixture of this many Gaussians, fitted to the latents of '
    'the training images (default for models without a prior: '
    f'{sampling.COMPONENTS})',
  ] = None
  psi: Annotated[
    Number | None,
    'truncation of w for a StyleGAN, 0 to 1 (default: that of the config)',
  ] = None
  cutoff: Annotated[
    Count | None,
    'number of layers that are truncated, 0 for all (default: that of the '
    'config)',
  ] = None
  out: Annotated[
    str,
    'what to write: a picture of all images (.png, .jpg, ...), a folder of '
    'pictures (NAME/), or an array of uint8 [N, H, W, C] with the labels [N], '
    'if there are any (.npz)',
  ] = 'samples.png'
  overrides: cli.Overrides = ()


def main(argv: Sequence[str] | None = None) -> int:
  """Writes samples of the newest or a chosen checkpoint."""
  return cli.main(sample, Arguments, __doc__, argv)


def sample(args: Arguments) -> None:
  """Generates `args.num` images; the first ones do not depend on the number.

  Raises:
    InputError: when an argument cannot be used.
  """
  out = outputs.parse(args.out, image_stream.KINDS)
  for field, _ in args.overrides:
    if not config_lib.may_change_in_use(field):
      raise InputError(
        f'--config.{field}: only the precision may change, and where the data '
        'are, such as --config.data.path.'
      )
  settings.configure()
  state, experiment = trained.open_trained(
    args.workdir, args.step, args.overrides
  )
  task, players = tasks.make_task(experiment), averaged(state)
  task = dataclasses.replace(task, objective=_truncated(task.objective, args))
  given = task, players, root_key(args.seed), args.num
  if args.text or 'generate' in task.objective.predict_fns():
    stream = sampling.captioned_samples(*given, args.text, args.between)
  else:
    stream = sampling.samples(*given, args.label, args.components)
  notes = {'step': int(state.step), 'seed': args.seed}
  with outputs.writing(out):
    image_stream.write(out, stream, notes)
  print(f'{out}: {stream.count} samples of step {int(state.step)}')


def _truncated(objective: Any, args: Arguments) -> Objective:
  """Returns the objective with the truncation of --psi and --cutoff."""
  declared = {field.name for field in dataclasses.fields(objective)}
  given = {}
  for flag, value in (('psi', args.psi), ('cutoff', args.cutoff)):
    if value is None:
      continue
    if f'truncation_{flag}' not in declared:
      raise InputError(
        f'--{flag}={value}: {type(objective).__name__} has no truncation.'
      )
    given[f'truncation_{flag}'] = value
  return dataclasses.replace(objective, **given)
