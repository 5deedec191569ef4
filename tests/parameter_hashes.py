"""Hashes of what every config trains, to compare two versions of the code.

  python tests/parameter_hashes.py --out=before.json
  (change the code)
  python tests/parameter_hashes.py --out=after.json --compare=before.json

Each variant of each config is trained for a few steps on small batches. The
hashes cover the final parameters, their moving averages and a grid of samples.
They do not depend on the names of players, layers or parameters, so that these
may be renamed. Variants that take longer than a minute are skipped.

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

ROOT = pathlib.Path(__file__).parents[1]
LIMIT = 60  # seconds for a variant


class TooLongError(Exception):
  """A variant takes longer than the limit."""


def digest(tree) -> str:
  """Returns a hash of the values of a tree, whatever their names are."""
  import jax
  import numpy as np

  leaves = []
  for leaf in jax.tree.leaves(tree):
    leaf = np.asarray(leaf)
    text = f'{leaf.shape}{leaf.dtype}'.encode()
    leaves.append(hashlib.sha256(text + leaf.tobytes()).hexdigest())
  return hashlib.sha256(''.join(sorted(leaves)).encode()).hexdigest()[:16]


def without_names() -> None:
  """Makes the random keys of Flax independent of the names of modules."""
  from flax.core import scope

  fold = scope._fold_in_static

  def fold_depth(key, data):
    return fold(
      key, [i if isinstance(x, str) else x for i, x in enumerate(data)]
    )

  scope._fold_in_static = fold_depth


def shrink(config, variant, folder) -> None:
  """Makes a run of a few steps of few images, without evaluators."""
  fields = [config]
  if variant != 'test':
    config.batch_size = min(config.batch_size, 8)
    config.steps = 8
    lazy(config.objective)
    stages = []
    for stage in map(dict, config.stages):
      stage['batch_size'] = min(stage.get('batch_size', 8), 8)
      stage['steps'] = 3
      fade = 'objective.fade_in_steps'
      for name in ('objective.fade', fade):
        if stage.get(name):
          stage[name] = 3
      stages.append(stage)
    config.stages = tuple(stages)
  own_images(config.data, folder)
  config.checkpoint.every = 0
  fields += [dict(stage) for stage in config.stages]
  config.evals = {}
  stages = [dict(stage) for stage in config.stages]
  for stage in stages:
    if 'evals' in stage:
      stage['evals'] = {}
  config.stages = tuple(stages)


def lazy(group) -> None:
  """Lets penalties that run rarely run within the few steps."""
  for name, value in group.items():
    if name in ('penalty_every', 'every') and value > 2:
      group[name] = 2
    elif hasattr(value, 'items'):
      lazy(value)


def own_images(data, folder) -> None:
  """Gives the variants for a user's images a folder of noise."""
  if data.get('path') == '':
    data.path = str(folder)
  common = data.get('common')
  if common and common.get('path') == '':
    common.path = str(folder)


def write_images(folder) -> None:
  """Writes images of two classes, captions, and two domains."""
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


def train(name, variant, folder):
  """Returns the hashes of one variant, and its seconds."""
  import jax

  from gen_jax import config as config_lib
  from gen_jax.config import stages
  from gen_jax.core import averaged
  from gen_jax.training.experiment import Experiment
  from gen_jax.training.loop import train

  config = config_lib.load(f'{ROOT}/configs/{name}.py:{variant}')
  shrink(config, variant, folder)
  start = time.time()
  with tempfile.TemporaryDirectory() as workdir:
    state, _ = train(config, workdir)
    resolved = config_lib.from_json(
      (pathlib.Path(workdir) / 'config.json').read_text()
    )
  experiment = Experiment(stages.plan(resolved)[-1])
  grid = samples(experiment, averaged(state))
  return {
    'parameters': digest([v['params'] for v in state.players.values()]),
    'others': digest(state.players),
    'averages': digest(state.ema),
    'samples': digest(grid),
    'seconds': round(time.time() - start, 1),
    'leaves': len(jax.tree.leaves(state.players)),
  }


