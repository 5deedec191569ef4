"""Checks the program on a GPU, and writes a report.

python -m launch.gpu_check [--device=cpu]; see launch/gpu_check.sh

Each check is a process of its own with a time limit, so a check that fails,
hangs or crashes does not stop the later ones. Its output is kept in
OUT/NAME/output.log. With --device=cpu the same commands run on the CPU.
"""

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import Annotated, Any, Literal
from xml.etree import ElementTree

from gen_jax.commands import cli
from gen_jax.errors import InputError
from gen_jax.registry.fields import Positive
from gen_jax.runtime import reporting
from gen_jax.storage.writer import read_metrics

ROOT = pathlib.Path(__file__).parents[1]
MINUTES = 10.0  # for which the limits of the checks are given
_PACKAGES = (
  'gen_jax', 'jax', 'jaxlib', 'jax-cuda13-plugin', 'jax-cuda12-plugin',
  'flax', 'optax', 'numpy', 'torch',
)  # fmt: skip
_PLATFORMS = {'cpu': 'cpu', 'gpu': 'cuda'}
# Prints the devices. JAX is asked in a process of its own, since it would keep
# a GPU for this one.
_PROBE = (
  'import jax, json; print(json.dumps([d.device_kind for d in jax.devices()]))'
)


class CheckError(Exception):
  """A check ran to its end, and its number is wrong or missing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
  """One check.

  Attributes:
    name: what `--only` and the report call it.
    about: one line for the report.
    commands: run one after the other from the project's root, as `words` makes
      them.
    limit: seconds that they may take together.
    read: returns its number as text from the check's folder.
    expected: the number that makes it pass, as text.
    env: variables that it needs.
    devices: the least number of devices.
    details: a JSON file of its folder that the report holds as well.
  """

  name: str
  about: str
  commands: Sequence[Sequence[str]]
  limit: float
  read: Callable[[pathlib.Path], str]
  expected: str = ''
  env: Mapping[str, str] = dataclasses.field(default_factory=dict)
  devices: int = 1
  details: str = ''


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
  """The arguments."""

  device: Annotated[Literal['cpu', 'gpu'], 'that is checked'] = 'gpu'
  minutes: Annotated[Positive, 'for all checks together'] = MINUTES
  out: Annotated[str, 'folder of the report'] = 'runs/gpu_check'
  only: Annotated[str, 'names of checks with commas; all, if not given'] = ''


# The intervals in which the numbers of short trainings must lie. They contain
# those of a CPU with the same seed in float32 and in bfloat16, with a margin,
# and are far from those before training; docs/platforms.md has all of them.
VAE = (-138.0, -125.0)
DCGAN = (0.0, 200.0)
STYLEGAN = (0.0, 6.5)

# The checks. In their commands {python}, {device} and {out} stand for the
# interpreter, the device and the check's own folder; see `words`.

_TRAIN = ('{python}', '-m', 'gen_jax.main')
_TESTS = ('{python}', '-m', 'pytest', '-p', 'no:cacheprovider')

# The tests compare numbers closely, so products of float32 are not rounded.
_TEST_ENV = {
  'JAX_DEFAULT_MATMUL_PRECISION': 'highest',
  'GEN_JAX_TEST_DEVICES': '1',
}


def tests(name: str, about: str, limit: float, *paths: str) -> Check:
  """Returns a check that runs some of the tests."""
  return Check(
    name=name,
    about=about,
    commands=[(*_TESTS, '--junitxml={out}/tests.xml', *paths)],
    limit=limit,
    read=_read_tests,
    expected='no failure',
    env=_TEST_ENV,
  )


def _read_tests(folder: pathlib.Path) -> str:
  suite = ElementTree.parse(folder / 'tests.xml').getroot().find('testsuite')
  total, skipped = (int(suite.get(k)) for k in ('tests', 'skipped'))
  failed = int(suite.get('failures')) + int(suite.get('errors'))
  text = (
    f'{total - failed - skipped} passed, {failed} failed, {skipped} skipped'
  )
  if failed or total == skipped:
    raise CheckError(text)
  return text


def training(
  name: str,
  about: str,
  metric: str,
  interval: tuple[float, float],
  limit: float,
  *words: str,
) -> Check:
  """Returns a check that trains to a number within an interval."""
  low, high = interval

  def read(folder: pathlib.Path) -> str:
    found = last_metric(folder / 'run', metric)
    if not low <= found <= high:
      raise CheckError(f'{metric} {found:.2f}')
    return f'{metric} {found:.2f}'

  return Check(
    name=name,
    about=about,
    commands=[(*_TRAIN, '--workdir={out}/run', *words)],
    limit=limit,
    read=read,
    expected=f'{low:g} to {high:g}',
  )


def last_metric(workdir: pathlib.Path, name: str) -> float:
  """Returns the last value of a metric of a run.

  Raises:
    CheckError: it has none.
  """
  lines = read_metrics(workdir / 'metrics.jsonl')
  found = [line[name] for line in lines if name in line]
  if not found:
    raise CheckError(f'no {name} in metrics.jsonl')
  return float(found[-1])


def two_devices() -> Check:
  """Returns a check that two devices train as one does.

  Both devices belong to one process, and then to one of two processes each.
  """
  run = ('--config=configs/vae.py:test', '--config.steps=64', _evals('elbo'))
  names = 'one', 'two', 'processes'

  def read(folder: pathlib.Path) -> str:
    one, *others = (last_metric(folder / name, 'elbo') for name in names)
    text = f'elbo {one:.4f}, ' + ', '.join(f'{x:.4f}' for x in others)
    if not all(math.isclose(one, x, rel_tol=1e-3) for x in others):
      raise CheckError(text)
    return text

  local = ('env', 'PYTHON={python}', 'launch/local.sh', '--processes=2')
  return Check(
    name='two_devices',
    about='Trains a VAE on one device, on two and in two processes.',
    commands=[
      ('env', '{one_device}', *_TRAIN, '--workdir={out}/one', *run),
      ('env', '{two_devices}', *_TRAIN, '--workdir={out}/two', *run),
      (*local, '{each_process}', '--', '--workdir={out}/processes', *run),
    ],
    limit=120,
    read=read,
    expected='equal within 0.1%',
    env={'JAX_DEFAULT_MATMUL_PRECISION': 'highest'},
    devices=2,
  )


def benchmark(row: str, limit: float = 60) -> Check:
  """Returns a check that times a row of the benchmark."""
  return Check(
    name=f'bench_{row}',
    about='Does the same work as PyTorch, if it is there, and is timed.',
    commands=[
      ('{python}', '-m', 'bench', '--device={device}', f'--rows={row}')
      + ('--precisions=float32', '--rounds=3', '{seconds}', '--eager')
      + ('--json={out}/bench.json',)
    ],
    limit=limit,
    read=_read_bench,
    expected='equal losses and gradients',
    details='bench.json',
  )


def _read_bench(folder: pathlib.Path) -> str:
  result = json.loads((folder / 'bench.json').read_text())
  (row,) = result['rows']
  if 'warm_seconds' in row:
    warm, cold = row['warm_seconds'], row['cold_seconds']
    return f'first step after {warm:.1f} s, with an empty cache {cold:.1f} s'
  ours = row['gen_jax']
  text = (
    f'{ours["ms_per_step"]:.2f} ms, {ours["images_per_second"]:,.0f} images/s'
  )
  text += (
    f', {row["ratio"]:.2f} times the speed of PyTorch'
    if 'ratio' in row
    else ', without PyTorch'
  )
  return '; '.join([text, *result['remarks']])


def _evals(metric: str) -> str:
  """Returns the override that keeps the evaluator of one metric."""
  evaluators = {
    'elbo': {'name': 'likelihood.ELBO'},
    'digits': {'name': 'fidelity.Fidelity', 'num': 2000},
    'emoji': {'name': 'fidelity.Fidelity', 'features': 'random', 'num': 1690},
  }
  group = {metric: evaluators[metric]}
  return f'--config.evals={group}'


def checks() -> list[Check]:
  """Returns all checks, the most important ones first."""
  rows = ('vae_dense', 'vae_conv', 'dcgan', 'wgan_gp', 'cyclegan_1')
  rows += ('cyclegan_4', 'stylegan', 'start')
  forms = 'tests/configs/test_configs.py::test_the_test_form_trains_and_draws'
  layers = ('conv', 'linear', 'embedding', 'normalization')
  families = ('wgan_gp', 'cyclegan', 'stackgan')
  return [
    tests(
      'layers',
      'Layers, their gradients and the training step, against references.',
      90,
      *(f'tests/models/layers/test_{name}.py' for name in layers),
      'tests/training/test_step.py',
      # Those that need several devices.
      '-k',
      'not device and not collective',
    ),
    *_trainings(),
    tests(
      'resume',
      'A killed and a stopped run end with the bits of an undisturbed one.',
      120,
      'tests/training/test_resume.py::'
      'test_killed_and_stopped_at_any_moment_and_started_again',
    ),
    two_devices(),
    tests(
      'families',
      'Second-order gradients, pairs of images and stages: '
      + ', '.join(families),
      120,
      *(f'{forms}[{name}-jit]' for name in families),
    ),
    *map(benchmark, rows),
  ]


def _trainings() -> list[Check]:
  return [
    training(
      'vae',
      'Trains the VAE for 300 steps; ELBO on the test images, nats.',
      'elbo',
      VAE,
      60,
      '--config=configs/vae.py',
      '--config.steps=300',
      _evals('elbo'),
    ),
    training(
      'dcgan',
      'Trains a narrow DCGAN for 400 steps; Frechet distance on MNIST.',
      'digits/frechet',
      DCGAN,
      60,
      '--config=configs/dcgan.py',
      '--config.steps=400',
      '--config.objective.gen.channels=(64,32)',
      '--config.objective.disc.channels=(32,64)',
      _evals('digits'),
    ),
    training(
      'stylegan',
      'Trains StyleGAN at 8 pixels for 600 steps; Frechet distance on emoji.',
      'emoji/frechet',
      STYLEGAN,
      90,
      '--config=configs/stylegan.py',
      '--config.stages=()',
      '--config.steps=600',
      '--config.batch_size=32',
      '--config.data.shape=(8,8,3)',
      '--config.objective.gen.shape=(8,8,None)',
      '--config.ema.gen=0.99',
      _evals('emoji'),
    ),
  ]


# Running them.


def words(
  command: Sequence[str], device: str, folder: pathlib.Path, seconds: str
) -> list[str]:
  """Returns a command of a check with its places filled in."""
  gpus = (os.environ.get('CUDA_VISIBLE_DEVICES') or '0,1').split(',')
  forced = 'XLA_FLAGS=--xla_force_host_platform_device_count='
  on_gpu = device == 'gpu'
  places = {
    '{python}': sys.executable,
    '{device}': device,
    '{out}': str(folder),
    '{seconds}': seconds,
    '{one_device}': f'CUDA_VISIBLE_DEVICES={gpus[0]}'
    if on_gpu
    else f'{forced}1',
    '{two_devices}': f'CUDA_VISIBLE_DEVICES={",".join(gpus[:2])}'
    if on_gpu
    else f'{forced}2',
    '{each_process}': '--gpus=2' if on_gpu else '--devices=1',
  }
  filled = []
  for word in command:
    for place, text in places.items():
      word = word.replace(place, text)
    filled.append(word)
  return filled


def environment(check: Check, device: str) -> dict[str, str]:
  """Returns the environment of a check's processes."""
  env = {**os.environ, 'JAX_PLATFORMS': _PLATFORMS[device], **check.env}
  # Tests and the benchmark have several processes on one GPU at a time.
  env['XLA_PYTHON_CLIENT_PREALLOCATE'] = 'false'
  if device == 'gpu' and check.devices == 1:
    gpus = os.environ.get('CUDA_VISIBLE_DEVICES') or '0'
    env['CUDA_VISIBLE_DEVICES'] = gpus.split(',')[0]
  return env


