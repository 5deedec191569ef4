"""The package works in an empty folder, without the repository."""

import os
import pathlib
import subprocess
import sys
import venv
import zipfile

import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).parents[1]
pytestmark = pytest.mark.long


def build(source, out):
  """Builds the wheel of a folder or of a source distribution."""
  command = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '-q']
  subprocess.run([*command, '-w', str(out), str(source)], check=True)
  (wheel,) = out.glob('*.whl')
  return wheel


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
  """The wheel that is built from the source distribution."""
  folder = tmp_path_factory.mktemp('dist')
  clone = folder / 'clone'
  # Without what lies in the working folder: a fresh clone.
  subprocess.run(['git', 'clone', '-q', str(ROOT), str(clone)], check=True)
  subprocess.run(
    [sys.executable, '-m', 'build', '--sdist', '-o', str(folder), str(clone)],
    check=True,
    stdout=subprocess.DEVNULL,
  )
  (source,) = folder.glob('*.tar.gz')
  from_source = build(source, folder / 'from_source')
  direct = build(clone, folder / 'direct')
  assert names(from_source) == names(direct)
  return from_source


def names(wheel):
  with zipfile.ZipFile(wheel) as archive:
    return sorted(archive.namelist())


def test_the_wheel_holds_every_file_of_the_package(wheel):
  command = ['git', 'ls-files', 'gen_jax', 'configs']
  listed = subprocess.run(
    command, cwd=ROOT, check=True, capture_output=True, text=True
  ).stdout.split()
  expected = {
    f'gen_jax/{x}' if x.startswith('configs/') else x
    for x in listed
    if not x.endswith('.md')
  }
  assert expected - set(names(wheel)) == set()


def test_the_installed_command_trains_samples_and_evaluates(wheel, tmp_path):
  venv.create(tmp_path / 'env', with_pip=True)
  python = tmp_path / 'env/bin/python'
  subprocess.run([python, '-m', 'pip', 'install', '-q', str(wheel)], check=True)
  work = tmp_path / 'work'
  work.mkdir()
  env = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}

  def gen_jax(*arguments):
    command = [str(python.parent / 'gen_jax'), *arguments]
    done = subprocess.run(
      command, cwd=work, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

  assert 'vae:dense' in gen_jax('configs')
  (work / 'mine.py').write_text(gen_jax('configs', 'vae'))
  gen_jax('train', '--config=vae:test')
  gen_jax('train', '--config=mine.py:test')
  for run in ('vae-test', 'mine-test'):
    gen_jax('sample', f'--workdir=runs/{run}', '--num=4', f'--out={run}.png')
    assert Image.open(work / f'{run}.png').size[0] > 28
  found = gen_jax('evaluate', '--workdir=runs/vae-test', '--only=nll')
  assert 'nll' in found
