"""Writes launch/SCALING.md: what data parallelism costs on TPU chips.

python -m launch.scaling
python -m launch.scaling --compile

The document is made from launch/scaling.json. With --compile, the steps that
are missing there are compiled before, each for described chips of v5e in a
process of its own; this needs the extra tpu-compile and neither a TPU nor the
data. A step that takes longer than --seconds is left out, and tried again the
next time. `--compile=StyleGAN` takes the models whose name begins so.

The step of a large model takes the compiler 10 to 20 minutes, so these need
`--seconds=3600`. It is compiled for 16 chips only, and the numbers for other
chips are derived from that.
"""

import argparse
import json
import pathlib
import subprocess
import sys
from typing import Any, NamedTuple

import jax

from gen_jax import config as config_lib
from gen_jax.config import stages
from gen_jax.data.record import Kept, Record
from gen_jax.runtime import hlo, tpu
from gen_jax.training import cost, roofline
from gen_jax.training.experiment import Experiment, state_bytes

HERE = pathlib.Path(__file__).parent
CACHE = HERE / 'scaling.json'
LATE = 'not finished'  # the beginning of an error
KIND = 'v5e'

_IMAGE = {'image': ((256, 256, 3), 'uint8')}


class Model(NamedTuple):
  """A model of the tables.

  Attributes:
    config: of which the last stage is compiled.
    batch: of a chip where the batch grows with the chips.
    fields: the shape and dtype of each field of the data, where they are not
      here; those of the config's own data if empty.
    large: whether only the steps for 16 chips are compiled.
  """

  config: str
  batch: int
  fields: dict[str, tuple[tuple[int, ...], str]] = {}
  large: bool = False


# The batch is that of the config.
MODELS = {
  'VAE': Model('configs/vae.py', 128),
  'DCGAN': Model('configs/dcgan.py', 64),
  'CycleGAN 256': Model(
    'configs/cyclegan.py:paper',
    1,
    {name: ((256, 256, 3), 'uint8') for name in 'ab'},
    large=True,
  ),
  'StyleGAN 256': Model('configs/stylegan.py:folder256', 8, _IMAGE, large=True),
  'StackGAN 256': Model(
    'configs/stackgan.py:paper',
    64,
    {**_IMAGE, 'embedding': ((10, 1024), 'float32')},
    large=True,
  ),
  'StyleGAN 1024': Model(
    'configs/stylegan.py:folder1024',
    4,
    {'image': ((1024, 1024, 3), 'uint8')},
    large=True,
  ),
}
# Chips, their layout in a slice, and how many slices there are.
LAYOUTS = {
  1: ('1x1', 1),
  16: ('4x4', 1),
  32: ('4x4', 2),
  256: ('16x16', 1),
  1024: ('16x16', 4),
}
TOTAL = 256  # images of a step that the chips share: strong scaling
STRONG = (1, 16, 256)
# Fields of the config whose values are compared, for `COMPILED` chips.
CHANGES = (
  ('DCGAN', 'precision=bfloat16'),
  ('CycleGAN 256', 'precision=bfloat16'),
  ('StyleGAN 256', 'precision=bfloat16'),
  ('StyleGAN 1024', 'parallel=fsdp'),
)
COMPILED = 16  # chips of the steps from which others are derived


class Row(NamedTuple):
  """A step of a model for some chips.

  Attributes:
    model: a key of `MODELS`.
    chips: a key of `LAYOUTS`.
    batch: of each chip.
    change: `field=value`, which replaces a field of the config.
  """

  model: str
  chips: int
  batch: int
  change: str = ''

  @property
  def key(self) -> str:
    """The name in the cache."""
    key = f'{self.model}, chips: {self.chips}, batch of each: {self.batch}'
    return f'{key}, {self.change}' if self.change else key


def weak(model: str, chips: int) -> Row:
  """Returns the row in which each chip has the batch of the config."""
  return Row(model, chips, MODELS[model].batch)


