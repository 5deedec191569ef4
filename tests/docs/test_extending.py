"""The model that docs/extending.md adds is trained as the text says."""

import json
import math
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).parents[2]
TEXT = (ROOT / 'docs' / 'extending.md').read_text()
FILES = dict(
  re.findall(r'`([\w/]+\.py)`:\n\n```python\n(.*?)^```$', TEXT, re.S | re.M)
)
COMMANDS = re.findall(r'^python -m .*$', TEXT, re.M)


@pytest.fixture(scope='module')
def clone(tmp_path_factory):
  """A copy of the repository with the new files."""
  folder = tmp_path_factory.mktemp('clone')
  for name in ('gen_jax', 'configs'):
    shutil.copytree(
      ROOT / name,
      folder / name,
      copy_function=os.symlink,
      ignore=shutil.ignore_patterns('__pycache__'),
    )
  for name, code in FILES.items():
    assert not (folder / name).exists()
    (folder / name).write_text(code)
  return folder


def run(clone, command):
  """Runs a command of the text in the copy; returns what it prints."""
  words = shlex.split(command)
  assert words[0] == 'python'
  done = subprocess.run(
    [sys.executable, *words[1:]],
    cwd=clone,
    env={**os.environ, 'PYTHONPATH': str(clone)},
    text=True,
    capture_output=True,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  return done.stdout


def test_the_model_takes_two_files_and_less_than_sixty_lines():
  assert [pathlib.Path(name).parent.name for name in FILES] == [
    'objectives',
    'configs',
  ]
  lines = [line for code in FILES.values() for line in code.splitlines()]
  assert len([x for x in lines if x and not x.startswith('"""')]) < 60


def test_the_code_follows_the_style_of_the_project(clone):
  ruff = shutil.which('ruff', path=pathlib.Path(sys.executable).parent)
  if not ruff:
    pytest.skip('ruff is not installed')
  for name, code in FILES.items():
    done = subprocess.run(
      [ruff, 'format', '--diff', '--config', ROOT / 'pyproject.toml', '-'],
      input=code,
      text=True,
      capture_output=True,
    )
    assert not done.stdout, f'{name}:\n{done.stdout}'


def losses(workdir):
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  rows = map(json.loads, lines)
  return [v for row in rows for k, v in row.items() if k.endswith('/loss')]


@pytest.mark.slow('trains a model in a process of its own')
def test_the_model_trains_and_generates_images(clone):
  train, sample, *_ = COMMANDS
  assert ':test ' in train
  run(clone, train)
  found = losses(clone / 'runs/mixture_test')
  assert found and all(map(math.isfinite, found))
  run(clone, sample)
  with Image.open(clone / 'samples.png') as image:
    # A grid of 4x4 images of 28x28 pixels, with gaps of 2.
    assert image.size == (4 * 30 + 2, 4 * 30 + 2)


@pytest.mark.slow('trains a model in a process of its own')
def test_a_field_can_be_changed_on_the_command_line(clone):
  train = COMMANDS[-1]
  run(clone, f'{train} --config.steps=2 --config.batch_size=8')
  workdir = clone / 'runs/mixture50'
  config = json.loads((workdir / 'config.json').read_text())
  assert config['objective']['components'] == 50
  assert all(map(math.isfinite, losses(workdir)))
