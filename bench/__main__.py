"""Times our training beside the same networks in PyTorch.

  python -m bench
  python -m bench --rows=vae_dense,start --rounds=20 --json=bench.json

Each row first checks that both sides do the same work: equal parameters,
losses, gradients and first steps. Then blocks of training steps alternate, and
the ratio of the medians is stated, in images/s; above 1 we are faster. Beside
it: operations of a step, the most memory that ours takes, with the data set,
and its fraction of the peak, the speed of products of large matrices. The peak
is the largest of the speeds before and after every row; a fraction above 100%
is marked with '!'. Run it on a machine that does nothing else. Without PyTorch
our own numbers are shown.

With `--precisions=float32,bfloat16` a row has a line for each: in bfloat16 by
`config.precision` on our side, and by `torch.autocast` on PyTorch's. All sides
alternate, and the last column is the ratio to the fastest of PyTorch's. That
is the default on a CPU with instructions for bfloat16.

With `--device=gpu` both sides are on the first GPU, and PyTorch is timed once
more with `torch.compile`, where that can compile the loss; `--compile` does
that on the CPU, and `--eager` leaves it out. A PyTorch without a GPU is left
out as well. Before the rows the rounding of products and convolutions of
float32 is measured on both sides, and the benchmark ends if it differs. By
default both round to TF32 on a GPU that has it; with the environment variable
JAX_DEFAULT_MATMUL_PRECISION=highest both compute in full float32.
"""

from gen_jax.runtime import startup

if __name__ == '__main__':
  startup.begin()

import contextlib
import dataclasses
import importlib
import json
import os
import pathlib
import pkgutil
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import bench
from gen_jax.commands import cli
from gen_jax.errors import InputError
from gen_jax.registry.fields import Precision, Size, Weight
from gen_jax.runtime import reporting

if TYPE_CHECKING:  # JAX starts when the device is known
  from bench.harness import Row

_PLATFORMS = {'cpu': 'cpu', 'gpu': 'cuda'}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
  """The arguments."""

  rows: Annotated[str, 'names with commas; all, if not given'] = ''
  rounds: Annotated[Size, 'blocks a side'] = 10
  seconds: Annotated[Weight, 'of a block'] = 2.0
  steps: Annotated[Size | None, 'of a block, instead'] = None
  device: Annotated[Literal['cpu', 'gpu'], 'of both sides'] = 'cpu'
  compile: Annotated[bool, 'time torch.compile as well'] = False
  eager: Annotated[bool, 'leave torch.compile out, also on a GPU'] = False
  pure: Annotated[bool, "without oneDNN's convolutions"] = False
  precisions: Annotated[str, 'float32, bfloat16, or both with a comma'] = ''
  json: Annotated[str | None, 'write the results to this file'] = None


def main(argv: Sequence[str] | None = None) -> int:
  """Returns the exit code: 1 when the sides do not do the same work."""
  about = dict(prog='bench', description=__doc__)
  return reporting.run(lambda: _bench(cli.parse(Arguments, argv, **about)))


def _bench(args: Arguments) -> int:
  if args.device == 'gpu':  # oneDNN is for the CPU
    args = dataclasses.replace(args, compile=True, pure=True)
  if args.eager:
    args = dataclasses.replace(args, compile=False)
  _start(args.device)
  precisions = _precisions(args)
  from bench import equivalence, harness, peer, start
  from gen_jax.models.layers import conv_native

  rows = {row.name: row for row in find_rows()}
  known = [*rows, start.NAME]
  names = args.rows.split(',') if args.rows else known
  unknown = [name for name in names if name not in known]
  if unknown:
    raise InputError(f'--rows={unknown[0]}: expected {", ".join(known)}.')
  result = {**harness.environment(), 'rows': []}
  beside = peer.use(args.device)
  if not beside:
    _say(peer.why_absent())
  result['native'] = not args.pure and conv_native.available()
  peak = harness.Peak(2048 if args.device == 'cpu' else 8192, precisions)
  name = 'rounding'
  try:
    result['rounding'] = equivalence.check_rounding(beside)
    result['rounding_text'] = equivalence.rounding_line(result['rounding'])
    _say(result['rounding_text'])
    for name in names:
      if name != start.NAME:
        _say(f'{name} ...')
        peak.measure()
        result['rows'] += _compare(rows[name], args, precisions, beside)
        peak.measure()
  except equivalence.DifferentWork as error:
    print(f'bench: {name}: not the same work: {error}', file=sys.stderr)
    return 1
  _report(result, peak)
  if start.NAME in names:
    _say(f'{start.NAME} ...')
    result['rows'].append(start.measure())
    print(start.line(result['rows'][-1]), flush=True)
  if args.json:
    text = json.dumps(result, indent=2) + '\n'
    pathlib.Path(args.json).write_text(text)
  return 0


def _precisions(args: Arguments) -> tuple[str, ...]:
  """Returns the precisions that are timed, float32 first."""
  from gen_jax.runtime import processor

  known = get_args(Precision)
  if args.precisions:
    names = args.precisions.split(',')
    for name in names:
      if name not in known:
        raise InputError(
          f'--precisions={name}: expected {" or ".join(known)}, or both '
          'with a comma.'
        )
    return tuple(name for name in known if name in names)
  both = args.device == 'cpu' and processor.multiplies_bfloat16()
  return known if both else known[:1]


