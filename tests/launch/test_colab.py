"""The notebooks are those of their scripts, and run from top to bottom."""

import ast
import importlib.util
import json
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
COLAB = ROOT / 'launch' / 'colab'

spec = importlib.util.spec_from_file_location('make', COLAB / 'make.py')
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)


def offered(name):
  """The configs that a notebook offers."""
  (names,) = re.findall(
    r'^name = .* @param (\[.*\])$', (COLAB / name).read_text(), re.M
  )
  return [f'configs/{config}.py' for config in json.loads(names)]


# Those that train.
FAMILIES = [n for n in make.SCRIPTS if 'workdir' in (COLAB / n).read_text()]


@pytest.mark.parametrize('name', make.SCRIPTS)
def test_a_notebook_is_that_of_its_script_without_outputs(name):
  script = COLAB / name
  text = script.with_suffix('.ipynb').read_text()
  assert text == make.notebook(script), 'run python launch/colab/make.py'
  for cell in json.loads(text)['cells']:
    assert not cell.get('outputs')
    if cell['cell_type'] == 'code':
      ast.parse(''.join(cell['source']))


@pytest.mark.parametrize('name', make.SCRIPTS)
def test_all_that_a_notebook_imports_of_the_package_exists(name):
  trees = [
    ast.parse((COLAB / script).read_text()) for script in (name, 'setup.py')
  ]
  imports = [
    node
    for tree in trees
    for node in ast.walk(tree)
    if isinstance(node, ast.ImportFrom) and node.module.startswith('gen_jax')
  ]
  assert imports
  for node in imports:
    module = importlib.import_module(node.module)
    for alias in node.names:
      if not hasattr(module, alias.name):
        importlib.import_module(f'{node.module}.{alias.name}')


@pytest.mark.parametrize('name', FAMILIES)
def test_the_configs_that_a_notebook_offers_exist(name):
  for config in offered(name):
    assert (ROOT / config).exists()


def shorter(text, workdir):
  """The notebook with the tiny variant and few steps."""
  text, count = re.subn(r"variant = ''", "variant = 'test'", text)
  text, more = re.subn(r'\bsteps = \d+', 'steps = 6', text)
  assert count == 1
  assert more or re.search(r'\bshare = 0\.05\b', text)
  return text.replace("pathlib.Path('runs')", f"pathlib.Path('{workdir}')")


@pytest.mark.long
@pytest.mark.parametrize('name', make.SCRIPTS)
def test_a_notebook_runs_from_top_to_bottom(name, tmp_path, monkeypatch):
  nbformat = pytest.importorskip('nbformat')
  nbclient = pytest.importorskip('nbclient')
  monkeypatch.setenv('XLA_FLAGS', '')
  monkeypatch.setenv('PYTHONPATH', str(ROOT), prepend=':')
  text, trains = (
    (COLAB / name).with_suffix('.ipynb').read_text(),
    name in FAMILIES,
  )
  if trains:
    text = shorter(text, tmp_path)
  notebook = nbformat.reads(text, 4)
  client = nbclient.NotebookClient(
    notebook, timeout=900, resources={'metadata': {'path': str(ROOT)}}
  )
  client.execute()
  shown = [
    output
    for cell in notebook.cells
    if cell.cell_type == 'code'
    for output in cell.outputs
  ]
  assert any('image/png' in getattr(o, 'data', {}) for o in shown)
  assert not trains or list(tmp_path.glob('*/checkpoints/[0-9]*'))