def run_check(
  check: Check, device: str, folder: pathlib.Path, limit: float
) -> dict[str, Any]:
  """Runs a check, and returns its line of the report.

  Args:
    check: the check.
    device: 'cpu' or 'gpu'.
    folder: for its files and `output.log`; emptied first.
    limit: seconds after which its processes are killed.
  """
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir(parents=True)
  begin = time.monotonic()
  # A block of some seconds on a GPU; on a CPU a single step may take that long.
  seconds = '--seconds=0.5' if device == 'gpu' else '--steps=1'
  commands = [words(c, device, folder, seconds) for c in check.commands]
  status, number, reason = 'failed', '', ''
  try:
    with (folder / 'output.log').open('w') as log:
      for command in commands:
        left = begin + limit - time.monotonic()
        _run(command, environment(check, device), log, left)
    number, status = check.read(folder), 'passed'
  except subprocess.TimeoutExpired:
    reason = f'it took longer than {limit:.0f} s'
  except CheckError as error:
    number = str(error)
    reason = f'expected {check.expected}'
  except Exception as error:  # whatever it is, the other checks go on
    reason = f'{error or type(error).__name__}; see {folder / "output.log"}'
  return {
    'name': check.name,
    'about': check.about,
    'status': status,
    'number': number,
    'expected': check.expected,
    'reason': reason,
    'seconds': round(time.monotonic() - begin, 1),
    'commands': commands,
    'env': dict(check.env),
    'details': _details(folder / check.details) if check.details else None,
  }


