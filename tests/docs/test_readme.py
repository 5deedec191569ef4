"""The README's commands name what there is."""

import importlib
import pathlib
import re
import shlex
import subprocess

import pytest

from gen_jax import config as config_lib
from gen_jax.commands import cli

ROOT = pathlib.Path(__file__).parents[2]
BLOCKS = re.findall(
  r'^```\w*\n(.*?)^```$', (ROOT / 'README.md').read_text(), re.S | re.M
)
LINES = [line for block in BLOCKS for line in block.splitlines()]
COMMANDS = [
  line for line in LINES if re.search(r'python -m gen_jax|\.sh\b', line)
]


def trains(words):
  """Checks the config and the overrides among the words of a command."""
  (name,) = [w.partition('=')[2] for w in words if w.startswith('--config=')]
  config = config_lib.load(name)
  given = [w for w in words if w.startswith('--config.')]
  config_lib.apply(config, cli.overrides(given))


@pytest.mark.parametrize('line', COMMANDS)
def test_a_command(line, monkeypatch, capsys):
  monkeypatch.chdir(ROOT)
  words = shlex.split(line, comments=True)
  if '-m' not in words:
    script, *args = words[words.index('launch/local.sh') :]
    command = ['bash', script, '--dry-run', *args]
    printed = subprocess.run(
      command, text=True, capture_output=True, check=True
    ).stdout
    assert len(printed.splitlines()) == 2
    for process in printed.splitlines():
      trains(shlex.split(process))
    return
  module, command, *_ = words[words.index('-m') + 1 :]
  if module == 'gen_jax':
    module = f'gen_jax.commands.{command}'
  flags = {w.partition('=')[0] for w in words if w.startswith('--')}
  if '--config' in flags:
    trains(words)
  with pytest.raises(SystemExit):
    importlib.import_module(module).main(['--help'])
  known = set(re.findall(r'--\w+', capsys.readouterr().out))
  assert {f for f in flags if not f.startswith('--config.')} <= known


def test_the_tables_name_configs():
  text = (ROOT / 'README.md').read_text()
  names = set(re.findall(r'configs/\w+\.py(?::\w+)?', text))
  assert names
  for name in names:
    if name != 'configs/mine.py':  # yours
      config_lib.load(str(ROOT / name))
