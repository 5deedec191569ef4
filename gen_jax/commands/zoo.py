"""Lists the trained models of the package, or describes one.

python -m gen_jax zoo
python -m gen_jax zoo dcgan

`zoo:NAME` is used wherever a trained model is read: --workdir=zoo:dcgan.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from gen_jax import zoo as models
from gen_jax.commands import cli


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
  """The arguments."""

  name: Annotated[str, 'model to describe; given without --name=, too'] = ''


def main(argv: Sequence[str] | None = None) -> int:
  """Lists the models, or describes the one that is named."""
  return cli.main(zoo, Arguments, __doc__, cli.naming(argv))


def zoo(args: Arguments) -> None:
  """Prints the list, or the card of one model.

  Raises:
    InputError: there is no model of this name, or its file is damaged.
  """
  if args.name:
    print(card(args.name), end='')
    return
  print(table(), end='')


def table(links: bool = False) -> str:
  """Returns the models, a line each, as a table in Markdown.

  Args:
    links: whether the names are links to the pages of the documents.
  """
  from gen_jax.storage import published

  rows = [('Model', 'What it is', 'Result', 'MB', 'License of the data')]
  for name, path in models.models().items():
    about = published.read(path)[1]
    size = f'{path.stat().st_size / 1e6:.1f}'
    result = _result(about)
    shown_name = f'[{name}]({name}.md)' if links else name
    rows.append((shown_name, about.title, result, size, about.license))
  return _markdown(rows)


def card(name: str) -> str:
  """Returns the description of a model in Markdown.

  Args:
    name: of the model; `zoo:NAME` or NAME.

  Raises:
    InputError: there is no model of this name, or its file is damaged.
  """
  from gen_jax.api import Model
  from gen_jax.core import averaged
  from gen_jax.storage import published
  from gen_jax.training import tasks, trained

  path = models.find(name)
  name = path.stem
  arrays, about = published.read(path)
  state, experiment = trained.open_trained(path)
  model = Model(tasks.make_task(experiment), averaged(state), about.step)
  evaluator = about.result.partition('/')[0]
  facts = [
    ('Result', _result(about)),
    ('Images', ' x '.join(map(str, model.shape))),
    ('Methods', ', '.join(model.capabilities)),
    ('Parameters', _parameters(arrays)),
    ('Steps of training', _steps(about.step, experiment.stage.end)),
    ('Trained with', f'`{about.command}`'),
    ('Time', about.time),
    ('License of the data', about.license),
    ('Version of gen_jax', about.version),
    ('SHA-256 of the arrays', f'`{about.sha256}`'),
  ]
  rows = [('', ''), *(fact for fact in facts if fact[1])]
  return '\n'.join(
    [
      f'# {about.title}',
      '',
      '```',
      f'gen_jax {_use(model, name)}',
      f'gen_jax evaluate --workdir=zoo:{name} --only={evaluator}',
      '```',
      '',
      _markdown(rows),
      'Results of its evaluation, with the protocol of each:',
      '',
      _markdown(_results(experiment.config, about.metrics)),
    ]
  )


def _result(about) -> str:
  """Returns the metric that tells most, '' without one."""
  if about.result not in about.metrics:
    return ''
  return f'{about.result} = {shown(about.metrics[about.result])}'


def _steps(step: int, end: int) -> str:
  """Returns the steps of a training, and of how many if it did not end."""
  return f'{step:,}' if step >= end else f'{step:,} of {end:,}'


def _use(model, name) -> str:
  """Returns a command that shows what a model is for."""
  uses = {
    'corrupt': ('denoise', '--input=DIR --out=denoised'),
    'translate': ('translate', '--input=DIR --out=translated'),
    'draw': ('sample', '--text="a red heart" --num=8 --out=samples.png'),
    'sample': ('sample', '--num=64 --out=samples.png'),
  }
  command, flags = next(uses[k] for k in uses if k in model.capabilities)
  return f'{command} --workdir=zoo:{name} {flags}'


def _results(config, metrics) -> list[tuple[str, ...]]:
  """Returns a row for each evaluator that has numbers."""
  from gen_jax.config import schema

  rows: list[tuple[str, ...]] = [('Evaluator', 'Results', 'Protocol')]
  for name in config.evals:
    own = {
      key.removeprefix(f'{name}/'): value
      for key, value in metrics.items()
      if key == name or key.startswith(f'{name}/')
    }
    fields = {*schema.declared_fields(config, f'evals.{name}'), 'seed'}
    protocol = {
      k: x
      for k, x in own.items()
      if x != '' and (k in fields or k.endswith('_identity'))
    }
    numbers = {
      k: x
      for k, x in own.items()
      if k not in fields and not isinstance(x, str)  # which is a picture
    }
    if numbers:
      rows.append((name, _list(numbers), _list(protocol)))
  return rows


def _parameters(arrays: Mapping[str, Any]) -> str:
  """Returns the number of parameters of each player."""
  sizes: dict[str, int] = {}
  dtypes = set()
  for name, x in arrays.items():
    player, collection, *_ = name.split('/')
    if collection == 'params':
      sizes[player] = sizes.get(player, 0) + x.size
      dtypes.add(str(x.dtype))
  listed = ', '.join(f'{name} {size:,}' for name, size in sizes.items())
  return f'{listed}; {" and ".join(sorted(dtypes))}'


def _list(values: Mapping[str, Any]) -> str:
  return ', '.join(f'{name} {shown(value)}' for name, value in values.items())


def shown(value: Any) -> str:
  """Returns a result as it is printed; numbers have four digits."""
  return f'{value:.4g}' if isinstance(value, float) else str(value)


def _markdown(rows: Sequence[tuple[str, ...]]) -> str:
  """Returns a table whose first row is its head."""
  head, *body = rows
  lines = [head, tuple('---' for _ in head), *body]
  return ''.join(f'| {" | ".join(line)} |\n' for line in lines)
