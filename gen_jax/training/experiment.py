"""The objective, data and optimizers that a stage of a config describes."""

import dataclasses
import functools
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from gen_jax import config as config_lib
from gen_jax.config import schema, stages
from gen_jax.config.stages import Stage
from gen_jax.core import Objective, Players, TrainState, stream
from gen_jax.data import splits
from gen_jax.data.opening import base_split, open_split, overlap
from gen_jax.data.pipeline import Preprocess
from gen_jax.data.record import Kept, Record
from gen_jax.data.sources import Described, Source, image_shapes, list_classes
from gen_jax.data.subset import read_labels, select
from gen_jax.distributed import process_group
from gen_jax.errors import DataError, InputError, building, nearest
from gen_jax.registry import builder
from gen_jax.registry.fields import declared
from gen_jax.runtime import memory
from gen_jax.training import freezing, optimizers, step


@dataclasses.dataclass(frozen=True)
class Experiment:
  """One stage's objective, data and optimizers, each made at its first use.

  Attributes:
    stage: of the config.
    kept: what the workdir of a trained run keeps of the data. They are then
      opened only by what needs examples, and have to be the same.
  """

  stage: Stage
  kept: Kept | None = None

  @property
  def config(self) -> ConfigDict:
    """The config of the stage."""
    return self.stage.config

  @functools.cached_property
  def objective(self) -> Objective:
    """The objective of the stage."""
    spec = self.resolve(self.config.objective, 'config.objective')
    precision = self.config.precision
    return builder.build(
      builder.OBJECTIVES,
      spec,
      'config.objective',
      dtype=None if precision == 'float32' else precision,
    )

  def resolve(self, group: Mapping[str, Any], field: str) -> dict[str, Any]:
    """Returns fields of an objective, with the shapes of the stage's data."""
    return builder.resolve(group, field, self._data_values)

  def _data_values(self):
    source = self.described
    shape = image_shapes(source).get('image')
    return {'shape': shape, 'classes': len(source.classes)}

  @property
  def described(self) -> Described:
    """The classes, fields and ranges of the training data, without examples."""
    if self.kept is not None:
      return self.kept.record
    return self.train_source

  @functools.cached_property
  def train_source(self) -> Source:
    """The chosen examples of the training split."""
    data = self.config.data
    source = select(
      self._open(data.train),
      classes=data.classes,
      labels_per_class=data.labels_per_class,
      seed=self.config.seed,
    )
    if self.kept is not None:
      self.kept.check(source)
    return source

  def source(self, split: str) -> Source:
    """Opens a split of the data.

    Args:
      split: its name; 'train' and 'test' are those of the config.

    Raises:
      InputError: when it cannot be opened.
      DataError: when the data of a trained run are away, or are not the same.
    """
    if split == 'train':
      return self.train_source
    if self.kept is not None:
      _ = self.train_source  # which is compared with the record
    return self._open(self.config.data.test if split == 'test' else split)

  def _open(self, split):
    data = self.config.data
    own = declared(schema.Data)
    fields = {k: v for k, v in data.items() if k not in own}
    try:
      return _open(data.name, split, config_lib.to_json(ConfigDict(fields)))
    except InputError as error:
      if self.kept is None:
        raise
      raise DataError(_away(self.config) or str(error)) from error

  @functools.cached_property
  def preprocess(self) -> Preprocess:
    """Returns the preprocessing of raw examples in training."""
    data = self.config.data
    return Preprocess(self.objective.pixels, data.binarize, data.flip)

  def check(self) -> None:
    """Raises InputError for what is wrong anywhere, before work begins."""
    _ = self.objective, self.optimizers
    if not self.objective.updates():
      raise InputError(
        'config.objective: it lacks networks that its training needs. An '
        'imported generator, for example, cannot be trained.'
      )
    step.check_accumulate(self.objective, self.config.accumulate)
    self._check_data()
    # Networks compare the shapes of their images with those of the data.
    with building('the networks'):
      jax.eval_shape(self._jitted_init, jax.random.key(0))
    self._check_memory()

  def check_step(self) -> None:
    """Raises InputError when a step cannot be made of these networks."""
    state, batch = self.abstract_state(), self.abstract_batch()
    with building(f'a step of stage {self.stage.index + 1}'):
      jax.eval_shape(self.train_step(), state, batch)

  def _check_memory(self) -> None:
    """Compares what is certain to be needed with what there is.

    The memory that is certainly needed holds the state with its gradients, and
    a batch as floats.
    """
    state = self.abstract_state()
    trained = [state.players[name] for name in self.optimizers]
    gradients = sum(x.size * 4 for x in jax.tree.leaves(trained))
    memory.check(
      state_bytes(state) + gradients,
      'config.objective: the state of training',
      'take smaller networks',
    )
    part = self.config.batch_size // self.config.accumulate
    devices = 1 if memory.shares_host() else len(process_group.devices())
    values = sum(x.size for x in self.abstract_batch().values())
    memory.check(
      4 * values // self.config.batch_size * part // devices,
      f'config.batch_size={self.config.batch_size}: a batch',
      'take a smaller batch_size, or a larger accumulate',
    )

  def _check_data(self) -> None:
    data, train, test = self.config.data, self.train_source, self.source('test')
    shapes = image_shapes(train), image_shapes(test)
    if shapes[0] != shapes[1]:
      raise InputError(
        f'config.data: images of the split {data.train!r} have the shape '
        f'{shapes[0]}, and those of {data.test!r} {shapes[1]}. Set data.shape.'
      )
    wanted = self.objective.classes
    for source in (train, test):
      count = len(source.classes)
      if wanted and count and wanted != count:
        raise InputError(
          f'config.objective: its networks have {wanted} classes, and the data '
          f'has {list_classes(source.classes)}. Set `classes` to {count}, or '
          'to None for the number of the data.'
        )

  def summary(self) -> str:
    """Describes the training data, with the classes that have no examples.

    A model generates these all the same. Data that is not in memory is not read
    for it.
    """
    source = self.train_source
    lines = [source.summary()]
    if source.classes and source.arrays and 'label' in source.fields:
      counts = np.bincount(read_labels(source), minlength=len(source.classes))
      empty = [n for n, k in zip(source.classes, counts, strict=True) if not k]
      if empty:
        lines.append(f'no examples of {list_classes(empty)}')
    return '\n'.join(lines)

  @property
  def data_record(self) -> Record:
    """Returns the properties of the data that must not change in a workdir."""
    return Record.of(self.train_source)

  def check_batch(self, size: int, local: int) -> None:
    """Raises InputError when the losses cannot be computed for a batch.

    Args:
      size: examples of the batch, or of a part of it where gradients are
        accumulated.
      local: how many of them a loss is computed from; see
        `Parallel.loss_batch_size`.
    """
    for update in self.objective.updates():
      update.check_batch(size, local)

  def selection_warning(self, name: str, split: str) -> str:
    """Returns what is wrong with choosing a checkpoint by a split, or ''.

    A checkpoint is to be chosen on a validation split, or on a part of the
    training split that training leaves out.

    Args:
      name: of the evaluator that chooses.
      split: that it measures; '' for none.
    """
    if not split:
      return ''
    train = self.config.data.train
    base, usual = base_split(train), splits.parse(base_split(split))
    if base_split(split) == base:
      why = 'which has images of data.train'
      held_out = not overlap(split, train, len(self._open(base)))
    else:
      why = 'which is not held out for validation'
      held_out = usual is not None and usual.kind == 'val'
    if held_out:
      return ''
    return (
      f'config.checkpoint.best: the evaluator {name!r} chooses the checkpoint '
      f'by the split {split!r}, {why}, so its results there are better than on '
      f"new data. Set config.data.train='{base}[:90%]' and "
      f"config.evals.{name}.split='{base}[90%:]'."
    )

  def init_players(self) -> Players:
    """Returns the players at the start of the stage."""
    key = jax.random.fold_in(stream(self.config.seed, 'init'), self.stage.index)
    return self._jitted_init(key)

  @functools.cached_property
  def _jitted_init(self):  # traced once, for the check and for its values
    return jax.jit(self._init)

  def _init(self, key):
    # Shapes are all that an initialization may depend on.
    batch = {
      k: jnp.zeros(x.shape, x.dtype) for k, x in self.abstract_batch().items()
    }
    return self.objective.init(key, self.preprocess(batch, key))

  @functools.cached_property
  def _cadences(self):
    """In every how many steps the updates of each player run."""
    every: dict[str, list[int]] = {}
    for update in self.objective.updates():
      for name in update.wrt:
        every.setdefault(name, []).append(update.every)
    return every

  def _updates(self, name, steps):
    """How many updates of a player run in the first steps of the stage."""
    return sum(steps // n for n in self._cadences[name])

  def _main_fraction(self, name):
    """The fraction of a player's updates that descend its main loss."""
    every = self._cadences[name]
    # A regularization is lazy if it runs less often than the main loss.
    fractions = [min(every) / n for n in every]
    return fractions.count(1) / sum(fractions)

  @functools.cached_property
  def optimizers(self) -> Mapping[str, optax.GradientTransformation]:
    """One per player that some update names."""
    spec, every = self.config.optim, self._cadences
    for name in every:
      if name not in spec:
        raise InputError(f'config.optim: no optimizer for player {name!r}.')
    if not self.config.stages:  # else it may be a player of another stage
      for group in ('optim', 'ema'):
        for name in self.config[group]:
          if name not in every:
            raise InputError(
              f'config.{group}.{name}: no update names this player.'
              + nearest(name, every)
            )

    def make(name):
      updates = self._updates(name, self.config.steps)
      main, field = self._main_fraction(name), f'config.optim.{name}'
      made = optimizers.make(spec[name].to_dict(), updates, main, field)
      return freezing.freeze(made, name, self.config.freeze)

    return {name: make(name) for name in every}

  def ending_schedules(self) -> dict[str, str]:
    """Returns the schedules that depend on the end of the stage, by player."""
    found = {
      name: optimizers.ending_schedule(self.config.optim[name])
      for name in self.optimizers
    }
    return {name: schedule for name, schedule in found.items() if schedule}

  def learning_rate(self, name: str, step: int, steps: int) -> float:
    """Returns the learning rate of a player if the stage had so many steps.

    Args:
      name: of the player.
      step: of the stage, from 0.
      steps: of the stage.
    """
    spec, main = self.config.optim[name], self._main_fraction(name)
    rates = optimizers.learning_rate(spec, self._updates(name, steps), main)
    return np.asarray(rates(self._updates(name, step))).item()

  @functools.cached_property
  def ema(self) -> Mapping[str, float]:
    """Decay by player, for the players that this stage trains."""
    return {k: v for k, v in self.config.ema.items() if k in self.optimizers}

  def init_state(self, players: Players) -> TrainState:
    """Returns the state in which the stage starts."""
    return step.init_state(players, self.optimizers, self.ema, self.stage.start)

  def abstract_state(self) -> TrainState:
    """Returns the shapes and dtypes of the stage's states."""
    return jax.eval_shape(
      lambda key: self.init_state(self._jitted_init(key)), jax.random.key(0)
    )

  def abstract_batch(self, *leading: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns the shapes and dtypes of raw batches, [*leading, B, ...]."""
    first = (*leading, self.config.batch_size)
    return {
      name: jax.ShapeDtypeStruct((*first, *shape), dtype)
      for name, (shape, dtype) in self.described.fields.items()
    }

  def train_step(self, objective: step.Trainable | None = None) -> step.Step:
    """Returns `(state, raw batch) -> (state, metrics)`.

    Args:
      objective: whose updates run; that of the stage if None.
    """
    return step.make_train_step(
      objective or self.objective,
      self.optimizers,
      key=stream(self.config.seed, 'train'),
      preprocess=self.preprocess,
      ema=self.ema,
      accumulate=self.config.accumulate,
      start=self.stage.start,
      freeze=self.config.freeze,
    )


def resolve(config: ConfigDict) -> ConfigDict:
  """Returns a config whose objectives have the shapes and classes of its data.

  In `config.objective` and in the objectives of stages, None stands for these;
  see `construction.resolve`. If an evaluator chooses the best checkpoint, it
  gets a validation split; see `_hold_out`.
  """
  config = _hold_out(config.copy_and_resolve_references())
  runs = [Experiment(stage) for stage in stages.plan(config)]
  config.objective = runs[0].resolve(config.objective, 'config.objective')
  config.stages = tuple(
    {**fields, **run.resolve(_of_objective(fields), f'config.stages[{index}]')}
    for index, (run, fields) in enumerate(
      zip(runs, config.stages, strict=False)
    )
  )
  return config


def _hold_out(config):
  """Makes a validation split the default of the evaluator that chooses.

  The last tenth of the training split is left out of training and measured
  instead of the default split of the evaluator, which is that of the reported
  results. A `split` that the config gives, and a slice of training, remain.
  """
  chooser = config.checkpoint.best.partition('/')[0]
  spec = config.evals.get(chooser, {'split': ''})
  field = f'config.evals.{chooser}'
  train = config.data.train
  changed = {name.split('.')[0] for stage in config.stages for name in stage}
  if 'split' in spec or '[' in train or changed & {'data', 'evals'}:
    return config
  name = spec.get('name', '')
  expected = builder.declared_fields(
    builder.EVALUATORS, name, f'{field}.name', 1
  )
  if 'split' in expected:
    spec.split, config.data.train = f'{train}[90%:]', f'{train}[:90%]'
  return config


def _of_objective(fields):
  return {k: v for k, v in fields.items() if k.split('.')[0] == 'objective'}


def _away(config) -> str:
  """Returns a message that names the missing folder of the data, or ''."""
  for field, value in config_lib.places(config).items():
    place = os.path.abspath(os.path.expanduser(value))
    if not os.path.exists(place):
      return (
        f'config.{field}: the data are not in {place}. If they are elsewhere '
        f'now, give their place with --config.{field}=PLACE.'
      )
  return ''


@functools.lru_cache(maxsize=8)
def _open(name, split, fields):  # stages of the same data read it once
  return open_split(name, split, **config_lib.from_json(fields).to_dict())


def state_bytes(state: TrainState) -> int:
  """Returns the bytes of players, optimizers and averages together."""
  return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
