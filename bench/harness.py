"""What every row of the benchmark shares: our side, alternation, numbers.

Both sides run alternately, each in a process of its own (see `side_process`),
with the same allocator settings and cores. Timings drift, so only ratios of
medians over alternating blocks count.

On a machine that is busy with something else, PyTorch can become 70 times
slower, and this code only twice, which would favor this code. So the load of
other processes is measured, and a round that it disturbed is repeated.
"""

import dataclasses
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from gen_jax import config as config_lib
from gen_jax.config import stages
from gen_jax.core import stream
from gen_jax.data.pipeline import Batches
from gen_jax.distributed import mesh
from gen_jax.models.layers import linear
from gen_jax.training import cost
from gen_jax.training.experiment import Experiment
from gen_jax.training.step import make_train_chunk

ROOT = pathlib.Path(__file__).parents[1]
# The part of the machine's time that others may take in a round.
MAX_OTHER_LOAD = 0.03


@dataclasses.dataclass(frozen=True)
class Row:
  """One model of the table.

  Attributes:
    name: what `--rows` calls it.
    config: ours, `path[:variant]` from the project's root.
    twin: makes the equal PyTorch model, a `bench.peer.Twin`, for an objective
      and a batch size.
    target: the least ratio of images/s, ours to PyTorch's.
    fields: of the config, by dotted name, that have another value here.
    start: of the players as made, where both sides begin.
  """

  name: str
  config: str
  twin: Callable[..., Any]
  target: float
  fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  start: Callable[[Any], Any] = lambda players: players

  def load(self, precision: str = 'float32') -> ConfigDict:
    """Returns the config with the fields of this row, in a precision."""
    config = config_lib.load(str(ROOT / self.config))
    for name, value in {**self.fields, 'precision': precision}.items():
      parent, last = config_lib.find(config, name, f'row {self.name}')
      parent[last] = value
    return config


class Ours:
  """The first stage of a config, trained as `gen_jax.train` does it.

  That is with the data on the device, many steps in a dispatch, and the
  metrics of each dispatch read while the next is computed; but without
  evaluation, logs and checkpoints.
  """

  def __init__(
    self, config: ConfigDict, start: Callable[[Any], Any] = lambda x: x
  ):
    self.config = config
    stage = stages.plan(config)[0]
    self.experiment = Experiment(stage)
    self.batches = Batches(
      self.experiment.train_source,
      batch_size=config.batch_size,
      seed=config.seed,
      resident='yes',
    )
    self.players = start(self.experiment.init_players())
    self.step = 0
    self._length = self.batches.length(config.steps_per_dispatch)
    self._parallel = mesh.make(config.parallel, config.batch_size)
    self._chunk = self._parallel.compile(
      make_train_chunk(self.experiment.train_step(), self._length)
    )
    self._data = self._parallel.replicate(self.batches.data)
    # A copy, since the chunk donates the state and `players` stays.
    players = jax.tree.map(np.asarray, self.players)
    self._state = self._parallel.place(self.experiment.init_state(players))

  def run(self, steps: int) -> dict[str, np.ndarray]:
    """Trains; returns the metrics of each step once all are computed."""
    history, pending, end = [], None, self.step + steps
    while self.step < end:
      count = min(self._length, end - self.step)
      inputs = self.batches.inputs(self.step, count, self._length)
      self._state, metrics = self._chunk(
        self._state, self._data, self._parallel.shard(inputs), np.int32(count)
      )
      self.step += count
      history += _read(pending)
      pending = metrics, count
    history += _read(pending)
    jax.block_until_ready(self._state)
    return {
      name: np.concatenate([part[name] for part in history])
      for name in history[0]
    }

  def flops(self) -> float:
    """Operations of a step, as the program asks for them."""
    return cost.mean_flops(self.experiment)

  def peak_bytes(self) -> int | None:
    """The most memory the program takes, the data set among it."""
    return self._chunk.peak_bytes()

  def key(self, step: int, index: int) -> jax.Array:
    """The key that `gen_jax.training.step` gives to an update, device 0.

    It is derived here once more, so that PyTorch can be handed the noise of
    the very steps that are timed. Should the two ever differ, the check of
    equivalence fails.
    """
    key = jax.random.fold_in(stream(self.config.seed, 'train'), step)
    return jax.random.fold_in(jax.random.fold_in(key, 0), index + 1)


def _read(pending):
  if pending is None:
    return []
  metrics, count = pending
  return [{k: v[:count] for k, v in jax.device_get(metrics).items()}]


