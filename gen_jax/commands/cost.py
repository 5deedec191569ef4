"""States the operations and the memory of a training step without running it.

python -m gen_jax cost --config=configs/stylegan.py:emoji64
python -m gen_jax cost --config=configs/vae.py --topology=v5e:4x4

Operations are those of a step in which every update runs; memory is that of
the state and the batch, and the largest amount at a time, without the data
set. Both are the compiler's own numbers, for one device of the kind at hand,
or with --topology for each of the TPU chips that it describes, such as
v4:2x2x4, v5e:4x4, v5p:2x2x4 or v6e:4x4. This needs no TPU, but the extra
tpu-compile.
"""

import contextlib
import dataclasses
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Annotated

import jax
import pydantic

from gen_jax import config as config_lib
from gen_jax.commands import cli
from gen_jax.config import stages, validation
from gen_jax.errors import InputError
from gen_jax.registry.fields import Size
from gen_jax.runtime import hlo, memory, settings, tpu
from gen_jax.training import roofline
from gen_jax.training.cost import (
  DeviceCost,
  compile_step,
  device_cost,
  step_cost,
  with_batch,
)
from gen_jax.training.experiment import Experiment

_PATIENCE = 30  # seconds between two lines of progress


def _sizes(text: str) -> str:
  parts = text.split(',') if text else []
  if not all(part.isdecimal() and int(part) for part in parts):
    raise ValueError('expected whole numbers such as 8,16,32')
  return text


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(cli.Configured):
  """The arguments; all after `topology` need it."""

  stage: Annotated[
    Size | None, 'stage of the config, from 1 (default: the last)'
  ] = None
  topology: Annotated[
    str | None, 'TPU chips to compile for, KIND:SIZES, for example v5e:4x4'
  ] = None
  slices: Annotated[
    Size, 'slices of that topology, connected by the network'
  ] = 1
  sweep_batch: Annotated[
    str,
    pydantic.AfterValidator(_sizes),
    'batches of a chip, for example 8,16,32: prints a table',
  ] = ''
  quick: Annotated[bool, 'leave out the largest batch that fits'] = False


def main(argv: Sequence[str] | None = None) -> int:
  """Prints the cost of a step of a config's stage."""
  return cli.main(cost, Arguments, __doc__, argv)


def cost(args: Arguments) -> None:
  """Prints the cost of a step.

  Raises:
    InputError: when the config cannot be used, has no such stage, or cannot be
      laid out on the chips.
  """
  if args.topology is None and (args.slices > 1 or args.sweep_batch):
    raise InputError('--slices and --sweep_batch need --topology.')
  config = config_lib.load(args.config)
  config_lib.apply(config, args.overrides)
  config = config_lib.complete(config)
  validation.check(config)
  plan = stages.plan(config)
  number = len(plan) if args.stage is None else args.stage
  if number > len(plan):
    raise InputError(f'--stage={number}: expected 1 to {len(plan)}.')
  experiment = Experiment(plan[number - 1])
  name = f'{args.config}, stage {number} of {len(plan)}'
  if args.topology is not None:
    topology = tpu.describe(args.topology, args.slices)
    _print_for_chips(args, name, experiment, topology)
    return
  settings.configure()
  found, _ = step_cost(experiment)
  print(
    f'{name}, batch {experiment.config.batch_size}, on one '
    f'{jax.default_backend()} device: '
    f'{found.parameters:,} parameters, {found.flops / 1e9:,.2f} GFLOP a step, '
    f'state {found.state / 2**20:,.1f} MiB, at most '
    f'{found.peak / 2**20:,.1f} MiB'
  )


