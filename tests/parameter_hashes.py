"""Hashes of what every config trains, to compare two versions of the code.

  python tests/parameter_hashes.py --out=before.json
  (change the code)
  python tests/parameter_hashes.py --out=after.json --compare=before.json

Each variant of each config is trained for a few steps on small batches. The
hashes cover the final parameters, their moving averages and a grid of samples.
They do not depend on the names of players, layers or parameters, so that these
may be renamed. Variants that take longer than `--limit` seconds are skipped.

Flax derives the initial value of a parameter from the names of the modules
around it. A renamed module therefore starts from other values. Each variant is
trained a second time with random keys that do not depend on names: if this
second training has the same hashes in both versions, they differ in the initial
values alone.

Both versions have to run on the same machine with the same packages.
"""

import argparse
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

ROOT = pathlib.Path(__file__).parents[1]
HASHES = ('parameters', 'players', 'averages', 'samples')
STEPS = 8  # of a variant, and fewer of each stage
BATCH = 8


class TooLongError(Exception):
  """A variant takes longer than the limit."""


def main() -> int:
  """Writes the hashes; returns 1 when they differ from those to compare."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--out', default='parameter_hashes.json')
  parser.add_argument('--compare', help='the output for another version')
  parser.add_argument('--only', help='names of configs, with commas')
  parser.add_argument('--quick', action='store_true', help='`test` variants')
  parser.add_argument('--limit', type=int, default=60, help='seconds')
  parser.add_argument('--config', help=argparse.SUPPRESS)
  parser.add_argument('--free', action='store_true', help=argparse.SUPPRESS)
  args = parser.parse_args()
  before, wanted = None, None
  if args.compare:
    before = json.loads(pathlib.Path(args.compare).read_text())
    pairs = [x for kind in before.values() for x in kind.items()]
    wanted = {label for label, found in pairs if 'skipped' not in found}
  names = sorted(p.stem for p in (ROOT / 'configs').glob('*.py'))
  names = args.only.split(',') if args.only else names
  if args.quick:
    wanted = {f'{name}:test' for name in names}
  if args.config:
    return hash_config(args.config, args.free, wanted, args.limit)

  results: dict[str, dict[str, Any]] = {'named': {}, 'free': {}}
  for kind in results:
    for name in names:
      command = [sys.executable, __file__, *sys.argv[1:], f'--config={name}']
      command += ['--free'] if kind == 'free' else []
      results[kind] |= run(command)
      pathlib.Path(args.out).write_text(json.dumps(results, indent=1))
      print(f'{kind} {name}', flush=True)
  return compare(before, results) if before else 0


def run(command: list[str]) -> dict[str, Any]:
  """Runs one config in a process of its own; returns its results."""
  env = {**os.environ, 'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'cpu'}
  done = subprocess.run(
    command, env=env, stdout=subprocess.PIPE, text=True, cwd=ROOT
  )
  results = {}
  for line in done.stdout.splitlines():
    if line.startswith('RESULT '):
      results |= json.loads(line.removeprefix('RESULT '))
  return results


def compare(before: dict[str, Any], after: dict[str, Any]) -> int:
  """Prints which variants differ; returns 1 if there are any, otherwise 0."""
  worst = 0
  for label in sorted({**after['named'], **after['free']}):
    found = {}
    for kind in ('named', 'free'):
      old, new = before[kind].get(label, {}), after[kind].get(label, {})
      if 'skipped' in old or 'skipped' in new or not old or not new:
        found[kind] = 'skipped'
      else:
        # An older version called the hash of all variables 'others'.
        different = [
          k for k in HASHES if old.get(k, old.get('others')) != new[k]
        ]
        found[kind] = ', '.join(different) or 'equal'
    if set(found.values()) == {'skipped'}:  # such as a config of one version
      print(f'{"skipped":8} {label}')
      continue
    same = 'equal' in found.values()
    worst |= not same
    print(f'{"equal" if same else "DIFFERS":8} {label:40} {found}')
  return int(worst)


def hash_config(
  name: str, free: bool, wanted: set[str] | None, limit: int
) -> int:
  """Trains the variants of a config; prints a line of JSON for each."""
  if free:
    make_keys_independent_of_names()

  def stop(*_: Any) -> None:
    raise TooLongError(f'more than {limit} s')

  signal.signal(signal.SIGALRM, stop)
  with tempfile.TemporaryDirectory() as folder:
    write_images(pathlib.Path(folder))
    for variant in variants(name):
      label = f'{name}:{variant}'
      if wanted is not None and label not in wanted:
        continue
      signal.alarm(limit)
      try:
        result = hash_variant(name, variant, folder)
      except Exception as error:  # data that are away, or the limit
        result = {'skipped': f'{type(error).__name__}: {error}'[:200]}
      finally:
        signal.alarm(0)
      print('RESULT ' + json.dumps({label: result}), flush=True)
  return 0


def make_keys_independent_of_names() -> None:
  """Makes Flax derive random keys from the depth of a module, not its name."""
  from flax.core import scope

  fold = scope._fold_in_static

  def fold_depth(key: Any, path: Any) -> Any:
    depths = [i if isinstance(x, str) else x for i, x in enumerate(path)]
    return fold(key, depths)

  scope._fold_in_static = fold_depth


def variants(name: str) -> list[str]:
  """Returns the names of the variants of a config, '' for the plain one."""
  from gen_jax import config as config_lib
  from gen_jax.errors import InputError

  try:
    config_lib.load(f'{ROOT}/configs/{name}.py:?')
  except InputError as error:  # which lists them
    found = str(error).partition('Known: ')[2].strip('.')
    return ['', *found.split(', ')] if found else []
  return ['']


def hash_variant(name: str, variant: str, folder: str) -> dict[str, Any]:
  """Returns the hashes of one variant, and its seconds."""
  from gen_jax import config as config_lib
  from gen_jax.config import stages
  from gen_jax.core import averaged
  from gen_jax.training.experiment import Experiment
  from gen_jax.training.loop import train

  config = config_lib.load(f'{ROOT}/configs/{name}.py:{variant}')
  if variant != 'test':
    shrink(config)
  use_images(config.data, folder)
  config.checkpoint.every = 0
  config.evals = {}
  config.stages = tuple(
    {k: {} if k == 'evals' else v for k, v in dict(stage).items()}
    for stage in config.stages
  )
  start = time.time()
  with tempfile.TemporaryDirectory() as workdir:
    state, _ = train(config, workdir)
    text = (pathlib.Path(workdir) / 'config.json').read_text()
  plan = stages.plan(config_lib.from_json(text))
  grid = samples(Experiment(plan[-1]), averaged(state))
  return {
    'parameters': digest([v['params'] for v in state.players.values()]),
    'players': digest(state.players),
    'averages': digest(state.ema),
    'samples': digest(grid),
    'seconds': round(time.time() - start, 1),
  }


def shrink(config: Any) -> None:
  """Makes a config a run of a few steps of few images."""
  config.batch_size = min(config.batch_size, BATCH)
  config.steps = STEPS
  run_lazy_updates(config.objective)
  stages = []
  for stage in map(dict, config.stages):
    stage['batch_size'] = min(stage.get('batch_size', BATCH), BATCH)
    stage['steps'] = 3
    for name in ('objective.fade', 'objective.fade_in_steps'):
      if stage.get(name):
        stage[name] = 3
    stages.append(stage)
  config.stages = tuple(stages)


def run_lazy_updates(group: Any) -> None:
  """Lets penalties that run rarely run within the few steps."""
  for name, value in group.items():
    if name in ('penalty_every', 'every') and value > 2:
      group[name] = 2
    elif hasattr(value, 'items'):
      run_lazy_updates(value)


def use_images(data: Any, folder: str) -> None:
  """Gives the variants for a user's own images a folder."""
  if data.get('path') == '':
    data.path = folder
  common = data.get('common')
  if common and common.get('path') == '':
    common.path = folder


