"""Imports point one way, and what varies stays apart from what does not."""

import ast
import graphlib
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / 'gen_jax'

# What each folder and each module at the top of the package may import of the
# others, from low to high.
ALLOWED = {
  'version': '',
  'errors': '',
  'zoo': 'errors',
  'core': '',
  'registry': 'errors',
  'losses': '',
  'runtime': 'errors',
  'distributed': 'errors runtime',
  'models': 'errors registry runtime distributed',
  'objectives': 'errors core registry losses distributed models',
  'data': 'errors core registry runtime',
  'storage': 'version errors zoo core runtime distributed data',
  'evaluation': (
    'errors core registry runtime distributed models objectives data storage'
  ),
  'config': 'errors registry data',
  'importing': 'errors core models data config',
  'training': (
    'version errors zoo core registry runtime distributed models objectives '
    'data storage evaluation config'
  ),
  'api': 'errors core registry storage evaluation training',
  'commands': (
    'version errors zoo core registry runtime models objectives data storage '
    'evaluation config importing training api'
  ),
  '__init__': 'version api',
  'main': 'registry runtime distributed storage config training commands',
  '__main__': 'errors runtime commands',
}


def place(module):
  """The folder, or the module at the top of the package, of a module."""
  return module.split('.')[1] if '.' in module else '__init__'


def imports(path):
  """The modules of a file, 'gen_jax.core' and the like, and the others.

  Imports inside functions count as well.
  """
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f'{path}: a relative import'
      names = {f'{node.module}.{alias.name}' for alias in node.names}
      yield from (n if n in MODULES else node.module for n in names)


def files(place):
  path = PACKAGE / place
  return [path] if path.is_file() else sorted(path.glob('**/*.py'))


def _module(path):
  parts = path.relative_to(PACKAGE.parent).with_suffix('').parts
  return '.'.join(parts).removesuffix('.__init__')


# What classes of `objectives` may have as a base: kinds of parts, which are
# protocols themselves.
PROTOCOLS = {
  'Protocol',
  'Part',
  'Latents',
  'Regularizer',
  'Conditioning',
  'Sparsity',
}

MODULES = {_module(path): path for path in PACKAGE.glob('**/*.py')}
IMPORTS = {
  module: sorted(set(imports(path)) & MODULES.keys() - {module})
  for module, path in MODULES.items()
}


def test_every_folder_says_what_it_may_import():
  assert {place(module) for module in MODULES} == set(ALLOWED)
  known = set()
  for name, allowed in ALLOWED.items():  # they are ordered from low to high
    assert set(allowed.split()) <= known, name
    known.add(name)


@pytest.mark.parametrize('name', ALLOWED)
def test_imports_point_one_way(name):
  allowed = {name, *ALLOWED[name].split()}
  for module, imported in IMPORTS.items():
    if place(module) == name:
      for other in imported:
        assert place(other) in allowed, f'{module} imports {other}'


def test_no_files_import_each_other():
  try:
    tuple(graphlib.TopologicalSorter(IMPORTS).static_order())
  except graphlib.CycleError as error:
    pytest.fail(f'a cycle of imports: {" <- ".join(error.args[1])}')


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
    if inside != 'training/step.py':
      assert 'value_and_grad' not in text, file
    if inside != 'distributed/collectives.py':
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
    # These alone import modules by name: the first three those of this
    # package, and the last what the user confirmed.
    if str(file.relative_to(PACKAGE)) not in (
      '__main__.py',
      'registry/builder.py',
      'data/opening.py',
      'evaluation/features/extractors.py',
    ):
      assert 'import_module' not in text, file


def test_objectives_are_composed():
  """A class of `objectives` has no base class but a protocol."""
  for file in files('objectives'):
    for node in ast.walk(ast.parse(file.read_text())):
      if isinstance(node, ast.ClassDef):
        for base in node.bases:
          assert ast.unparse(base) in PROTOCOLS, f'{file}: class {node.name}'
