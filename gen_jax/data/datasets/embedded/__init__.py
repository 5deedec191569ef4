"""The files that ship with gen_jax, read with their checksums."""

import hashlib
import importlib.resources

from gen_jax.errors import InputError


def read(path: str, sha256: str) -> bytes:
  """Returns the bytes of an embedded file, such as 'mnist/x.gz'.

  Args:
    path: relative to this package, with '/'.
    sha256: the hexadecimal digest that the bytes must have.

  Raises:
    InputError: the file is missing, or not what was shipped.
  """
  file = importlib.resources.files(__name__).joinpath(*path.split('/'))
  try:
    data = file.read_bytes()
  except OSError as e:
    raise InputError(f'{file} is missing: reinstall gen_jax.') from e
  if hashlib.sha256(data).hexdigest() != sha256:
    raise InputError(f'{file} is damaged: reinstall gen_jax.')
  return data