def write_images(folder: pathlib.Path) -> None:
  """Writes images of noise: two classes in two splits, and two domains."""
  import numpy as np
  from PIL import Image

  rng = np.random.default_rng(0)
  for split in ('train', 'test'):
    for part in (f'{split}/a', f'{split}/b', f'{split}A', f'{split}B'):
      place = folder / part
      place.mkdir(parents=True)
      for index in range(12):
        image = rng.integers(0, 256, (80, 80, 3), np.uint8)
        Image.fromarray(image).save(place / f'{index}.png')


def samples(experiment: Any, players: Any) -> Any:
  """Returns what a trained model makes: images, or whatever else it can do."""
  import jax

  fns = experiment.objective.predict_fns()
  key = jax.random.key(0)
  if 'sample' in fns:
    return jax.jit(fns['sample'], static_argnames='num')(
      players, key=key, num=16
    )
  raw = {
    k: jax.random.randint(jax.random.key(1), x.shape, 0, 2).astype(x.dtype)
    for k, x in experiment.abstract_batch().items()
    if x.dtype.kind in 'iuf'
  }
  batch = experiment.preprocess(raw, key)
  if 'generate' in fns:
    texts = fns['encode_text'](players, batch)
    return jax.jit(fns['generate'])(players, texts, key=key)
  if 'reconstruct' in fns:
    return jax.jit(fns['reconstruct'])(players, batch, key=key)
  name = next(k for k in ('translate_ab', 'classify', 'encode') if k in fns)
  return jax.jit(fns[name])(players, batch)


def digest(tree: Any) -> str:
  """Returns a hash of the values of a tree, whatever their names are."""
  import jax
  import numpy as np

  leaves = []
  for leaf in jax.tree.leaves(tree):
    leaf = np.asarray(leaf)
    text = f'{leaf.shape}{leaf.dtype}'.encode()
    leaves.append(hashlib.sha256(text + leaf.tobytes()).hexdigest())
  return hashlib.sha256(''.join(sorted(leaves)).encode()).hexdigest()[:16]


if __name__ == '__main__':
  sys.exit(main())
