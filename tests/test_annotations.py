"""Every public function says what it takes and what it returns."""

import ast
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / 'gen_jax'


def public_functions(body, inside=''):
  """Yields the name and the node of each public function and method."""
  for node in body:
    if isinstance(node, ast.ClassDef) and not node.name.startswith('_'):
      yield from public_functions(node.body, f'{node.name}.')
    elif isinstance(node, ast.FunctionDef):
      special = node.name in ('__init__', '__call__')
      if special or not node.name.startswith('_'):
        yield inside + node.name, node


@pytest.mark.parametrize(
  'file', sorted(PACKAGE.glob('**/*.py')), ids=lambda f: f.stem
)
def test_public_functions_are_annotated(file):
  for name, node in public_functions(ast.parse(file.read_text()).body):
    arguments = node.args
    for argument in (
      *arguments.posonlyargs,
      *arguments.args,
      *arguments.kwonlyargs,
      *filter(None, (arguments.vararg, arguments.kwarg)),
    ):
      if argument.arg not in ('self', 'cls'):
        assert argument.annotation, f'{name}({argument.arg})'
    assert node.returns or name.endswith('__init__'), name