def _start(device: str) -> None:
  """Starts JAX on a device, in this process and those of the sides."""
  os.environ['JAX_PLATFORMS'] = _PLATFORMS[device]
  if device == 'gpu':  # one for each side, and memory for both
    visible = os.environ.get('CUDA_VISIBLE_DEVICES', '0')
    os.environ['CUDA_VISIBLE_DEVICES'] = visible.split(',')[0]
    os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'] = 'false'
  from gen_jax.runtime import settings

  # In PyTorch's process too, which gains as much by it.
  settings.configure()
  import jax

  try:
    jax.devices()
  except (RuntimeError, AssertionError) as error:  # by the version of JAX
    raise InputError(
      f"--device={device}: JAX finds none; for a GPU: pip install -e '.[cuda]'"
    ) from error


def _report(result: dict[str, Any], peak: Any) -> None:
  """Prints the rows, once the peak is known."""
  from bench import harness

  rows = result['rows']
  for row in rows:
    row['peak_fraction'] = peak.fraction(row)
  result['matrix_peaks_flops'] = peak.measured
  result['remarks'] = harness.remarks(rows)
  if rows:
    print(
      peak,
      harness.table(rows),
      *result['remarks'],
      sep='\n',
      flush=True,
    )


def find_rows() -> list['Row']:
  """Returns the rows of every module here that has `rows`."""
  rows = []
  for module in pkgutil.iter_modules(bench.__path__):
    if module.name != '__main__':
      module = importlib.import_module(f'bench.{module.name}')
      rows += module.rows() if hasattr(module, 'rows') else []
  return rows


def _compare(
  row: 'Row', args: Arguments, precisions: Sequence[str], beside: bool
) -> list[dict[str, Any]]:
  """Returns the numbers of a row in each precision.

  Those of PyTorch are among them if `beside`.
  """
  from bench import harness
  from gen_jax.models.layers import conv_native

  with conv_native.off() if args.pure else contextlib.nullcontext():
    prepared = [_prepare(row, args, name, beside) for name in precisions]
  sides = {
    (result['precision'], name): how
    for result, sides in prepared
    for name, how in sides.items()
  }
  results = [result for result, _ in prepared]
  times, shared = _time_sides(row, args, sides)
  for result in results:
    found = {
      name: seconds
      for (precision, name), seconds in times.items()
      if precision == result['precision']
    }
    batch = result['batch_size']
    result |= shared
    result |= {name: harness.summary(x, batch) for name, x in found.items()}
    if 'pytorch' in found:
      result |= harness.ratio(found['gen_jax'], found['pytorch'])
    if 'pytorch_compiled' in found:
      both = harness.ratio(found['gen_jax'], found['pytorch_compiled'])
      result['compiled_ratio'] = both['ratio']
  harness.add_best_ratios(results)
  return results


def _prepare(
  row: 'Row', args: Arguments, precision: str, beside: bool
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
  """Returns what is known of a row before it is timed, and what is timed."""
  from bench import equivalence, harness, peer, side_process

  ours = harness.Ours(row.load(precision), row.start)
  result = {
    'row': row.name,
    'precision': precision,
    'config': row.config,
    'fields': dict(row.fields),
    'batch_size': ours.config.batch_size,
    'flops': ours.flops(),
    'target': row.target,
  }
  sides: dict[str, dict[str, Any]] = {
    'gen_jax': dict(side=side_process.OURS, pure=args.pure)
  }
  if beside:
    result['threads'] = peer.torch.get_num_threads()
    try:
      result['same'] = equivalence.check(ours, peer.Theirs(row.twin, ours))
      sides['pytorch'] = dict(side=side_process.THEIRS)
    except (RuntimeError, NotImplementedError) as error:
      if precision == 'float32':
        raise
      result['pytorch_error'] = str(error).splitlines()[0]
  if 'pytorch' in sides and args.compile:
    if _can_compile(row, precision, result):
      sides['pytorch_compiled'] = dict(side=side_process.THEIRS, compiled=True)
  if not ours.step:
    ours.run(1)  # compiles it, for its memory
  result['peak_bytes'] = ours.peak_bytes()
  return result, sides


def _can_compile(row: 'Row', precision: str, result: dict[str, Any]) -> bool:
  """Whether PyTorch's compiler can do its side, and does the same work."""
  from bench import equivalence, harness, peer

  # Anew, since both sides begin at the parameters as made.
  ours = harness.Ours(row.load(precision), row.start)
  theirs = peer.Theirs(row.twin, ours, compiled=True)
  try:
    equivalence.check(ours, theirs)
  except (RuntimeError, NotImplementedError) as error:
    result['compile_error'] = str(error)
    _say(f'{row.name}: torch.compile: {str(error).splitlines()[0]}')
    return False
  return True


def _time_sides(
  row: 'Row',
  args: Arguments,
  sides: Mapping[tuple[str, str], Mapping[str, Any]],
) -> tuple[dict[tuple[str, str], list[float]], dict[str, Any]]:
  """Times the sides, whose keys are their precisions and names.

  Returns:
    Seconds a step of each side, by round; and the steps of a block, with the
    part of the machine that other processes took.
  """
  from bench import harness
  from bench.side_process import SideProcess

  with contextlib.ExitStack() as stack:
    running = []
    for (precision, _), how in sides.items():
      how = dict(how, row=row.name, device=args.device, precision=precision)
      running.append(SideProcess(**how))
      stack.callback(running[-1].close)
    steps = args.steps or harness.block_steps(running, args.seconds)
    times, load = harness.alternate(running, steps, args.rounds)
  by_side = dict(zip(sides, times, strict=True))
  return by_side, {'steps': steps, 'other_load': load}


def _say(text: str) -> None:
  print(text, file=sys.stderr, flush=True)


if __name__ == '__main__':
  reporting.exit(main())