def _details(path: pathlib.Path) -> Any:
  return json.loads(path.read_text()) if path.exists() else None


def _run(
  command: Sequence[str], env: Mapping[str, str], log: Any, seconds: float
) -> None:
  """Runs a command and all that it starts, which ends with it."""
  process = subprocess.Popen(
    command,
    cwd=ROOT,
    env=env,
    stdin=subprocess.DEVNULL,
    stdout=log,
    stderr=subprocess.STDOUT,
    start_new_session=True,
  )
  try:
    code = process.wait(max(seconds, 0.0))
  finally:
    with contextlib.suppress(ProcessLookupError):
      os.killpg(process.pid, signal.SIGKILL)
    process.wait()
  if code:
    raise RuntimeError(f'exit code {code}: {_last_line(log.name)}')


def _last_line(path: str) -> str:
  lines = pathlib.Path(path).read_text(errors='replace').split('\n')
  return next((x.strip() for x in reversed(lines) if x.strip()), 'no output')


def run_all(
  chosen: Sequence[Check],
  device: str,
  count: int,
  folder: pathlib.Path,
  seconds: float,
) -> Iterator[dict[str, Any]]:
  """Runs checks within `seconds`, and yields their lines of the report.

  With more time than `MINUTES` each check may take longer in proportion.
  """
  scale, end = max(1.0, seconds / (60 * MINUTES)), time.monotonic() + seconds
  for check in chosen:
    left = end - time.monotonic()
    reason = ''
    if check.devices > count:
      reason = f'needs {check.devices} devices, and there is {count}'
    elif left <= 0:
      reason = f'no time was left of {seconds / 60:g} minutes'
    if reason:
      line = {'name': check.name, 'about': check.about, 'status': 'skipped'}
      line |= {'number': '', 'expected': check.expected, 'reason': reason}
      line |= {'seconds': 0.0, 'commands': [], 'env': {}, 'details': None}
    else:
      limit = min(left, scale * check.limit)
      line = run_check(check, device, folder / check.name, limit)
    print(
      f'{line["status"]:8}{check.name:18}{line["seconds"]:6.1f} s  '
      + '; '.join(filter(None, (line['number'], line['reason']))),
      flush=True,
    )
    yield line


