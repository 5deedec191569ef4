"""Pickles give arrays and lists, and run nothing."""

import os
import pickle

import numpy as np
import pytest

from gen_jax.data.formats import pickles
from gen_jax.errors import InputError


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_lists_come_back(tmp_path, protocol):
  rng = np.random.default_rng(0)
  value = {
    'a': [rng.normal(size=(2, 3)), np.arange(4, dtype='>i2')],
    'b': ('text', 3, 0.5, None, True, np.float32(0.25)),
    'c': np.asfortranarray(rng.normal(size=(3, 4)).astype('f4')),
    'd': np.zeros((0, 5)),
  }
  file = tmp_path / 'x.pickle'
  file.write_bytes(pickle.dumps(value, protocol))
  found = pickles.read(file)
  assert found['b'] == value['b']
  for a, b in zip(
    [*found['a'], found['c'], found['d']],
    [*value['a'], value['c'], value['d']],
    strict=True,
  ):
    np.testing.assert_array_equal(a, b)
    assert a.dtype.kind == b.dtype.kind
  # What was read changed nothing of NumPy's own.
  assert np.dtype('i2').byteorder == '='


def test_text_of_python_2():
  """As Python 2 wrote them: an array's bytes as a string."""
  data = (
    b'cnumpy.core.multiarray\n_reconstruct\np0\n(cnumpy\nndarray\np1\n(I0\ntp2\n'
    b"S'b'\np3\ntp4\nRp5\n(I1\n(I2\ntp6\ncnumpy\ndtype\np7\n(S'i2'\np8\nI0\nI1\n"
    b"tp9\nRp10\n(I3\nS'<'\np11\nNNNI-1\nI-1\nI0\ntp12\nbI00\n"
    b"S'\\x01\\x00\\xff\\x00'\np13\ntp14\nb."
  )
  import io

  found = pickles._plain(pickles.load(io.BytesIO(data), pickles._KNOWN), {})
  assert found.tolist() == [1, 255]


class Call:
  def __init__(self, function, *args):
    self.call = function, args

  def __reduce__(self):
    return self.call


@pytest.mark.parametrize(
  'value',
  [
    Call(os.system, 'touch proof'),
    Call(eval, 'open("proof", "w")'),
    [np.zeros(2), Call(os.mkdir, 'proof')],
    Call(np.frombuffer, b'abcd'),
    np.array([1, 'a', None], dtype=object),
    Call(getattr, 'text', 'upper'),
    Call(np.dtype, 'O'),
    {'a': complex(1, 2)},
    np.zeros(2, [('a', 'f4')]),
  ],
)
@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_anything_else_is_refused_before_it_runs(
  tmp_path, monkeypatch, value, protocol
):
  monkeypatch.chdir(tmp_path)
  file = tmp_path / 'x.pickle'
  file.write_bytes(pickle.dumps(value, protocol))
  with pytest.raises(InputError, match='x.pickle'):
    pickles.read(file)
  assert not (tmp_path / 'proof').exists()


def test_a_pickle_that_asks_for_a_function_says_which(tmp_path):
  file = tmp_path / 'x.pickle'
  file.write_bytes(pickle.dumps(Call(os.system, 'true')))
  with pytest.raises(InputError, match=r'needs (posix|nt)\.system; only'):
    pickles.read(file)


@pytest.mark.parametrize('content', [b'', b'\x80\x04]', b'not a pickle'])
def test_a_damaged_pickle_is_bad_input(tmp_path, content):
  file = tmp_path / 'x.pickle'
  file.write_bytes(content)
  with pytest.raises(InputError, match='cannot be read'):
    pickles.read(file)


def test_a_pickle_that_would_fill_the_memory_as_copies_is_read(tmp_path):
  """Each of 60 lists holds the one before it twice."""
  value = [0]
  for _ in range(60):
    value = [value, value]
  file = tmp_path / 'x.pickle'
  file.write_bytes(pickle.dumps(value))
  found = pickles.read(file)
  assert found[0] is found[1]


def test_a_pickle_that_would_fill_the_memory_by_a_table_is_refused(tmp_path):
  """It stores an object under the number 2^32 - 1."""
  file = tmp_path / 'x.pickle'
  file.write_bytes(b'\x80\x02]r\xff\xff\xff\xff.')
  with pytest.raises(InputError, match='numbers objects'):
    pickles.read(file)


def test_an_array_that_lies_about_its_size_is_refused(tmp_path):
  data = pickle.dumps(np.arange(4, dtype='i4'), 2)
  file = tmp_path / 'x.pickle'
  file.write_bytes(data.replace(b'K\x04\x85', b'K\x7f\x85', 1))
  with pytest.raises(InputError):
    pickles.read(file)