def strong(model: str, chips: int) -> Row:
  """Returns the row in which the chips share one batch."""
  return Row(model, chips, TOTAL // chips)


def rows() -> list[Row]:
  """Returns what is compiled, the cheap and important steps first."""
  found = []
  for form, chips in (
    *((weak, n) for n in (16, 256, 1, 1024, 32)),
    *((strong, n) for n in reversed(STRONG)),
  ):
    for name, model in MODELS.items():
      row = form(name, chips)
      if not model.large:
        found.append(row)
      elif row.batch < TOTAL:  # which would be the batch of a single chip
        found.append(row._replace(chips=COMPILED))
  for name, change in CHANGES:
    found.append(weak(name, COMPILED)._replace(change=change))
  return list(dict.fromkeys(found))


def measure(row: Row) -> dict[str, Any]:
  """Compiles a step; returns its cost, or why there is none."""
  commit = _commit()  # first, for the files may change while it compiles
  model = MODELS[row.model]
  layout, slices = LAYOUTS[row.chips]
  topology = tpu.describe(f'{KIND}:{layout}', slices)
  config = config_lib.complete(config_lib.load(model.config))
  if row.change:
    field, value = row.change.split('=')
    config[field] = value
  kept = None
  if model.fields:
    shapes = {name: shape for name, (shape, _) in model.fields.items()}
    dtypes = {name: dtype for name, (_, dtype) in model.fields.items()}
    kept = Kept('', Record((), shapes, dtypes, {}, 1, ''))
  experiment = cost.with_batch(
    Experiment(stages.plan(config)[-1], kept), row.batch * row.chips
  )
  try:
    compiled = cost.compile_step(experiment, topology.devices)
  except jax.errors.JaxRuntimeError as error:
    if not roofline.out_of_memory(error):
      raise
    return {'error': 'does not fit'}
  state = experiment.abstract_state()
  params = [v['params'] for v in state.players.values()]
  return {
    **cost.device_cost(compiled, row.batch)._asdict(),
    'parameters': sum(x.size for x in jax.tree.leaves(params)),
    'state': state_bytes(state),
    'libtpu': tpu.version(),
    'commit': commit,
  }


def _commit() -> str:
  """Returns the last commit that changed the programs."""

  def git(*command: str) -> str:
    command = ('git', *command, '--', 'gen_jax', 'configs')
    return subprocess.check_output(command, text=True, cwd=HERE.parent).strip()

  last = git('log', '-1', '--format=%h', '--abbrev=7')
  return f'{last} with changes' if git('status', '--porcelain') else last


def compile_missing(prefix: str, seconds: int) -> None:
  """Compiles the rows that the cache does not hold.

  Args:
    prefix: of the names of the models.
    seconds: that one row may take.
  """
  for row in rows():
    cache = json.loads(CACHE.read_text()) if CACHE.exists() else {}
    before = cache.get(row.key, {'error': LATE}).get('error', '')
    if not before.startswith(LATE) or not row.model.startswith(prefix):
      continue
    print(row.key, flush=True)
    command = [sys.executable, '-m', 'launch.scaling', '--row', *map(str, row)]
    try:
      done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, timeout=seconds
      )
      if done.returncode > 0:
        continue  # its error is on the screen
      found = {'error': 'the compiler aborts'}
      if not done.returncode:
        found = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
      found = {'error': f'{LATE} after {seconds} s'}
    cache = json.loads(CACHE.read_text()) if CACHE.exists() else {}
    cache[row.key] = found
    CACHE.write_text(json.dumps(cache, indent=1, sort_keys=True) + '\n')


def report(cache: dict[str, Any]) -> str:
  """Returns the document."""
  chip = tpu.CHIPS[KIND]
  return _TEXT.format(
    kind=KIND,
    libtpu=_values('libtpu', cache),
    commits=_values('commit', cache),
    flops=f'{chip.flops / 1e12:.0f}',
    bandwidth=f'{chip.bandwidth / 1e9:.0f}',
    links=f'{chip.links / 1e9:.0f}',
    network=f'{(chip.network or 0) / 1e9:.3f}',
    total=TOTAL,
    models='\n'.join(_model_row(name, cache) for name in MODELS),
    compiled=COMPILED,
    check=_check(cache),
    weak='\n'.join(
      _weak_row(name, n, cache) for name in MODELS for n in LAYOUTS
    ),
    strong='\n'.join(
      _strong_row(name, n, cache)
      for name, model in MODELS.items()
      for n in STRONG
      if not model.large or n >= COMPILED
    ),
    changes='\n'.join(_change_rows(*x, cache) for x in CHANGES),
    missing=_missing(cache),
  )


