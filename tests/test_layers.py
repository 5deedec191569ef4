"""Arrows point one way, and what varies stays apart from what does not."""

import ast
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / 'gen_jax'

# What the modules of a folder, or a file, may import of the project.
ALLOWED = {
  'losses': {'losses'},
  'models': {'models', 'errors', 'fields', 'native', 'parallel'},
  'objectives': {
    'objectives',
    'models',
    'losses',
    'core',
    'errors',
    'fields',
    'parallel',
  },
  'data': {'data', 'core', 'errors', 'fields'},
  'core.py': set(),
  'errors.py': set(),
  'fields.py': {'errors'},
  'construction.py': {'errors', 'fields'},
  'schema.py': {'construction', 'data', 'errors', 'fields', 'optim'},
  'locks.py': set(),
  'native.py': {'runtime'},
  'parallel.py': {'errors', 'processes', 'program'},
  'coordinator.py': {'errors'},
  'processes.py': {'coordinator', 'errors', 'runtime'},
  'program.py': set(),
  'runtime.py': set(),
  'step.py': {'core', 'errors', 'parallel'},
  'optim.py': {'errors', 'fields'},
}


def imports(path):
  """The modules of a file, 'gen_jax.core' and the like, and the others."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      if node.module == 'gen_jax':
        yield from (f'gen_jax.{alias.name}' for alias in node.names)
      else:
        yield node.module


def files(place):
  path = PACKAGE / place
  return [path] if path.is_file() else sorted(path.glob('**/*.py'))


@pytest.mark.parametrize('place', ALLOWED)
def test_imports_point_one_way(place):
  for file in files(place):
    for name in imports(file):
      root, _, rest = name.partition('.')
      if root == 'gen_jax':
        assert rest.split('.')[0] in ALLOWED[place], f'{file} imports {name}'


@pytest.mark.parametrize('place', ['objectives', 'losses', 'models'])
def test_papers_see_no_optimizer_config_or_axis_name(place):
  for file in files(place):
    roots = {name.split('.')[0] for name in imports(file)}
    assert not roots & {'optax', 'ml_collections', 'orbax'}, file
    text = file.read_text()
    assert 'axis_name' not in text.replace('axis_name=None', ''), file
    assert 'pmean' not in text, file


def test_gradients_and_collectives_exist_once():
  for file in PACKAGE.glob('**/*.py'):
    text = file.read_text()
    inside = str(file.relative_to(PACKAGE))
    if inside != 'step.py':
      assert 'value_and_grad' not in text, file
    if inside != 'parallel.py':
      assert 'lax.pmean' not in text, file
      assert 'axis_index' not in text, file


def test_nothing_imports_tensorflow():
  for file in PACKAGE.glob('**/*.py'):
    assert 'tensorflow' not in set(imports(file)), file


def test_nothing_that_is_read_is_run():
  for file in PACKAGE.glob('**/*.py'):
    text, roots = file.read_text(), {n.split('.')[0] for n in imports(file)}
    # An unpickler that finds no function or class but a few of arrays.
    if str(file.relative_to(PACKAGE)) == 'data/formats/pickles.py':
      roots -= {'pickle'}
    assert not roots & {'pickle', 'dill', 'joblib', 'shelve', 'marshal'}, file
    for word in ('allow_pickle=True', 'extractall', ' eval(', 'yaml.load('):
      assert word not in text, f'{file}: {word}'
    # Names of a config are looked up in these alone: the first two import
    # modules of this package, and the last what the user confirmed.
    if str(file.relative_to(PACKAGE)) not in (
      'construction.py',
      'data/sources.py',
      'evaluation/features/extractors.py',
    ):
      assert 'import_module' not in text, file
