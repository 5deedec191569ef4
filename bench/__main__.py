"""Times our training beside the same networks in PyTorch.

  python -m bench
  python -m bench --rows vae_dense start --rounds 20 --json bench.json

Each row first checks that both sides do the same work: equal parameters,
losses, gradients and first steps. Then blocks of training steps alternate, and
the ratio of the medians is stated, in images/s; above 1 we are faster. Run it
on a machine that does nothing else. Without PyTorch our own numbers are shown.
"""

import argparse
import importlib
import json
import os
import pathlib
import pkgutil
import sys
from collections.abc import Sequence

import bench


def main(argv: Sequence[str] | None = None) -> int:
  """Returns the exit code: 1 when the sides do not do the same work."""
  parser = argparse.ArgumentParser(
    'bench',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('--rows', nargs='+', help='all, if not given')
  parser.add_argument('--rounds', type=int, default=10, help='blocks a side')
  parser.add_argument('--seconds', type=float, default=2.0, help='of a block')
  parser.add_argument('--steps', type=int, help='of a block, instead')
  parser.add_argument('--json', type=pathlib.Path, help='write the results')
  args = parser.parse_args(argv)
  if args.rounds < 1 or (args.steps is not None and args.steps < 1):
    parser.error('--rounds and --steps are 1 or more')

  # Before JAX starts; PyTorch, in the same process, gains as much by it.
  os.environ['JAX_PLATFORMS'] = 'cpu'
  from gen_jax import runtime

  runtime.configure()
  from bench import harness, peer, sameness, start

  rows = {row.name: row for row in find_rows()}
  names = args.rows or [*rows, start.NAME]
  unknown = [n for n in names if n not in (*rows, start.NAME)]
  if unknown:
    parser.error(f'no row {unknown[0]!r}: {", ".join([*rows, start.NAME])}')

  result = {**harness.environment(), 'rows': []}
  if peer.torch is None:
    print(peer.HOW_TO_INSTALL, file=sys.stderr)
  speeds = []
  for name in names:
    if name == start.NAME:
      continue
    _say(f'{name} ...')
    try:
      speeds.append(_compare(rows[name], args))
    except sameness.DifferentWork as error:
      print(f'bench: {name}: not the same work: {error}', file=sys.stderr)
      return 1
  result['rows'] += speeds
  if speeds:
    print(harness.table(speeds), flush=True)
  for row in speeds:
    if row['busy_elsewhere'] > harness.MOST_ELSEWHERE:
      print(
        f'{row["row"]}: other processes took {row["busy_elsewhere"]:.0%} of '
        'the machine, so its numbers say little: run it again alone'
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
  from bench import harness, peer, sameness

  ours = harness.Ours(row.load(), row.start)
  result = {
    'row': row.name,
    'config': row.config,
    'fields': dict(row.fields),
    'batch_size': ours.config.batch_size,
    'target': row.target,
  }
  sides = [ours]
  if peer.torch is not None:
    theirs = peer.Theirs(row.twin, ours)
    result['same'] = sameness.check(ours, theirs)
    result['threads'] = peer.torch.get_num_threads()
    sides.append(theirs)
  result['steps'] = args.steps or harness.block_steps(sides, args.seconds)
  times, busy = harness.alternate(sides, result['steps'], args.rounds)
  result['busy_elsewhere'] = busy
  batch = ours.config.batch_size
  result['gen_jax'] = harness.summary(times[0], batch)
  if len(sides) == 2:
    result['pytorch'] = harness.summary(times[1], batch)
    result |= harness.ratio(*times)
  return result


def _say(text):
  print(text, file=sys.stderr, flush=True)


if __name__ == '__main__':
  raise SystemExit(main())