def find_devices(device: str) -> list[str]:
  """Returns the kind of each device.

  Raises:
    InputError: JAX finds none.
  """
  env = {**os.environ, 'JAX_PLATFORMS': _PLATFORMS[device]}
  done = subprocess.run(
    [sys.executable, '-c', _PROBE], env=env, text=True, capture_output=True
  )
  if done.returncode:
    why = (done.stderr.strip().splitlines() or ['no reason given'])[-1]
    raise InputError(
      f'--device={device}: JAX finds none ({why}); for a GPU: pip install -e '
      "'.[cuda]'; without one: --device=cpu."
    )
  return json.loads(done.stdout.splitlines()[-1])


# The report.


def describe(device: str, kinds: Sequence[str]) -> dict[str, Any]:
  """Returns the device, the versions and the commit."""
  versions = {'python': sys.version.split()[0]}
  for name in _PACKAGES:
    with contextlib.suppress(metadata.PackageNotFoundError):
      versions[name] = metadata.version(name)
  query = ['nvidia-smi', '--format=csv,noheader']
  return {
    'time': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
    'device': device,
    'kinds': list(kinds),
    'driver': _output(*query, '--query-gpu=name,driver_version,memory.total'),
    'commit': _output('git', 'describe', '--always', '--dirty'),
    'versions': versions,
  }


