"""Measures whether the tests catch faults: changes the code, runs the tests.

  make mutation                                           # 400 mutants
  make mutation ARGS='--files gen_jax/training/step.py --num 0'  # one file

Each mutant is one small change of one expression: another operator, a constant
plus one, a dropped sign, a negated condition, two random keys that are equal.
The tests that execute the changed line run on it, the quickest first, until one
of them fails: then the mutant is caught. Survivors are printed. A survivor is
either equivalent (it changes nothing that a user could observe) or a fault that
no test would notice.

A first run of the tests that are neither long nor slow, with their coverage,
tells which test executes which line. It is kept in `runs/mutation`, as are the
results, so that the same command continues where it was stopped. Delete the
folder after a change of the tests.
"""

import argparse
import ast
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree
from collections.abc import Iterator
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[1]
FILES = (
  'gen_jax/losses/*.py',
  'gen_jax/objectives/*.py',
  'gen_jax/training/step.py',
  'gen_jax/training/optimizers.py',
  'gen_jax/data/pipeline.py',
)

_OPERATORS = {
  ast.Add: ast.Sub,
  ast.Sub: ast.Add,
  ast.Mult: ast.Div,
  ast.Div: ast.Mult,
  ast.FloorDiv: ast.Mult,
  ast.Mod: ast.FloorDiv,
  ast.Pow: ast.Mult,
  ast.Lt: ast.LtE,
  ast.LtE: ast.Lt,
  ast.Gt: ast.GtE,
  ast.GtE: ast.Gt,
  ast.Eq: ast.NotEq,
  ast.NotEq: ast.Eq,
  ast.Is: ast.IsNot,
  ast.IsNot: ast.Is,
  ast.In: ast.NotIn,
  ast.NotIn: ast.In,
  ast.And: ast.Or,
  ast.Or: ast.And,
}
_FUNCTIONS = {
  'mean': 'sum',
  'sum': 'mean',
  'minimum': 'maximum',
  'maximum': 'minimum',
  'min': 'max',
  'max': 'min',
  'argmax': 'argmin',
  'zeros': 'ones',
  'zeros_like': 'ones_like',
  'normal': 'uniform',
  'square': 'abs',
  'sqrt': 'square',
}


class Mutant(NamedTuple):
  """One change of one file.

  Attributes:
    file: its path, from the root of the repository.
    place: the file, the line and the column of the expression.
    lines: the lines on which the change takes effect, first and last.
    before: the expression.
    after: what stands in its place.
    source: the whole changed file.
  """

  file: str
  place: str
  lines: tuple[int, int]
  before: str
  after: str
  source: str

  def __str__(self):
    return f'{self.place}: {self.before}  ->  {self.after}'


def find_mutants(file: str, source: str) -> Iterator[Mutant]:
  """Yields every mutant of a file."""
  tree = ast.parse(source)
  for parent, field, index, node, statement in _expressions(tree):
    condition = field == 'test' and not isinstance(
      node, ast.Compare | ast.BoolOp | ast.UnaryOp
    )
    variants = [ast.UnaryOp(ast.Not(), node)] if condition else []
    for new in [*variants, *_variants(node)]:
      before = ast.unparse(node)
      _replace(parent, field, index, new)
      changed = ast.unparse(ast.fix_missing_locations(tree))
      _replace(parent, field, index, node)
      first = statement.lineno
      if isinstance(statement, ast.If | ast.For | ast.With | ast.FunctionDef):
        first = node.lineno  # and not the whole body
      place = f'{file}:{node.lineno}:{node.col_offset}'
      lines = first, node.end_lineno
      yield Mutant(file, place, lines, before, ast.unparse(new), changed)


def _expressions(node, statement=None):
  """Yields (parent, field, index, expression, statement) of what may change."""
  # Annotations and error messages have no effect that a test should check, and
  # a test of a default value would only repeat it.
  skipped = 'annotation returns decorator_list defaults kw_defaults'.split()
  for field, value in ast.iter_fields(node):
    if field in skipped:
      continue
    children = value if isinstance(value, list) else [value]
    for index, child in enumerate(children):
      if not isinstance(child, ast.AST):
        continue
      if isinstance(child, ast.Raise | ast.JoinedStr):
        continue
      if isinstance(node, ast.ClassDef) and isinstance(child, ast.AnnAssign):
        continue  # the default value of a field
      own = child if isinstance(child, ast.stmt) else statement
      if isinstance(child, ast.expr | ast.AugAssign):
        at = index if isinstance(value, list) else None
        yield node, field, at, child, own
      yield from _expressions(child, own)


