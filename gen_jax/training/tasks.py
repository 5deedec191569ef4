"""Gives evaluators what they need of an experiment."""

from collections.abc import Collection

import jax

from gen_jax.core import averaged
from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import Source
from gen_jax.evaluation.context import Task
from gen_jax.evaluation.suite import Suite
from gen_jax.training.experiment import Experiment


def make_task(experiment: Experiment) -> Task:
  """Returns what the evaluators of an experiment work on."""
  objective = experiment.objective
  data = experiment.config.data.to_dict()

  def source(split: str) -> Source:
    if split == 'train':
      return experiment.train_source
    if split == 'test':
      return experiment.test_source
    return experiment.source(split)

  preprocess = Preprocess(objective.pixels, data['binarize'])
  return Task(objective, source, preprocess, data, experiment.described)


def make_suite(
  experiment: Experiment, only: Collection[str] | None = None
) -> Suite:
  """Returns the evaluators that the config of an experiment names.

  Args:
    experiment: whose players are measured.
    only: names of those that are made; all if None.
  """
  config = experiment.config
  return Suite(make_task(experiment), config.evals, config.seed, only)


def check_suite(suite: Suite, experiment: Experiment) -> None:
  """Raises InputError when the model cannot do what an evaluator needs."""
  batch = jax.eval_shape(
    experiment.preprocess, experiment.abstract_batch(), jax.random.key(0)
  )
  suite.check(averaged(experiment.abstract_state()), batch)