def block_steps(sides: Sequence[Any], seconds: float) -> int:
  """Warms the sides up; returns how many steps take the slower `seconds`."""
  steps, slowest = 4, 0.0
  while slowest < seconds / 4:
    steps *= 2
    slowest = max(_time(side, steps) for side in sides)
  return max(1, round(steps * seconds / slowest))


def alternate(
  sides: Sequence[Any], steps: int, rounds: int
) -> tuple[list[list[float]], float]:
  """Times blocks of `steps` of each side in every round.

  Who begins changes from round to round, so that neither always finds the
  caches or the clock as the other left them. A round that other processes
  disturbed is made up for by another, up to thrice as many in all.

  Returns:
    Seconds a step, by side and round, and the largest part of the machine that
    other processes took in one of these rounds.
  """
  order, done = list(enumerate(sides)), []
  for _ in range(3 * rounds):
    load, times = OtherLoad(sides), [0.0] * len(sides)
    for index, side in order:
      times[index] = _time(side, steps) / steps
    done.append((load.fraction(), times))
    order.reverse()
    if sum(part <= MAX_OTHER_LOAD for part, _ in done) == rounds:
      break
  done = sorted(done, key=lambda x: x[0])[:rounds]
  by_side = zip(*(times for _, times in done), strict=True)
  return [list(times) for times in by_side], done[-1][0]


class OtherLoad:
  """Measures what others than this process and the sides take, on Linux."""

  def __init__(self, sides: Sequence[Any] = ()):
    self._sides = sides
    self._start = self._read()

  def fraction(self) -> float:
    """Returns their part of all cores' time since this was made, 0 to 1."""
    wall, busy, own = np.subtract(self._read(), self._start)
    return float(np.clip((busy - own) / (wall * os.cpu_count()), 0, 1))

  def _read(self):
    try:
      text = pathlib.Path('/proc/stat').read_text().split('\n')[0]
    except OSError:  # not Linux: as if nothing else ran
      return time.monotonic(), 0.0, 0.0
    ticks = np.array(text.split()[1:9], float)
    idle, waiting = ticks[3:5]
    busy = (ticks.sum() - idle - waiting) / os.sysconf('SC_CLK_TCK')
    own = sum(getattr(side, 'spent', 0.0) for side in self._sides)
    return time.monotonic(), busy, time.process_time() + own


def _time(side, steps):
  start = time.perf_counter()
  side.run(steps)
  return time.perf_counter() - start


def matrix_peak(size: int, precision: str = 'float32') -> float:
  """Returns the operations/s of a product of two matrices [size, size].

  It is as the networks compute it in this precision, and the fastest of eight.
  """
  x = jax.random.normal(jax.random.key(0), (size, size), precision)
  multiply = jax.jit(linear.product)
  times = []
  for _ in range(9):  # the first compiles
    start = time.perf_counter()
    multiply(x, x).block_until_ready()
    times.append(time.perf_counter() - start)
  return 2 * size**3 / min(times[1:])


class Peak:
  """The speed of large matrix products over a run.

  The clock and the other load of a machine change. So the speed is measured
  beside every row, and the largest of these counts for all rows.

  Attributes:
    measured: by precision, operations/s, one for each call of `measure`.
  """

  def __init__(self, size: int, precisions: Sequence[str] = ('float32',)):
    self._size = size
    self.measured: dict[str, list[float]] = {name: [] for name in precisions}

  def measure(self) -> None:
    """Measures the speeds once more."""
    for precision, found in self.measured.items():
      found.append(matrix_peak(self._size, precision))

  def flops(self, precision: str) -> float:
    """Returns the operations/s of the peak."""
    return max(self.measured[precision])

  def fraction(self, row: Mapping[str, Any]) -> float:
    """Returns our operations/s in a row as a fraction of its peak."""
    speed = 1000 * row['flops'] / row['gen_jax']['ms_per_step']
    return speed / self.flops(row['precision'])

  def __str__(self) -> str:
    return '\n'.join(
      f'{self.flops(name) / 1e9:,.0f} GFLOP/s is the speed of large products '
      f'of {name}, the peak: the largest of {len(found)} measurements'
      for name, found in self.measured.items()
    )


def remarks(rows: Sequence[Mapping[str, Any]]) -> list[str]:
  """Returns what limits the numbers of the rows, a line each."""
  lines = []
  for row in rows:
    name = f'{row["row"]} in {row["precision"]}'
    if row['other_load'] > MAX_OTHER_LOAD:
      lines.append(
        f'{name}: other processes took {row["other_load"]:.0%} of the machine, '
        'so its numbers say little: run it again alone'
      )
    if row['peak_fraction'] > 1:
      lines.append(
        f'{name}: {row["peak_fraction"]:.0%} of peak is impossible: the '
        'products were slowed down, or a library does fewer operations than '
        'the program asks for. Run it again on an idle machine'
      )
    if 'pytorch_error' in row:
      lines.append(f'{name}: PyTorch fails: {row["pytorch_error"]}')
  return lines


