"""The private interfaces of JAX are there, and used in one file alone.

When a test fails with a new version of JAX, its text says which interface has
moved, and what does not work without it.
"""

import ast
import importlib
import inspect
import pathlib
import sys
import types
import warnings

import jax
import jax.numpy as jnp
import pytest

from gen_jax.errors import InputError
from gen_jax.runtime import jax_private

ROOT = pathlib.Path(__file__).parents[2]
FOLDERS = ('gen_jax', 'configs', 'bench', 'launch', 'tests')
LIBRARIES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax')
# A tool for refactorings, which is no test and no part of the package.
EXCEPTIONS = {'jax_private.py', 'parameter_hashes.py', 'test_jax_private.py'}


def names_of(text):
  """Yields the dotted names of the libraries in a file's code."""
  nodes = list(ast.walk(ast.parse(text)))
  aliases = {
    alias.asname: alias.name
    for node in nodes
    if isinstance(node, ast.Import)
    for alias in node.names
  }
  for node in nodes:  # a variable may have the same name
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
      aliases.pop(node.id, None)
  for node in nodes:
    if isinstance(node, ast.Import):
      found = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      found = [f'{node.module}.{alias.name}' for alias in node.names]
    elif isinstance(node, ast.Attribute):
      first, dot, rest = ast.unparse(node).partition('.')
      found = [aliases.get(first, first) + dot + rest]
    else:
      continue
    # `ast.unparse` also gives calls and subscripts.
    yield from (
      name
      for name in found
      if name.split('.')[0] in LIBRARIES
      and name.replace('.', '').isidentifier()
    )


def used():
  """The files that use each dotted name of the libraries."""
  files = {}
  for folder in FOLDERS:
    for file in sorted((ROOT / folder).rglob('*.py')):
      if file.name not in EXCEPTIONS:
        for name in names_of(file.read_text()):
          files.setdefault(name, file.relative_to(ROOT))
  return files


def is_private(name):
  parts = name.split('.')
  hidden = [p for p in parts if p.startswith('_') and not p.endswith('__')]
  return bool(hidden) or name.startswith(
    ('jax.lib.', 'jax.interpreters.', 'jaxlib.xla', 'jaxlib.version')
  )


def look_up(name):
  """Finds a dotted name as an import and an attribute would."""
  parts = name.split('.')
  found = importlib.import_module(parts[0])
  for index, part in enumerate(parts[1:], start=2):
    if not hasattr(found, part) and isinstance(found, types.ModuleType):
      importlib.import_module('.'.join(parts[:index]))
    found = getattr(found, part)
  return found


def test_private_interfaces_are_used_in_one_file():
  private = {f: n for n, f in used().items() if is_private(n)}
  assert not private, f'use gen_jax/runtime/jax_private.py: {private}'


@pytest.mark.parametrize(
  'line,private',
  [
    ('from jax._src import core', True),
    ('import jax\njax._src.core.Tracer', True),
    ('from jax.lib import xla_bridge', True),
    ('from flax.core.scope import _fold_in_static', True),
    ('jax.interpreters.mlir.ir', True),
    ('from jax.extend.core import Jaxpr', False),
    ('jax.__version__', False),
  ],
)
def test_private_names_are_recognized(line, private):
  assert any(map(is_private, names_of(line))) == private


def test_the_public_names_in_use_are_there_and_not_deprecated():
  gone = []
  for name, file in used().items():
    with warnings.catch_warnings():
      warnings.simplefilter('error', DeprecationWarning)
      try:
        look_up(name)
      except (ImportError, AttributeError, DeprecationWarning) as error:
        gone.append(f'{file}: {name}: {error}')
  assert not gone, '\n'.join(gone)


def test_the_state_of_many_processes_is_there():
  assert jax_private.coordination().num_processes in (None, 1)


def test_the_detection_of_clusters_is_there():
  from jax._src.clusters import ClusterEnv

  assert jax_private._clusters(), 'runs without --coordinator find no cluster'
  detect = ClusterEnv.auto_detect_unset_distributed_params
  assert len(inspect.signature(detect).parameters) == 6, (
    f'{detect.__qualname__} takes other arguments: runs on a TPU pod or under '
    'Slurm need --coordinator'
  )


def test_the_class_that_jax2onnx_looks_for_is_there():
  with jax_private.closed_jaxpr():
    from jax._src import core

    assert isinstance(jax.make_jaxpr(jnp.sin)(0.0), core.ClosedJaxpr)


def test_an_environment_without_a_cluster_announces_none(monkeypatch):
  monkeypatch.delenv('SLURM_JOB_ID', raising=False)
  assert jax_private.cluster_size() is None


# What a new version may do: move a module, rename an attribute.
@pytest.mark.parametrize(
  'call,module,attribute',
  [
    (jax_private.coordination, 'jax._src.distributed', None),
    (jax_private.coordination, 'jax._src.distributed', 'global_state'),
    (
      jax_private.coordination,
      'jax._src.distributed',
      'global_state.num_processes',
    ),
    (jax_private.cluster_size, 'jax._src.clusters', None),
    (jax_private.cluster_size, 'jax._src.clusters', 'ClusterEnv'),
    (
      jax_private.cluster_size,
      'jax._src.clusters',
      'ClusterEnv._cluster_types',
    ),
    (
      lambda: jax_private.detect_cluster(1),
      'jax._src.clusters',
      'ClusterEnv.auto_detect_unset_distributed_params',
    ),
    (
      lambda: jax_private.closed_jaxpr().__enter__(),
      'jax._src.core',
      None,
    ),
  ],
)
def test_an_interface_that_moves_is_named_with_its_purpose(
  monkeypatch, call, module, attribute
):
  package, _, last = module.rpartition('.')
  if attribute is None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delattr(sys.modules[package], last)
  else:
    replace_without(monkeypatch, sys.modules[module], attribute.split('.'))
  with pytest.raises(InputError) as caught:
    call()
  text = str(caught.value)
  assert f'has changed {module}.' in text
  assert 'which gen_jax needs to' in text
  assert 'install a version that setup.cfg allows' in text


def replace_without(monkeypatch, owner, names):
  """Puts an object without the last of the names in the place of the real."""
  first, *rest = names
  if not rest:
    monkeypatch.delattr(owner, first)
    return
  monkeypatch.setattr(owner, first, types.SimpleNamespace())


def test_a_kind_of_cluster_without_its_methods_is_noticed(monkeypatch):
  from jax._src.clusters import ClusterEnv

  monkeypatch.setattr(ClusterEnv, '_cluster_types', [types.SimpleNamespace()])
  with pytest.raises(InputError, match='opt_in_only_method'):
    jax_private.cluster_size()
