"""The configs of the package: their list, their text and their names."""

import re

import pytest

from gen_jax import config as config_lib
from gen_jax.__main__ import main
from gen_jax.commands.configs import describe
from gen_jax.config import files
from gen_jax.errors import InputError


@pytest.mark.parametrize('name', files.packaged())
def test_the_list_has_each_variant_of_a_config(name):
  path = files.packaged()[name]
  found = describe(path.read_text())
  assert found.summary.endswith('.')
  with pytest.raises(InputError, match='unknown') as caught:
    config_lib.load(f'{path}:nothing_like_it')
  known = re.findall(r'\w+', str(caught.value).partition('Known: ')[2])
  assert sorted(found.variants) == sorted(known)
  assert all(found.variants.values())


def test_the_text_of_a_config_is_printed_to_be_edited(
  capsys, tmp_path, monkeypatch
):
  assert main(['configs', 'vae']) == 0
  (tmp_path / 'mine.py').write_text(capsys.readouterr().out)
  monkeypatch.chdir(tmp_path)  # it needs nothing beside it
  mine = config_lib.load('mine.py:dense')
  assert not config_lib.difference(mine, config_lib.load('vae:dense'))


def test_the_list_names_what_config_takes(capsys):
  assert main(['configs']) == 0
  listed = capsys.readouterr().out
  assert re.search(r'^vae +Variational autoencoder', listed, re.M)
  assert re.search(r'^  vae:dense +fully connected networks', listed, re.M)


def test_an_unknown_name_is_refused_with_the_nearest(capsys):
  assert main(['configs', 'dcgen']) == 2
  assert 'Did you mean "dcgan"?' in capsys.readouterr().err
  with pytest.raises(InputError, match='no config .vea.*"vae".*./vea.py'):
    config_lib.load('vea')


def test_a_path_is_not_the_name_of_a_config(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'vae.py').write_text(
    'from gen_jax.config import default\n'
    'def get_config(arg=None):\n'
    '  config = default()\n'
    '  config.steps = 77\n'
    '  return config\n'
  )
  assert config_lib.load('vae.py').steps == 77
  assert config_lib.load('vae').steps != 77