def summary(times: Sequence[float], batch: int) -> dict[str, Any]:
  """Returns one side's numbers; `times` are seconds a step."""
  median = statistics.median(times)
  return {
    'ms_per_step': 1000 * median,
    'images_per_second': batch / median,
    'ms_by_round': [1000 * t for t in times],
  }


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
  """Our images/s to theirs: of the medians, and the extremes over rounds."""
  rounds = [b / a for a, b in zip(ours, theirs, strict=True)]
  return {
    'ratio': statistics.median(theirs) / statistics.median(ours),
    'ratio_min': min(rounds),
    'ratio_max': max(rounds),
  }


def add_best_ratios(rows: Sequence[dict[str, Any]]) -> None:
  """Adds the ratio to the fastest of PyTorch's sides to results of one row."""
  theirs = [
    side['ms_per_step']
    for row in rows
    for name, side in row.items()
    if name in ('pytorch', 'pytorch_compiled')
  ]
  for row in rows:
    if theirs:
      row['best_ratio'] = min(theirs) / row['gen_jax']['ms_per_step']


def table(rows: Sequence[dict[str, Any]]) -> str:
  """Returns the results as text, a line each."""
  head = [
    'row', 'precision', 'batch', 'GFLOP', 'MiB', 'gen_jax ms', 'images/s',
    'of peak', 'PyTorch ms', 'images/s', 'ratio', 'min-max', 'target',
  ]  # fmt: skip
  compiled = any('pytorch_compiled' in row for row in rows)
  several = len({row['precision'] for row in rows}) > 1
  lines = [
    head
    + ['compiled ms', 'images/s', 'ratio'] * compiled
    + ['to the best'] * (compiled or several)
  ]
  for row in rows:
    memory = row['peak_bytes']
    line = [
      row['row'],
      row['precision'],
      str(row['batch_size']),
      f'{row["flops"] / 1e9:.1f}',
      '-' if memory is None else f'{memory / 2**20:,.0f}',
      *_cells(row['gen_jax']),
      f'{row["peak_fraction"]:.0%}' + '!' * (row['peak_fraction'] > 1),
      *_cells(row.get('pytorch')),
    ]
    if 'ratio' in row:
      least, most = row['ratio_min'], row['ratio_max']
      line += [f'{row["ratio"]:.2f}', f'{least:.2f}-{most:.2f}']
    else:
      line += ['-', '-']
    line.append(f'{row["target"]:.2f}')
    if compiled:
      side = row.get('pytorch_compiled')
      line += _cells(side)
      line.append(f'{row["compiled_ratio"]:.2f}' if side else '-')
    if compiled or several:
      best = row.get('best_ratio')
      line.append('-' if best is None else f'{best:.2f}')
    lines.append(line)
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  return '\n'.join(
    '  '.join(
      cell.rjust(width) if i else cell.ljust(width)
      for i, (cell, width) in enumerate(zip(line, widths, strict=True))
    )
    for line in lines
  )


def _cells(side):
  if side is None:
    return ['-', '-']
  return [f'{side["ms_per_step"]:.2f}', f'{side["images_per_second"]:,.0f}']


def environment() -> dict[str, Any]:
  """Returns the machine, the versions and the settings of this process."""
  versions = {'python': platform.python_version()}
  for name in ('jax', 'jaxlib', 'flax', 'optax', 'numpy', 'torch'):
    try:
      versions[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
      versions[name] = None
  variables = ('XLA_FLAGS', 'GLIBC_TUNABLES', 'OMP_NUM_THREADS', 'LD_PRELOAD')
  return {
    'time': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
    'machine': {
      'processor': _processor(),
      'cores': cores(),
      'devices': [str(d.device_kind) for d in jax.devices()],
      'system': platform.platform(),
    },
    'load': os.getloadavg()[0],
    'versions': versions,
    'environment': {k: os.environ.get(k) for k in variables},
  }


def cores() -> int:
  """How many cores this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def _processor():
  try:
    lines = pathlib.Path('/proc/cpuinfo').read_text().splitlines()
    names = [x.split(':')[1].strip() for x in lines if 'model name' in x]
  except OSError:
    names = []
  return names[0] if names else platform.processor()
