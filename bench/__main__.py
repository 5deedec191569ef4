"""Times our training beside the same networks in PyTorch.

  python -m bench
  python -m bench --rows vae_dense start --rounds 20 --json bench.json

Each row first checks that both sides do the same work: equal parameters,
losses, gradients and first steps. Then blocks of training steps alternate, and
the ratio of the medians is stated, in images/s; above 1 we are faster. Beside
it: operations of a step, the most memory that ours takes, with the data set,
and its share of the peak, the speed of products of large matrices. That is the
largest of the speeds before and after every row; a share above 100% is marked
with '!'. Run it on a machine that does nothing else. Without PyTorch our own
numbers are shown.

With `--device gpu` both are on the first GPU, their products rounded alike
(TF32), and PyTorch is timed once more with `torch.compile`, where that can
compile the loss; `--compile` does that on the CPU.
"""

from gen_jax.runtime import startup

if __name__ == '__main__':
  startup.begin()

import contextlib
import importlib
import json
import os
import pathlib
import pkgutil
import sys
from collections.abc import Sequence

import bench
from gen_jax.commands import cli

_PLATFORMS = {'cpu': 'cpu', 'gpu': 'cuda'}


def main(argv: Sequence[str] | None = None) -> int:
  """Returns the exit code: 1 when the sides do not do the same work."""
  parser = cli.Parser('bench', description=__doc__)
  parser.add_argument('--rows', nargs='+', help='all, if not given')
  parser.add_argument(
    '--rounds', type=cli.number(int, 1), default=10, help='blocks a side'
  )
  parser.add_argument(
    '--seconds', type=cli.number(float, 0), default=2.0, help='of a block'
  )
  parser.add_argument(
    '--steps', type=cli.number(int, 1), help='of a block, instead'
  )
  parser.add_argument('--device', choices=list(_PLATFORMS), default='cpu')
  parser.add_argument(
    '--compile', action='store_true', help='time torch.compile as well'
  )
  parser.add_argument(
    '--pure', action='store_true', help="without oneDNN's convolutions"
  )
  parser.add_argument('--json', type=pathlib.Path, help='write the results')
  return cli.run(lambda: _bench(parser, parser.parse_args(argv)))


def _bench(parser, args):
  # Before JAX starts.
  os.environ['JAX_PLATFORMS'] = _PLATFORMS[args.device]
  if args.device == 'gpu':  # one for each side, and memory for both
    seen = os.environ.get('CUDA_VISIBLE_DEVICES', '0')
    os.environ['CUDA_VISIBLE_DEVICES'] = seen.split(',')[0]
    os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'] = 'false'
    args.compile = args.pure = True  # oneDNN is for the CPU
  from gen_jax.runtime import settings

  # In PyTorch's process too, which gains as much by it.
  settings.configure()
  import jax

  try:
    jax.devices()
  except (RuntimeError, AssertionError):  # by the version of JAX
    parser.error(
      f'--device {args.device}: JAX finds none; for a GPU: pip install -e '
      "'.[cuda]'"
    )
  from bench import harness, peer, sameness, start
  from gen_jax.models.layers import conv_native

  rows = {row.name: row for row in find_rows()}
  names = args.rows or [*rows, start.NAME]
  unknown = [n for n in names if n not in (*rows, start.NAME)]
  if unknown:
    parser.error(f'no row {unknown[0]!r}: {", ".join([*rows, start.NAME])}')

  result = {**harness.environment(), 'rows': []}
  if peer.torch is None:
    print(peer.HOW_TO_INSTALL, file=sys.stderr)
  elif not peer.use(args.device):
    parser.error(
      '--device gpu: this PyTorch has no CUDA; install one that has, or none.'
    )
  result['native'] = not args.pure and conv_native.available()
  peak = harness.Peak(2048 if args.device == 'cpu' else 8192)
  speeds = []
  for name in names:
    if name == start.NAME:
      continue
    _say(f'{name} ...')
    try:
      with conv_native.off() if args.pure else contextlib.nullcontext():
        peak.measure()
        speeds.append(_compare(rows[name], args))
        peak.measure()
    except sameness.DifferentWork as error:
      print(f'bench: {name}: not the same work: {error}', file=sys.stderr)
      return 1
  for row in speeds:  # once the peak is known
    row['peak_share'] = peak.share(row)
  result['rows'] += speeds
  result['matrix_peaks_flops'] = peak.measured
  if speeds:
    print(
      f'{peak.flops / 1e9:,.0f} GFLOP/s is the speed of large products, the '
      f'peak: the largest of {len(peak.measured)} measurements\n'
      + harness.table(speeds),
      *harness.remarks(speeds),
      sep='\n',
      flush=True,
    )
  if start.NAME in names:
    _say(f'{start.NAME} ...')
    result['rows'].append(start.measure())
    print(start.line(result['rows'][-1]), flush=True)
  if args.json:
    args.json.write_text(json.dumps(result, indent=2) + '\n')
  return 0


def find_rows():
  """Returns the rows of every module here that has `rows`."""
  rows = []
  for module in pkgutil.iter_modules(bench.__path__):
    if module.name != '__main__':
      module = importlib.import_module(f'bench.{module.name}')
      rows += module.rows() if hasattr(module, 'rows') else []
  return rows


def _compare(row, args):
  from bench import apart, harness, peer, sameness

  ours = harness.Ours(row.load(), row.start)
  batch = ours.config.batch_size
  result = {
    'row': row.name,
    'config': row.config,
    'fields': dict(row.fields),
    'batch_size': batch,
    'flops': ours.flops(),
    'target': row.target,
  }
  sides = {apart.OURS: dict(side=apart.OURS, pure=args.pure)}
  if peer.torch is not None:
    result['same'] = sameness.check(ours, peer.Theirs(row.twin, ours))
    result['threads'] = peer.torch.get_num_threads()
    sides[apart.THEIRS] = dict(side=apart.THEIRS)
    if args.compile and _can_compile(row, result):
      sides['pytorch_compiled'] = dict(side=apart.THEIRS, compiled=True)
  else:
    ours.run(1)  # compiles it, for its memory
  with contextlib.ExitStack() as stack:
    running = []
    for how in sides.values():
      running.append(apart.Apart(row=row.name, device=args.device, **how))
      stack.callback(running[-1].close)
    result['steps'] = args.steps or harness.block_steps(running, args.seconds)
    times, busy = harness.alternate(running, result['steps'], args.rounds)
  result['busy_elsewhere'] = busy
  times = dict(zip(sides, times, strict=True))
  result |= {name: harness.summary(x, batch) for name, x in times.items()}
  result['peak_bytes'] = ours.peak_bytes()
  if 'pytorch' in times:
    result |= harness.ratio(times['gen_jax'], times['pytorch'])
  if 'pytorch_compiled' in times:
    found = harness.ratio(times['gen_jax'], times['pytorch_compiled'])
    result['compiled_ratio'] = found['ratio']
  return result


def _can_compile(row, result):
  """Whether PyTorch's compiler can do its side, and does the same work."""
  from bench import harness, peer, sameness

  # Anew, since both sides begin at the parameters as made.
  ours = harness.Ours(row.load(), row.start)
  theirs = peer.Theirs(row.twin, ours, compiled=True)
  try:
    sameness.check(ours, theirs)
  except (RuntimeError, NotImplementedError) as error:
    result['compile_error'] = str(error)
    _say(f'{row.name}: torch.compile: {str(error).splitlines()[0]}')
    return False
  return True


def _say(text):
  print(text, file=sys.stderr, flush=True)


if __name__ == '__main__':
  cli.exit(main())