def _output(*command: str) -> str:
  """Returns what a command prints, '' where there is no such command."""
  try:
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
  except OSError:
    return ''
  return '' if done.returncode else done.stdout.strip()


def markdown(report: Mapping[str, Any]) -> str:
  """Returns the report as a page."""
  counts = {
    status: sum(line['status'] == status for line in report['checks'])
    for status in ('passed', 'failed', 'skipped')
  }
  versions = ', '.join(f'{k} {v}' for k, v in report['versions'].items())
  details = [line['details'] for line in report['checks']]
  # The same in each row, unless the benchmark says otherwise.
  rounding = sorted({x['rounding_text'] for x in details if x})
  lines = [
    f'# Check on the {report["device"].upper()}',
    '',
    ', '.join(f'{n} {status}' for status, n in counts.items())
    + f', in {report["seconds"] / 60:.1f} minutes.',
    '',
    f'- Devices: {len(report["kinds"])} x {report["kinds"][0]}',
    *(f'- Driver: {x}' for x in report['driver'].splitlines()),
    f'- Versions: {versions}',
    f'- Commit: {report["commit"] or "unknown"}',
    f'- Time: {report["time"]}',
    *(f'- Benchmark: {text}' for text in rounding),
    '',
    '| Check | Result | Number | Expected | Time | Notes |',
    '|---|---|---|---|---|---|',
  ]
  for line in report['checks']:
    notes = ' '.join(filter(None, (line['about'], line['reason'])))
    cells = [line['name'], line['status'], line['number'], line['expected']]
    cells += [f'{line["seconds"]:.0f} s', notes]
    text = ' | '.join(cell.replace('|', '\\|') for cell in cells)
    lines.append(f'| {text} |')
  lines += ['', 'The commands:', '']
  for line in report['checks']:
    env = [f'{k}={v}' for k, v in line['env'].items()]
    for command in line['commands']:
      lines.append(f'    {shlex.join([*env, *command])}')
  return '\n'.join(lines) + '\n'


def main(argv: Sequence[str] | None = None) -> int:
  """Returns the exit code: 1 when a check failed."""
  about = dict(prog='python -m launch.gpu_check', description=__doc__)
  return reporting.run(lambda: check_all(cli.parse(Arguments, argv, **about)))


def check_all(args: Arguments) -> int:
  """Runs the checks, writes the report and returns the exit code."""
  begin = time.monotonic()
  chosen = {check.name: check for check in checks()}
  if args.only:
    names = args.only.split(',')
    unknown = [name for name in names if name not in chosen]
    if unknown:
      raise InputError(f'--only={unknown[0]}: expected {", ".join(chosen)}.')
    chosen = {name: chosen[name] for name in names}
  kinds = find_devices(args.device)
  # CPU devices can be forced, as many as a check needs.
  count = len(kinds) if args.device == 'gpu' else sys.maxsize
  folder = pathlib.Path(args.out).absolute()
  folder.mkdir(parents=True, exist_ok=True)
  report = describe(args.device, kinds)
  report['checks'] = []
  lines = run_all(
    list(chosen.values()), args.device, count, folder, 60 * args.minutes
  )
  for line in lines:  # a machine that is taken away leaves a report
    report['checks'].append(line)
    report['seconds'] = round(time.monotonic() - begin, 1)
    (folder / 'report.json').write_text(json.dumps(report, indent=2) + '\n')
    (folder / 'report.md').write_text(markdown(report))
  print(f'{folder}/report.md')
  return int(any(line['status'] == 'failed' for line in report['checks']))


if __name__ == '__main__':
  # So that the processes of a check end with this one.
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
  reporting.exit(main())