def _replace(parent, field, index, new):
  if index is None:
    setattr(parent, field, new)
  else:
    getattr(parent, field)[index] = new


def _variants(node: ast.AST) -> Iterator[ast.AST]:
  """Yields what may stand in place of an expression or a statement."""
  match node:
    case ast.BinOp(left, op, right) if type(op) in _OPERATORS:
      yield ast.BinOp(left, _OPERATORS[type(op)](), right)
    case ast.Compare(left, [op], right) if type(op) in _OPERATORS:
      yield ast.Compare(left, [_OPERATORS[type(op)]()], right)
    case ast.BoolOp(op, values):
      yield ast.BoolOp(_OPERATORS[type(op)](), values)
    case ast.UnaryOp(ast.USub() | ast.Not(), operand):
      yield operand
    case ast.Constant(bool() as value):
      yield ast.Constant(not value)
    case ast.Constant(int() as value):
      yield ast.Constant(value + 1)
    case ast.Constant(float() as value):
      yield ast.Constant(2 * value or 1.0)
    case ast.AugAssign():
      yield ast.Pass()
    case ast.Call(ast.Attribute(_, 'split') as function, args, keywords):
      # All keys of a split are equal.
      call = ast.unparse(ast.Call(function, args, keywords))
      equal = f'(lambda keys: keys[:1].repeat(len(keys)))({call})'
      if call.startswith('jax.random.split'):
        yield ast.parse(equal, mode='eval').body
    case ast.Call(ast.Attribute(value, name), args, keywords):
      if name in _FUNCTIONS:
        other = ast.Attribute(value, _FUNCTIONS[name], ast.Load())
        yield ast.Call(other, args, keywords)


class Tests:
  """Which tests execute which lines, and how long they take."""

  def __init__(self, folder: pathlib.Path):
    self._coverage, timings = folder / 'coverage', folder / 'timings.xml'
    if not timings.exists():
      folder.mkdir(parents=True, exist_ok=True)
      print('running the quick tests once, with their coverage', flush=True)
      subprocess.run(
        [
          *(sys.executable, '-m', 'pytest', '-n', '2'),
          *('-m', 'not long and not slow', f'--junitxml={timings}'),
          *(f'--cov={ROOT}/gen_jax', '--cov-context=test', '--cov-report='),
        ],
        cwd=ROOT,
        env={**os.environ, 'COVERAGE_FILE': str(self._coverage)},
        check=True,
      )
    self._seconds = {}
    for case in xml.etree.ElementTree.parse(timings).iter('testcase'):
      path = case.get('classname').replace('.', '/') + '.py'
      self._seconds[f'{path}::{case.get("name")}'] = float(case.get('time'))

    import coverage

    data = coverage.CoverageData(str(self._coverage))
    data.read()
    # {file: {line: tests}}, read here because a database is not to be used
    # after a fork.
    self._lines = {
      file: {
        line: {context.split('|')[0] for context in contexts if context}
        for line, contexts in data.contexts_by_lineno(file).items()
      }
      for file in data.measured_files()
    }

  def of(self, file: str, lines: tuple[int, int], limit: float) -> list[str]:
    """Returns the tests that may notice a change, the quickest first.

    These are the tests that execute the changed lines, and those beside them.

    Args:
      file: its path, from the root.
      lines: first and last.
      limit: seconds that all of them take.
    """
    by_line = self._lines.get(str(ROOT / file), {})
    wanted = range(lines[0], lines[1] + 1)
    names = set().union(*(by_line.get(line, set()) for line in wanted))
    if not names:  # executed by the import alone, such as a default value
      names = set().union(*by_line.values())
    # What a file computes once may be attributed to one test and checked by
    # another, so the other tests of the same files follow.
    files = {name.partition('::')[0] for name in names}
    others = {n for n in self._seconds if n.partition('::')[0] in files} - names
    chosen, total = [], 0.0
    for group in (names, others):
      for name in sorted(group, key=lambda n: self._seconds.get(n, 1e9)):
        total += self._seconds.get(name, 1e9)
        if total <= limit or not chosen:
          chosen.append(name)
    return chosen


