"""What another end means for a run that is trained in part, or finished."""

from ml_collections import ConfigDict

from gen_jax.config import stages
from gen_jax.errors import InputError
from gen_jax.training.experiment import Experiment


def check(
  old: ConfigDict, new: ConfigDict, trained: int, where: str, extend: bool
) -> str:
  """Checks that a run may get another end, and says what that changes.

  It always may where no learning rate depends on the end: the run then goes on
  as if it had been that long from the beginning.

  Args:
    old: the config of the run so far.
    new: the same but for the number of steps of its last stage.
    trained: the last step that a checkpoint holds.
    where: the workdir, for messages.
    extend: go on too where learning rates depend on the end.

  Returns:
    One line about the learning rates that depend on it, or ''.

  Raises:
    InputError: when the end lies before what is trained, or learning rates
      depend on it and `extend` is not given.
  """
  before, after = stages.plan(old)[-1], stages.plan(new)[-1]
  if before.end == after.end:
    return ''
  if trained > after.end:
    raise InputError(
      f'workdir {where} is trained to step {trained}, and this config ends at '
      f'step {after.end}: give more steps, or another --workdir.'
    )
  experiment = Experiment(after)
  found = experiment.ending_schedules()
  # Of a stage that has not begun, no update has had another learning rate.
  if trained <= after.start or not found:
    return ''
  if not extend:
    named = ', '.join(f'{k} ({schedule!r})' for k, schedule in found.items())
    raise InputError(
      f'workdir {where} was made for {before.end} steps, now {after.end}, and '
      f'learning rates depend on the end: that of {named}. Give --extend to go '
      'on with other learning rates, or another --workdir.'
    )

  def rate(name, step, stage):
    steps = stage.end - stage.start
    value = experiment.learning_rate(name, step - stage.start, steps)
    return f'{value:.4g}'

  return '; '.join(
    f'the schedule {schedule!r} of {name} now ends at step {after.end} '
    f'instead of {before.end}: its learning rate goes from '
    f'{rate(name, trained, before)} to {rate(name, trained, after)} at step '
    f'{trained}, and to {rate(name, after.end, after)} at the end'
    for name, schedule in found.items()
  )
