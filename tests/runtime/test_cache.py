"""Code in the cache is loaded only where no other user can write it."""

import os
import pathlib
import stat

import jax
import pytest

from gen_jax.models.layers import conv_native
from gen_jax.runtime import native_build, settings

pytestmark = pytest.mark.skipif(
  not hasattr(os, 'geteuid'), reason='a system with other rights'
)


@pytest.fixture
def cache(monkeypatch, tmp_path):
  """The folder of the cache, which is not made yet."""
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'home'))
  monkeypatch.delenv('JAX_COMPILATION_CACHE_DIR', raising=False)
  settings._tell.cache_clear()
  yield tmp_path / 'home' / 'gen_jax'
  settings._tell.cache_clear()


def mode(path):
  return stat.S_IMODE(path.stat().st_mode)


def test_it_is_made_for_the_user_alone(cache):
  old = os.umask(0)
  try:
    assert settings.private_folder('native') == cache / 'native'
  finally:
    os.umask(old)
  assert mode(cache) == mode(cache / 'native') == 0o700


@pytest.mark.parametrize('bits', [0o755, 0o775, 0o777])
def test_the_mode_of_an_own_folder_is_repaired(cache, bits, capsys):
  folder = cache / 'compiled'
  folder.mkdir(parents=True)
  (folder / 'file').write_text('')
  for path in (cache, folder):
    path.chmod(bits)
  assert settings.private_folder('compiled') == folder
  assert mode(cache) == mode(folder) == 0o700
  assert not capsys.readouterr().err


def test_a_folder_of_another_user_is_not_used(cache, monkeypatch, capsys):
  (cache / 'compiled').mkdir(parents=True)
  user = os.geteuid()
  monkeypatch.setattr(os, 'geteuid', lambda: user + 1)
  updates = []
  monkeypatch.setattr(jax.config, 'update', lambda *pair: updates.append(pair))
  for _ in range(2):
    settings._cache_compilations()
    assert settings.private_folder('native') is None
  assert not updates
  assert capsys.readouterr().err == (
    f'gen_jax: the cache {cache} is not used: it belongs to the user {user}, '
    f'and this one is {user + 1}. Set XDG_CACHE_HOME to another folder.\n'
  )


@pytest.mark.skipif(
  getattr(os, 'geteuid', lambda: 1)() != 0, reason='only root gives files away'
)
def test_files_that_others_left_in_an_open_folder_are_named(cache, capsys):
  folder = cache / 'compiled'
  folder.mkdir(parents=True)
  (folder / 'theirs').write_text('')
  os.chown(folder / 'theirs', 65534, 65534)
  folder.chmod(0o777)
  assert settings.private_folder('compiled') is None
  assert 'it holds theirs of another user' in capsys.readouterr().err


def test_a_disk_without_modes_is_not_used(cache, monkeypatch, capsys):
  monkeypatch.setattr(pathlib.Path, 'chmod', lambda *args: None)
  cache.mkdir(parents=True)
  os.chmod(cache, 0o777)
  assert settings.private_folder('compiled') is None
  assert 'other users can write in it' in capsys.readouterr().err


def test_a_read_only_folder_that_others_can_read_is_used(cache, monkeypatch):
  def fail(*args):
    raise OSError

  for path in (cache, cache / 'compiled'):
    path.mkdir(parents=True)
    path.chmod(0o755)
  monkeypatch.setattr(pathlib.Path, 'chmod', fail)
  assert settings.private_folder('compiled') == cache / 'compiled'


def test_a_system_without_users_has_nothing_to_check(cache, monkeypatch):
  monkeypatch.delattr(os, 'geteuid')
  assert settings.private_folder('native') == cache / 'native'
  assert settings.is_private(cache)


@pytest.fixture
def compiler(cache, monkeypatch):
  """A compiler that writes b'own'; returns a function that compiles."""

  def run(command, **kwargs):
    pathlib.Path(command[-1]).write_bytes(b'own')
    os.chmod(command[-1], 0o775)  # as with a umask of 002

  monkeypatch.setattr(native_build.subprocess, 'run', run)
  places = {
    'libdnnl.so': pathlib.Path('/lib/libdnnl.so'),
    'dnnl.hpp': pathlib.Path('/include/dnnl.hpp'),
  }
  source = pathlib.Path(conv_native.__file__).with_suffix('.cc')
  folder = settings.private_folder('native')
  return lambda: native_build._compiled(source, places, folder)


def test_a_library_is_compiled_once(compiler):
  library = compiler()
  assert mode(library) == 0o700
  made = library.stat().st_mtime_ns
  assert compiler() == library
  assert library.stat().st_mtime_ns == made


@pytest.mark.parametrize('bits', [0o720, 0o702])
def test_a_library_that_others_can_write_is_compiled_again(compiler, bits):
  library = compiler()
  library.write_bytes(b'changed')
  library.chmod(bits)
  assert compiler().read_bytes() == b'own'
  assert mode(library) == 0o700


def test_nothing_is_loaded_from_the_folder_of_another_user(cache, monkeypatch):
  monkeypatch.setattr(settings, 'private_folder', lambda name: None)
  monkeypatch.setattr(
    native_build, '_open', lambda path: pytest.fail(f'{path} was loaded')
  )
  source = pathlib.Path(conv_native.__file__).with_suffix('.cc')
  assert native_build.load(source) is None