def run_tests(copy: pathlib.Path, names: list[str], limit: float) -> str:
  """Runs tests in a copy of the repository; returns what caught the change.

  Returns:
    The name of the first test that fails, 'timeout', or '' when all pass.
  """
  with tempfile.TemporaryFile('w+') as output:
    child = os.fork()
    if child == 0:
      os.setsid()
      os.dup2(output.fileno(), 1)
      os.dup2(output.fileno(), 2)
      os.chdir(copy)
      sys.path.insert(0, str(copy))
      import pytest

      code = pytest.main(['-x', '-q', '--tb=no', '-p', 'no:xdist', *names])
      os._exit(int(code))
    deadline = time.monotonic() + limit
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
      if time.monotonic() > deadline:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return 'timeout'
      time.sleep(0.02)
    code = os.waitstatus_to_exitcode(ended[1])
    output.seek(0)
    text = output.read()
  if code == 0:
    return ''
  if 'ERROR: not found' in text:
    sys.exit('the tests were renamed: delete runs/mutation and start again')
  failed = re.search(r'^(?:FAILED|ERROR) (\S+)', text, re.MULTILINE)
  return failed[1] if failed else f'exit code {code}: {text[-300:]}'


def work(mutants: list[Mutant], tests: Tests, results: pathlib.Path) -> None:
  """Runs the tests on each mutant; appends the outcomes to a file."""
  with tempfile.TemporaryDirectory() as folder:
    copy = pathlib.Path(folder) / 'gen_jax'
    ignored = shutil.ignore_patterns('.git', '.venv', 'runs', '__pycache__')
    shutil.copytree(ROOT, copy, ignore=ignored)
    sound, unsound = set(), set()  # tests that pass or fail without a change
    for mutant in mutants:
      target = copy / mutant.file
      original = target.read_text()
      names = tests.of(mutant.file, mutant.lines, limit=60)
      while True:
        names = [name for name in names if name not in unsound]
        target.write_text(mutant.source)
        caught = run_tests(copy, names, limit=600) if names else ''
        target.write_text(original)
        if caught not in names or caught in sound:
          break
        fails = run_tests(copy, [caught], limit=600)
        (unsound if fails else sound).add(caught)
      line = json.dumps(
        {'mutant': str(mutant), 'caught': caught, 'tests': len(names)}
      )
      with results.open('a') as file:
        file.write(line + '\n')
      print('caught  ' if caught else 'SURVIVED', mutant, flush=True)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--files', nargs='+', default=FILES)
  parser.add_argument('--num', type=int, default=400, help='0 for all')
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--jobs', type=int, default=2, help='processes')
  parser.add_argument('--out', type=pathlib.Path, default='runs/mutation')
  args = parser.parse_args()

  tests = Tests(ROOT / args.out)
  mutants = []
  for pattern in args.files:
    for path in sorted(ROOT.glob(pattern)):
      file = str(path.relative_to(ROOT))
      mutants += find_mutants(file, path.read_text())
  count = len(mutants)
  random.Random(args.seed).shuffle(mutants)
  mutants = mutants[: args.num or None]
  results = ROOT / args.out / 'results.jsonl'
  lines = results.read_text().splitlines() if results.exists() else []
  done = {json.loads(line)['mutant'] for line in lines}
  mutants = [m for m in mutants if str(m) not in done]
  print(f'{len(mutants)} of {count} mutants to run', flush=True)

  # Imported once; each run of tests is a fork. The project itself is not
  # imported, and no backend of JAX is started, before the fork.
  import flax.linen  # noqa: F401
  import jax  # noqa: F401
  import optax  # noqa: F401
  import orbax.checkpoint  # noqa: F401
  import pytest  # noqa: F401
  import sklearn  # noqa: F401

  workers = []
  for index in range(args.jobs):
    worker = os.fork()
    if worker == 0:
      work(mutants[index :: args.jobs], tests, results)
      os._exit(0)
    workers.append(worker)
  for worker in workers:
    os.waitpid(worker, 0)

  outcomes = [json.loads(line) for line in results.read_text().splitlines()]
  survivors = [o['mutant'] for o in outcomes if not o['caught']]
  caught = len(outcomes) - len(survivors)
  print(f'\n{caught} of {len(outcomes)} mutants were caught. Survivors:')
  print('\n'.join(sorted(survivors)))


if __name__ == '__main__':
  main()