def _values(field: str, cache: dict[str, Any]) -> str:
  """Returns the different values of a field of the rows."""
  return ', '.join(sorted({x[field] for x in cache.values() if field in x}))


def _found(
  row: Row, cache: dict[str, Any], most: bool = True
) -> cost.DeviceCost | None:
  """Returns the cost of a row, or None where there is none.

  Args:
    row: the row.
    cache: what was compiled.
    most: see `_derived`.
  """
  entry = cache.get(row.key, {})
  if 'flops' in entry:
    fields = {k: entry[k] for k in cost.DeviceCost._fields}
    fields['collectives'] = {
      kind: hlo.Collectives(*x) for kind, x in entry['collectives'].items()
    }
    return cost.DeviceCost(**fields)
  if not _is_derived(row):
    return None
  found = _found(row._replace(chips=COMPILED), cache)
  return found and _derived(found, row.chips, most)


def _is_derived(row: Row) -> bool:
  return MODELS[row.model].large and row.chips != COMPILED


def _derived(
  found: cost.DeviceCost, chips: int, most: bool = True
) -> cost.DeviceCost:
  """Returns the cost of a step that was compiled for other chips.

  Each chip computes the same. One chip exchanges nothing, what is gathered
  grows with the chips, and chips of several slices also send what they reduce
  to the other slices.

  Args:
    found: the cost for `COMPILED` chips.
    chips: how many others.
    most: whether each chip sends all of it, or an equal part.
  """
  exchanged = dict(found.collectives) if chips > 1 else {}
  if gathered := exchanged.get('all-gather'):
    size = gathered.size * chips // COMPILED
    exchanged['all-gather'] = gathered._replace(size=size)
  if LAYOUTS[chips][1] > 1:
    count, size = exchanged['all-reduce']
    part = 1 if most else chips // LAYOUTS[chips][1]
    exchanged[hlo.BETWEEN_SLICES] = hlo.Collectives(count, size // part)
  return found._replace(collectives=exchanged)


def _bound(row: Row, found: cost.DeviceCost) -> roofline.Bound:
  slices = LAYOUTS[row.chips][1]
  devices: Any = (None,) * row.chips
  return roofline.bound(found, tpu.Topology(KIND, slices, devices))


def _check(cache: dict[str, Any]) -> str:
  """Returns what the rule for large models gives for small ones."""
  lines = [
    '| model | chips | MB to memory: compiled | derived | '
    'bound, us: compiled | derived, least | derived, most |',
    '|---|---|---|---|---|---|---|',
  ]
  for name, model in MODELS.items():
    few = _found(weak(name, COMPILED), cache)
    for chips in LAYOUTS:
      row = weak(name, chips)
      found = _found(row, cache)
      if model.large or chips == COMPILED or not few or not found:
        continue
      guesses = _derived(few, chips, False), _derived(few, chips, True)
      numbers = [f'{x.traffic / 1e6:,.1f}' for x in (found, guesses[0])]
      numbers += [
        f'{_bound(row, x).seconds * 1e6:,.0f}' for x in (found, *guesses)
      ]
      lines.append(f'| {name} | {_chips(chips)} | {" | ".join(numbers)} |')
  return '\n'.join(lines)


def _model_row(name: str, cache: dict[str, Any]) -> str:
  entries = [cache.get(weak(name, n).key, {}) for n in LAYOUTS]
  known = next((x for x in entries if 'state' in x), None)
  sizes = '| |'
  if known:
    sizes = f'| {known["parameters"]:,} | {known["state"] / 1e6:,.1f} MB |'
  return f'| {name} | `{MODELS[name].config}` {sizes} {MODELS[name].batch} |'


def _weak_row(name: str, chips: int, cache: dict[str, Any]) -> str:
  """Returns the line of a row, or two where a number is not certain."""
  row = weak(name, chips)
  if not (_is_derived(row) and LAYOUTS[chips][1] > 1 and _found(row, cache)):
    return _weak_line(row, _found(row, cache), cache, _source(row))
  return '\n'.join(
    _weak_line(row, _found(row, cache, most), cache, source)
    for most, source in ((False, 'derived, least'), (True, 'derived, most'))
  )


def _weak_line(row, found, cache, source) -> str:
  name, chips, *_ = row
  label = f'| {name} | {_chips(chips)} |'
  if found is None:
    return f'{label} {_why(row, cache)} ||||||||||'
  bound = _bound(row, found)
  alone = _found(weak(name, 1), cache)
  kept = '| '
  if alone:
    before = _bound(weak(name, 1), alone)
    kept = (
      f'{before.seconds / bound.seconds:.0%} '
      f'| {_in_turn(before) / _in_turn(bound):.0%}'
    )
  exchanged = sum(x.size for x in found.collectives.values()) / 1e6
  count = sum(x.count for x in found.collectives.values())
  return (
    f'{label} {source} | {found.flops / 1e9:,.2f} '
    f'| {found.accessed / 1e6:,.1f} | {found.traffic / 1e6:,.1f} '
    f'| {found.peak / 2**20:,.0f} | {count} | {exchanged:,.2f} '
    f'| {bound.seconds * 1e6:,.0f} by {bound.name} '
    f'| {row.batch * chips / bound.seconds:,.0f} | {kept} |'
  )


def _strong_row(name: str, chips: int, cache: dict[str, Any]) -> str:
  row = strong(name, chips)
  label = f'| {name} | {chips} | {row.batch} |'
  found = _found(row, cache)
  if found is None:
    return f'{label} {_why(row, cache)} |||||'
  bound = _bound(row, found)
  first = next((n for n in STRONG if _found(strong(name, n), cache)), chips)
  alone = _found(strong(name, first), cache)
  assert alone is not None
  gain = _bound(strong(name, first), alone).seconds / bound.seconds
  return (
    f'{label} {_source(row)} | {found.peak / 2**20:,.0f} '
    f'| {bound.seconds * 1e6:,.0f} by '
    f'{bound.name} | {gain:.1f} of {chips // first} | '
    f'{TOTAL / bound.seconds:,.0f} |'
  )


def _change_rows(name: str, change: str, cache: dict[str, Any]) -> str:
  """Returns the lines of a step as its config has it, and with a change."""
  lines = []
  for value in ('', change):
    row = weak(name, COMPILED)._replace(change=value)
    found = _found(row, cache)
    label = f'| {name} | {f"`{value}`" if value else ""} |'
    if found is None:
      lines.append(f'{label} {_why(row, cache)} |||||||')
      continue
    kinds = ', '.join(f'{x.count} {k}' for k, x in found.collectives.items())
    exchanged = sum(x.size for x in found.collectives.values()) / 1e6
    bound = _bound(row, found)
    lines.append(
      f'{label} {found.flops / 1e9:,.2f} | {found.accessed / 1e6:,.1f} '
      f'| {found.traffic / 1e6:,.1f} | {found.peak / 2**20:,.0f} '
      f'| {kinds} | {exchanged:,.2f} '
      f'| {bound.seconds * 1e6:,.0f} by {bound.name} |'
    )
  return '\n'.join(lines)


def _in_turn(bound: roofline.Bound) -> float:
  """Returns the seconds of a step that exchanges after it computes."""
  return max(bound.compute, bound.memory) + bound.links + bound.network


def _chips(count: int) -> str:
  slices = LAYOUTS[count][1]
  return f'{count} in {slices} slices' if slices > 1 else str(count)


def _source(row: Row) -> str:
  return 'derived' if _is_derived(row) else 'compiled'


def _why(row: Row, cache: dict[str, Any]) -> str:
  if _is_derived(row):
    row = row._replace(chips=COMPILED)
  return cache.get(row.key, {}).get('error', 'not compiled yet')


def _missing(cache: dict[str, Any]) -> str:
  lines = [
    f'- {row.key}: {cache[row.key]["error"]}'
    for row in rows()
    if 'error' in cache.get(row.key, {})
  ]
  return '\n'.join(lines) or 'None.'


_TEXT = """\
# Scaling on TPU chips, compiled

Made by `python -m launch.scaling` from `launch/scaling.json`, which holds the
numbers of the TPU compiler (libtpu {libtpu}) for described chips of {kind},
and the commit of each program: {commits}.
`python -m launch.scaling --compile` compiles what is missing there. Nothing was
measured on a TPU. Every number is either the compiler's (operations, bytes
accessed, memory, collectives and their bytes) or follows from these by the
formulas below. `gen_jax cost --topology` prints the same for any config.

## Formulas

The rates are those of the data sheet of {kind}; `gen_jax/runtime/tpu.py` names
its source.

| limit | seconds of a step |
|---|---|
| compute | operations / {flops} TFLOP/s |
| memory | bytes to memory / {bandwidth} GB/s |
| links | bytes sent within the slice / {links} GB/s |
| network | bytes sent to other slices / {network} GB/s a chip |

*Bytes accessed* are all that operations read and write. Most arrays of a step
stay in the memory on the chip; *bytes to memory* are the others, counted in the
optimized program, where each array has a mark that says where it is.

Of N chips in a slice, each sends 2 (N - 1) / N of the bytes of an all-reduce
and (N - 1) / N of those of an all-gather or an all-to-all. Between S slices it
sends 2 (S - 1) / S of its part of an all-reduce; the compiler states that part.

- *bound*: the largest of the four, as if all limits were used at the same time.
- *images per second*: batch a chip x chips / bound.
- *kept, overlapped*: bound on one chip / bound on all chips.
- *in turn*: the same for max(compute, memory) + links + network, as if
  the exchange began when everything else is done.

The compiler needs 10 to 20 minutes for a step of a large model, so that is
compiled for {compiled} chips only. The other rows of these models are
*derived*: each chip computes the same as one of {compiled}, and reduces arrays
of the same size. An all-gather collects parts of the batch, so its result grows
with the chips. One chip alone exchanges nothing. A chip of several slices also
sends to the other slices: at *least* its equal part of what its slice reduces,
and at *most* all of it. Between these the compiler chooses for each array. The
compiled rows of the VAE and of DCGAN show how good this rule is:

{check}

On 1024 chips, each chip of the VAE sends 23% more than 16 chips reduce.

The latency of a collective is in no data sheet, and is not counted; the column
*collectives* says how many there are. Every update runs in the step. A loop
counts once: the rows of CycleGAN for many chips are too good, because its image
pool takes the images of all chips one by one.

## Models

| model | config | parameters | state | batch a chip |
|---|---|---|---|---|
{models}

The step is that of the last stage. Where the data of a config are not part of
the package, their shapes are described in `launch/scaling.py`.

## Weak scaling

Each chip has the batch of the config, so the batch grows with the chips, and
asks for other learning rates.

| model | chips | numbers | GFLOP | MB accessed | MB to memory | MiB at most \
| collectives | MB exchanged | bound, us | images per second \
| kept, overlapped | in turn |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
{weak}

## Strong scaling

The chips share one batch of {total} images. More than {total} chips would have
less than one image each.

| model | chips | batch a chip | numbers | MiB at most | bound, us | faster \
| images per second |
|---|---|---|---|---|---|---|---|
{strong}

*faster* is in comparison with the fewest chips of the model in this table.

## bfloat16 and fsdp

The steps for {compiled} chips, each with the batch of the config, and the same
with one field of the config changed. The variants `tpu` of `configs/dcgan.py`,
`configs/cyclegan.py` and `configs/stylegan.py` have this precision.

*MiB at most* is the sum of the state, the batch and the temporaries that the
compiler reports. For `parallel=fsdp` this is more than a chip has, and yet the
compiler accepts the step, so it probably counts some of the memory twice.

| model | change | GFLOP | MB accessed | MB to memory | MiB at most \
| collectives | MB exchanged | bound, us |
|---|---|---|---|---|---|---|---|---|
{changes}

## Refused

Steps that the compiler refused, or did not finish in time on the host of this
document (two cores that did other work). `not compiled yet` in a table means
that nobody tried.

{missing}
"""


def main(argv: list[str] | None = None) -> None:
  """Makes the document, or compiles what it is made of."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--compile', nargs='?', const='', metavar='MODEL')
  parser.add_argument('--seconds', type=int, default=480)
  parser.add_argument('--row', nargs=4, help=argparse.SUPPRESS)
  args = parser.parse_args(argv)
  if args.row:
    model, chips, batch, change = args.row
    print(json.dumps(measure(Row(model, int(chips), int(batch), change))))
    return
  if args.compile is not None:
    compile_missing(args.compile, args.seconds)
  (HERE / 'SCALING.md').write_text(report(json.loads(CACHE.read_text())))


if __name__ == '__main__':
  main()