def _print_for_chips(
  args: Arguments, name: str, experiment: Experiment, topology: tpu.Topology
) -> None:
  chips = len(topology.devices)

  def compile_for(batch: int) -> DeviceCost:
    with _progress(f'compiles a batch of {batch} a chip for {topology}'):
      whole = with_batch(experiment, batch * chips)
      return device_cost(compile_step(whole, topology.devices), batch)

  print(
    f'{name}, {experiment.config.parallel}, on {topology}, by libtpu '
    f'{tpu.version()}'
  )
  if args.sweep_batch:
    sizes = sorted({int(n) for n in args.sweep_batch.split(',')})
    _print_table(sizes, topology, compile_for)
    return
  with _progress(f'compiles the step for {topology}'):
    compiled = _compile(experiment, topology)
  found = device_cost(compiled, experiment.config.batch_size // chips)
  for label, value in describe(found, topology):
    print(f'  {label:<20} {value}')
  if not args.quick:
    fits, more = roofline.largest_batch(
      found, topology.chip.memory, compile_for
    )
    print(f'  {"largest batch":<20} {fits} a chip fits, {more} does not')


def _compile(
  experiment: Experiment, topology: tpu.Topology
) -> jax.stages.Compiled:
  try:
    return compile_step(experiment, topology.devices)
  except jax.errors.JaxRuntimeError as error:
    if not roofline.out_of_memory(error):
      raise
    raise InputError(
      f'config.batch_size={experiment.config.batch_size}: the step does not '
      f'fit into the memory of {topology}. Take a smaller batch or more chips.'
    ) from None


def describe(
  found: DeviceCost, topology: tpu.Topology
) -> Iterator[tuple[str, str]]:
  """Yields the lines about a step on each chip, as (label, text)."""
  bound = roofline.bound(found, topology)
  yield 'batch', f'{found.batch} a chip'
  yield 'operations', f'{found.flops / 1e9:,.2f} GFLOP'
  yield 'bytes accessed', f'{found.accessed / 1e6:,.1f} MB'
  yield 'memory traffic', f'{found.traffic / 1e6:,.1f} MB'
  limit = memory.show(int(topology.chip.memory))
  yield 'memory', f'at most {memory.show(found.peak)} of {limit}'
  yield 'collectives', collectives(found.collectives)
  yield 'optimal time', _optimal(found)
  limits = ', '.join(
    f'{name} {seconds * 1e6:,.1f}'
    for name, seconds in bound._asdict().items()
    if seconds
  )
  yield 'bound', f'{bound.seconds * 1e6:,.1f} us by {bound.name} ({limits})'
  yield 'images per second', f'{_rate(found, topology):,.0f} at the bound'


def collectives(found: Mapping[str, hlo.Collectives]) -> str:
  """Returns collective operations as text."""
  return (
    ', '.join(
      f'{x.count} {kind} ({x.size / 1e6:,.2f} MB)'
      for kind, x in sorted(found.items())
    )
    or 'none'
  )


def _optimal(found: DeviceCost) -> str:
  text = f'{found.optimal * 1e6:,.1f} us by the compiler'
  if found.unknown:
    text += f', without {found.unknown} operations that it does not estimate'
  return text


def _rate(found: DeviceCost, topology: tpu.Topology) -> float:
  """Returns the images that all chips train on in a second, at most."""
  whole = found.batch * len(topology.devices)
  return whole / roofline.bound(found, topology).seconds


_HEAD = """\
| batch a chip | GFLOP | MB accessed | MB to memory | memory | collectives | \
bound | by | images per second |
|---|---|---|---|---|---|---|---|---|"""


def _print_table(
  sizes: Sequence[int],
  topology: tpu.Topology,
  compile_for: Callable[[int], DeviceCost],
) -> None:
  print(_HEAD)
  for size in sizes:
    try:
      found = compile_for(size)
    except jax.errors.JaxRuntimeError as error:
      if not roofline.out_of_memory(error):
        raise
      print(f'| {size} | does not fit ||||||||')
      return
    bound = roofline.bound(found, topology)
    print(
      f'| {size} | {found.flops / 1e9:,.2f} | {found.accessed / 1e6:,.1f} | '
      f'{found.traffic / 1e6:,.1f} | {memory.show(found.peak)} | '
      f'{collectives(found.collectives)} | '
      f'{bound.seconds * 1e6:,.1f} us | {bound.name} | '
      f'{_rate(found, topology):,.0f} |',
      flush=True,
    )


@contextlib.contextmanager
def _progress(text: str) -> Generator[None]:
  """Tells on the standard error what takes long, and that it still runs."""
  done, start = threading.Event(), time.monotonic()

  def watch():
    print(f'gen_jax: {text}', file=sys.stderr, flush=True)
    while not done.wait(_PATIENCE):
      passed = time.monotonic() - start
      print(f'gen_jax: {text}, {passed:.0f} s', file=sys.stderr, flush=True)

  thread = threading.Thread(target=watch, daemon=True)
  thread.start()
  try:
    yield
  finally:
    done.set()
    thread.join()