def samples(experiment, players):
  """Returns images that the trained model makes, whatever it can do."""
  import jax
  import jax.numpy as jnp

  fns = experiment.objective.predict_fns()
  key = jax.random.key(0)
  if 'sample' in fns:
    fn = jax.jit(fns['sample'], static_argnames='num')
    return fn(players, key=key, num=16)
  batch = experiment.abstract_batch()
  rng = jax.random.key(1)
  raw = {
    k: jax.random.randint(rng, x.shape, 0, 2).astype(x.dtype)
    for k, x in batch.items()
    if x.dtype.kind in 'iuf'
  }
  batch = experiment.preprocess(raw, key)
  for encode, generate in (
    ('read', 'illustrate'),
    ('encode_text', 'generate'),
  ):
    if generate in fns:
      texts = fns[encode](players, batch)
      return jax.jit(fns[generate])(players, texts, key=key)
  for name in ('translate_ab', 'reconstruct', 'classify', 'encode'):
    if name in fns:
      fn = fns[name]
      keys = {'key': key} if name == 'reconstruct' else {}
      return jax.jit(fn)(players, batch, **keys)
  return jnp.zeros(())


def variants(name) -> list[str]:
  """Returns the names of the variants of a config, '' for the plain one."""
  from gen_jax import config as config_lib
  from gen_jax.errors import InputError

  try:
    config_lib.load(f'{ROOT}/configs/{name}.py:?')
  except InputError as error:
    return ['', *str(error).partition('Known: ')[2].strip('.').split(', ')]
  return ['']


def run_config(name, free, wanted) -> None:
  """Trains all variants of one config and prints a line of JSON for each."""
  if free:
    without_names()
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    write_images(folder)
    for variant in variants(name):
      label = f'{name}:{variant}'
      if wanted is not None and label not in wanted:
        continue

      def stop(*_):
        raise TooLongError(f'more than {LIMIT} s')

      signal.signal(signal.SIGALRM, stop)
      signal.alarm(LIMIT * (3 if wanted is not None else 1))
      try:
        result = train(name, variant, folder)
      except Exception as error:
        result = {'skipped': f'{type(error).__name__}: {error}'[:200]}
      finally:
        signal.alarm(0)
      print('RESULT ' + json.dumps({label: result}), flush=True)


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--out', default='parameter_hashes.json')
  parser.add_argument('--compare', help='the output for another version')
  parser.add_argument('--only', help='comma-separated configs')
  parser.add_argument('--quick', action='store_true', help='`test` variants')
  parser.add_argument('--config', help=argparse.SUPPRESS)
  parser.add_argument('--free', action='store_true', help=argparse.SUPPRESS)
  args = parser.parse_args()
  before = (
    json.loads(pathlib.Path(args.compare).read_text()) if args.compare else None
  )
  wanted = None
  names = sorted(p.stem for p in (ROOT / 'configs').glob('*.py'))
  names = [n for n in names if n not in ('presets',)]
  if args.only:
    names = args.only.split(',')
  if before is not None:
    wanted = {k for k, v in before['named'].items() if 'skipped' not in v}
  if args.quick:
    wanted = {f'{n}:test' for n in names}
  if args.config:
    run_config(args.config, args.free, wanted)
    return 0
  results = {'named': {}, 'free': {}}
  for kind in results:
    for name in names:
      command = [sys.executable, __file__, f'--config={name}']
      if args.compare:
        command += [f'--compare={args.compare}']
      if args.quick:
        command += ['--quick']
      if kind == 'free':
        command += ['--free']
      env = {**os.environ, 'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'cpu'}
      done = subprocess.run(
        command, env=env, capture_output=True, text=True, cwd=ROOT
      )
      lines = [x for x in done.stdout.splitlines() if x.startswith('RESULT ')]
      for line in lines:
        results[kind] |= json.loads(line.removeprefix('RESULT '))
      if done.returncode:
        print(name, done.stderr[-2000:], flush=True)
      print(kind, name, len(lines), flush=True)
      pathlib.Path(args.out).write_text(json.dumps(results, indent=1))
  if before is None:
    return 0
  worst = 0
  for label in sorted(wanted):
    same = {}
    for kind in results:
      old, new = before[kind].get(label), results[kind].get(label)
      same[kind] = (
        'missing'
        if not old or not new
        else ' '.join(
          k
          for k in ('parameters', 'others', 'averages', 'samples')
          if old.get(k) != new.get(k)
        )
        or 'equal'
      )
      if new and 'skipped' in new:
        same[kind] = new['skipped']
    bad = same['named'] != 'equal' and same['free'] != 'equal'
    worst |= bad
    print(f'{"DIFFERS" if bad else "ok":8}{label:40}{same}')
  return int(worst)


if __name__ == '__main__':
  sys.exit(main())
