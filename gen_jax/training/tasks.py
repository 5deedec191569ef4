"""Gives evaluators what they need of an experiment."""

from collections.abc import Collection

import jax

from gen_jax.core import averaged
from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import image_shapes
from gen_jax.evaluation.context import Task, TrainedModel
from gen_jax.evaluation.suite import Suite
from gen_jax.training.experiment import Experiment
from gen_jax.training.trained import last_metrics, open_trained


def make_task(experiment: Experiment) -> Task:
  """Returns what the evaluators of an experiment work on."""
  objective = experiment.objective
  data = experiment.config.data.to_dict()
  preprocess = Preprocess(objective.pixels, data['binarize'])
  return Task(
    objective,
    experiment.source,
    preprocess,
    data,
    experiment.described,
    open_model,
  )


def open_model(path: str) -> TrainedModel:
  """Returns the model of a workdir; runs no code that the workdir names.

  Raises:
    InputError: when it is no workdir, or has no checkpoint.
  """
  state, experiment = open_trained(path)
  described = experiment.described
  return TrainedModel(
    experiment.objective,
    averaged(state),
    tuple(image_shapes(described).get('image') or ()),
    tuple(described.classes),
    last_metrics(path),
  )


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
