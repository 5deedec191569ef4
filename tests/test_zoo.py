"""The trained models of the package: their files, cards and use."""

import json
import pathlib
import re
import subprocess
import sys
import time

import numpy as np
import pytest

import gen_jax
from gen_jax import zoo
from gen_jax.__main__ import main
from gen_jax.commands.zoo import card, shown, table
from gen_jax.config import load
from gen_jax.storage import published

ROOT = pathlib.Path(__file__).parents[1]
NAMES = sorted(zoo.models())


def error_of(capsys, *arguments):
  assert main([*arguments]) == 2
  (line,) = capsys.readouterr().err.splitlines()
  return line


def test_all_models_together_are_small():
  assert NAMES
  assert sum(path.stat().st_size for path in zoo.models().values()) <= 40e6


@pytest.mark.parametrize('name', NAMES)
def test_a_file_says_what_its_model_is(name):
  about = published.read(zoo.find(name))[1]
  assert about.title and about.license and about.time
  assert about.result in about.metrics
  config = re.match(r'gen_jax train --config=(\S+)', about.command)[1]
  assert load(config).objective.name or load(config).stages
  paths = re.findall(r'"(?:path|data_dir|manual_dir)": "(.+?)"', about.config)
  assert not [path for path in paths if not path.startswith('zoo:')]


@pytest.mark.parametrize('name', NAMES)
def test_the_page_of_a_model_is_its_card(name):
  page = (ROOT / 'docs/zoo' / f'{name}.md').read_text()
  picture = re.search(rf'!\[.*?\]\({name}\.png\)\n\n(.+\n\n)?', page)[0]
  assert page.replace(picture, '') == card(name), (
    'run python -m launch.zoo --pages'
  )


def test_the_list_of_the_pages_is_that_of_the_command(capsys):
  assert main(['zoo']) == 0
  assert capsys.readouterr().out == table()
  assert (ROOT / 'docs/zoo/index.md').read_text().endswith(table(links=True))


@pytest.mark.parametrize('name', NAMES)
def test_a_model_can_be_used_without_data(name):
  model = gen_jax.load(f'zoo:{name}')
  rng = np.random.default_rng(0)
  noise = rng.integers(0, 256, (2, *model.shape), np.uint8)
  if 'draw' in model.capabilities:
    images = model.draw('a red heart', num=2, seed=0)
  elif 'reconstruct' in model.capabilities:
    images = model.reconstruct(noise)
  elif 'translate' in model.capabilities:
    images = model.translate(noise)
  else:
    images = model.sample(num=2, seed=0)
  assert images.shape == (2, *model.shape)
  assert images.std() > 20


def test_an_unknown_name_is_refused_with_the_nearest_one(capsys):
  line = error_of(capsys, 'sample', f'--workdir=zoo:{NAMES[0]}x')
  assert f'no such trained model. Did you mean "{NAMES[0]}"?' in line
  assert 'no such trained model' in error_of(capsys, 'zoo', 'nothing')


def test_a_damaged_file_is_refused(tmp_path, monkeypatch, capsys):
  content = bytearray(zoo.find(NAMES[0]).read_bytes())
  content[-3] ^= 1
  path = tmp_path / 'broken.safetensors'
  path.write_bytes(content)
  monkeypatch.setattr(zoo, 'models', lambda: {'broken': path})
  assert 'SHA-256' in error_of(capsys, 'sample', '--workdir=zoo:broken')
  assert 'SHA-256' in error_of(capsys, 'zoo')


@pytest.mark.long
@pytest.mark.parametrize('name', NAMES)
def test_an_evaluation_gives_the_recorded_result(name, tmp_path):
  about = published.read(zoo.find(name))[1]
  command = [sys.executable, '-m', 'gen_jax', 'evaluate', f'--out={tmp_path}']
  command += [f'--workdir=zoo:{name}', f'--only={about.result.split("/")[0]}']
  subprocess.run(command, cwd=ROOT, check=True)
  lines = (tmp_path / 'metrics.jsonl').read_text().splitlines()
  found = {k: x for line in lines for k, x in json.loads(line).items()}
  assert shown(found[about.result]) == shown(about.metrics[about.result])


@pytest.mark.long
@pytest.mark.parametrize('name', ['dcgan', 'stylegan'])
def test_pictures_come_within_seconds(name, tmp_path):
  start = time.monotonic()
  command = [sys.executable, '-m', 'gen_jax', 'sample', '--num=64']
  command += [f'--workdir=zoo:{name}', f'--out={tmp_path}/x.png']
  subprocess.run(command, cwd=ROOT, check=True)
  assert time.monotonic() - start < 10
