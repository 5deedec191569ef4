"""The README and the pages in docs/ name what exists."""

import ast
import importlib
import pathlib
import re
import shlex
import subprocess

import pytest
import yaml

from gen_jax import config as config_lib
from gen_jax.__main__ import module_of
from gen_jax.commands import cli
from gen_jax.commands.configs import describe
from gen_jax.config import stages
from gen_jax.training.experiment import Experiment

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted(
  [
    *ROOT.glob('*.md'),
    *ROOT.glob('docs/**/*.md'),
    *ROOT.glob('launch/*.md'),
  ]
)
TEXTS = {str(page.relative_to(ROOT)): page.read_text() for page in PAGES}
# A file that a page tells the reader to write.
OWN_CONFIGS = ('configs/mixture_vae.py', 'configs/mine.py')
COMMAND = re.compile(r'(?:python -m (?:gen_jax|bench)|launch/\w+\.sh)\b')


def code(text):
  """The lines of the blocks of code of a page that show commands."""
  for language, block in re.findall(
    r'^```(\w*)\n(.*?)^```$', text, re.S | re.M
  ):
    if not language:
      yield from block.replace('\\\n', ' ').splitlines()


COMMANDS = [
  pytest.param(line, id=f'{page}-{number}')
  for page, text in TEXTS.items()
  if page != 'CHANGELOG.md'
  for number, line in enumerate(filter(COMMAND.search, code(text)))
]


def trains(words):
  """Checks the config and the overrides among the words of a command."""
  (name,) = [w.partition('=')[2] for w in words if w.startswith('--config=')]
  if name.partition(':')[0] in OWN_CONFIGS:
    return
  config = config_lib.load(name)
  given = [w for w in words if w.startswith('--config.')]
  changes = cli.overrides(given)
  config_lib.apply(config, changes)
  changed = any(field.startswith('objective.') for field, _ in changes)
  if changed and not config_lib.places(config):  # DIR is not there
    for stage in stages.plan(config):
      experiment = Experiment(stage)
      experiment.check()
      experiment.check_step()


@pytest.mark.parametrize('line', COMMANDS)
def test_a_command_of_the_documents_is_understood(line, monkeypatch, capsys):
  monkeypatch.chdir(ROOT)
  words = shlex.split(line, comments=True)
  if '-m' not in words:
    (script,) = [w for w in words if w.startswith('launch/')]
    assert (ROOT / script).is_file()
    if script == 'launch/local.sh':
      args = words[words.index(script) + 1 :]
      command = ['bash', script, '--dry-run', *args]
      printed = subprocess.run(
        command, text=True, capture_output=True, check=True
      ).stdout
      for process in printed.splitlines():
        trains(shlex.split(process))
    elif '--' in words:
      trains(words[words.index('--') :])
    return
  module, *rest = words[words.index('-m') + 1 :]
  if module == 'gen_jax':
    module = module_of(rest[0])
  flags = {w.partition('=')[0] for w in words if w.startswith('--')}
  if '--config' in flags:
    trains(words)
  if module == 'bench':
    module = 'bench.__main__'
  with pytest.raises(SystemExit):
    importlib.import_module(module).main(['--help'])
  known = set(re.findall(r'--\w+', capsys.readouterr().out))
  assert {f for f in flags if not f.startswith('--config.')} <= known


@pytest.mark.parametrize('page', TEXTS)
def test_configs_of_the_documents_exist(page):
  if page == 'CHANGELOG.md':  # which names what is gone, too
    return
  pattern = r'(?<![\w/])configs/\w+\.py(?::\w+)?'
  for name in set(re.findall(pattern, TEXTS[page])):
    if name.partition(':')[0] not in OWN_CONFIGS:
      config_lib.load(str(ROOT / name))


@pytest.mark.parametrize('page', [p for p in TEXTS if 'models/' in p])
def test_variants_in_the_tables_of_the_documents_exist(page):
  tables = r'^\| Variant.*\n\|[-|]+\n((?:\|.*\n)+)'
  cells = [
    line.split('|')[1]
    for table in re.findall(tables, TEXTS[page], re.M)
    for line in table.splitlines()
  ]
  found = set(re.findall(r'`(\w+)`', ' '.join(cells)))
  known = set()
  for name in re.findall(r'\b(\w+)\.py\b', TEXTS[page]):
    if (path := ROOT / 'configs' / f'{name}.py').exists():
      known |= set(describe(path.read_text()).variants)
  assert found <= known, page


@pytest.mark.parametrize('page', TEXTS)
def test_links_and_pictures_of_the_documents_exist(page):
  links = re.findall(r'\]\(([^)\s]+)\)', TEXTS[page])
  for link in links:
    if re.match(r'https?://|mailto:|#', link):
      continue
    target = (ROOT / page).parent / link.partition('#')[0]
    assert target.exists(), f'{page}: {link}'


def test_the_readme_fits_on_a_few_screens():
  assert len(TEXTS['README.md'].splitlines()) <= 180


def test_every_page_is_in_the_navigation_of_the_site():
  text = (ROOT / 'mkdocs.yml').read_text()
  nav = yaml.safe_load(text[text.index('\nnav:') :])['nav']
  named = set(re.findall(r'[\w/]+\.md', str(nav)))
  pages = {p.removeprefix('docs/') for p in TEXTS if p.startswith('docs/')}
  assert named == pages


def fields_of_configs():
  """The names that declare a field, an argument or a part of a config."""
  for file in (*ROOT.glob('gen_jax/**/*.py'), *ROOT.glob('configs/*.py')):
    for node in ast.walk(ast.parse(file.read_text())):
      if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id
      elif isinstance(node, ast.arg | ast.keyword):
        yield node.arg


def test_config_fields_of_the_documents_exist():
  """Fields in backticks, such as `objective.beta` or `config.data.path`."""
  known = {'json', *fields_of_configs()}  # data.json is a file
  pattern = re.compile(
    r'`(?:--)?(?:config\.)?(?:objective|data|optim|evals|checkpoint)\.([\w.]+)'
  )
  for page, text in TEXTS.items():
    if page != 'CHANGELOG.md':  # which names what is gone, too
      for name in pattern.findall(text):
        unknown = set(name.strip('.').split('.')) - known
        assert not unknown, f'{page}: {name}: {unknown}'
