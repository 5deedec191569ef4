"""Files of torch.save give arrays, and run nothing."""

import collections
import os
import pickle

import numpy as np
import pytest
import torch_container

from gen_jax.data.formats import torch_files
from gen_jax.errors import InputError

BOTH = pytest.mark.parametrize('old', [False, True], ids=['zip', 'sequence'])


def read(path, *groups):
  return torch_files.read(path, '--from', groups)


def refused(path):
  with pytest.raises(InputError) as found:
    read(path)
  (line,) = str(found.value).splitlines()
  assert line.startswith(f'--from: {path} ')
  return line


@BOTH
def test_tensors_come_back_by_their_names(tmp_path, old):
  x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
  state = collections.OrderedDict(
    {'a.weight': x, 'a.bias': x[0, 0].astype('f8'), 'half': x.astype('f2')}
  )
  state['scalar'] = np.array(3, np.float32)
  state['empty'] = np.zeros((0, 5), np.float32)
  state['steps'] = np.arange(3)  # no floats
  state._metadata = {'version': 1}
  torch_container.save(tmp_path / 'x.pth', state, old)
  found = read(tmp_path / 'x.pth')
  assert list(found) == ['a.weight', 'a.bias', 'half', 'scalar', 'empty']
  assert {y.dtype for y in found.values()} == {np.dtype('f4')}
  np.testing.assert_array_equal(found['a.weight'], x)
  np.testing.assert_array_equal(found['a.bias'], x[0, 0])
  np.testing.assert_array_equal(found['half'], x.astype('f2'))
  assert found['scalar'].shape == () and found['empty'].shape == (0, 5)


@BOTH
def test_tensors_may_share_a_memory_in_any_order(tmp_path, old):
  memory = np.arange(24, dtype=np.float32)
  part = torch_container.Tensor(memory, 4, (4, 3), (1, 6))
  whole = torch_container.Tensor(memory, 0, (24,), (1,))
  torch_container.save(tmp_path / 'x.pth', {'part': part, 'whole': whole}, old)
  found = read(tmp_path / 'x.pth')
  wanted = memory.reshape(4, 6).T  # [6, 4], of strides 1 and 6
  np.testing.assert_array_equal(found['part'], [
    [memory[4 + i + 6 * j] for j in range(3)] for i in range(4)
  ])  # fmt: skip
  assert wanted[4, 0] == found['part'][0, 0]
  np.testing.assert_array_equal(found['whole'], memory)


def test_bfloat16_is_the_upper_half_of_a_float(tmp_path):
  x = np.array([1.5, -2, 0.0078125], np.float32)
  halves = (x.view(np.uint32) >> 16).astype(np.uint16)
  torch_container.save(tmp_path / 'x.pth', {'x': halves})
  np.testing.assert_array_equal(read(tmp_path / 'x.pth')['x'], x)


def test_a_group_of_a_checkpoint_is_chosen(tmp_path):
  x = np.ones(2, np.float32)
  whole = {'gen': {'a': x}, 'ema': {'b': x}, 'optim': {'lr': [0.1]}, 'step': 3}
  torch_container.save(tmp_path / 'x.pth', whole)
  assert list(read(tmp_path / 'x.pth', 'ema', 'gen')) == ['b']
  assert list(read(tmp_path / 'x.pth', 'no', 'gen')) == ['a']
  assert 'no dict of tensors' in refused(tmp_path / 'x.pth')


class Call:
  def __init__(self, function, *args):
    self.call = function, args

  def __reduce__(self):
    return self.call


@BOTH
@pytest.mark.parametrize(
  'value,name',
  [
    (Call(os.system, 'touch proof'), r'(posix|nt)\.system'),
    ({'a': Call(eval, 'open("proof", "w")')}, r'\w+\.eval'),
    ({'a': Call(getattr, 'text', 'upper')}, r'\w+\.getattr'),
    ({'a': np.dtype('f4')}, r'numpy\.dtype'),
  ],
)
def test_what_a_file_names_is_refused_before_it_runs(
  tmp_path, monkeypatch, value, name, old
):
  monkeypatch.chdir(tmp_path)
  path = tmp_path / 'x.pth'
  torch_container.write(path, pickle.dumps(value, 2), old=old)
  with pytest.raises(InputError, match=f'needs {name}; only tensors'):
    read(path)
  assert not (tmp_path / 'proof').exists()


@pytest.mark.parametrize(
  'name,state',
  [
    (b'torch\nFloatStorage\n', {'dtype': '<f8'}),
    (b'torch\nFloatStorage\n', (None, {'dtype': '<f8'})),
    (b'torch._utils\n_rebuild_tensor_v2\n', (None, {'array': 1})),
    (b'collections\nOrderedDict\n', (None, {'get': 1})),
  ],
)
def test_a_file_does_not_change_how_the_next_one_is_read(tmp_path, name, state):
  pickled = pickle.dumps(state, 2)[2:-1]
  path = tmp_path / 'x.pth'
  torch_container.write(path, b'\x80\x02c' + name + pickled + b'b.')
  refused(path)
  x = np.ones(3, np.float32)
  torch_container.save(path, collections.OrderedDict(x=x))
  np.testing.assert_array_equal(read(path)['x'], x)


def test_the_first_pickles_of_a_sequence_run_nothing(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  path = tmp_path / 'x.pth'
  path.write_bytes(pickle.dumps(Call(os.system, 'touch proof'), 2))
  assert 'torch.save did not write it' in refused(path)
  assert not (tmp_path / 'proof').exists()


@BOTH
@pytest.mark.parametrize(
  'offset,size,stride',
  [
    (0, (7,), (1,)),
    (5, (2,), (1,)),
    (0, (2, 2), (1, 5)),
    (-1, (2,), (1,)),
    (0, (2,), (-1,)),
    (0, (2**40,), (0,)),
    (0, (7,), (0,)),
    (0, (2**62, 2**62), (0, 0)),
    (0, (2,), (1, 1)),
    (0, (True,), (1,)),
    (7, (0,), (1,)),
  ],
)
def test_a_tensor_that_exceeds_its_memory_is_refused(
  tmp_path, offset, size, stride, old
):
  memory = np.arange(6, dtype=np.float32)
  x = torch_container.Tensor(memory, offset, size, stride)
  torch_container.save(tmp_path / 'x.pth', {'x': x}, old)
  refused(tmp_path / 'x.pth')


def test_a_memory_that_lies_about_its_length_is_refused(tmp_path):
  data, stored = torch_container.pickled({'x': np.ones(6, np.float32)})
  path = tmp_path / 'x.pth'
  torch_container.write(path, data, {'0': stored['0'][:3]})
  refused(path)
  torch_container.write(path, data, {})
  refused(path)
  torch_container.write(path, data, stored, compress=True)
  assert 'compressed' in refused(path)
  data, stored = torch_container.pickled({'x': np.ones(6, np.float32)}, True)
  torch_container.write(path, data, {'0': stored['0'][:3]}, old=True)
  refused(path)


@pytest.mark.parametrize('content', [b'', b'not this', b'\x80\x02]', b'PK\3\4'])
def test_other_files_are_refused(tmp_path, content):
  path = tmp_path / 'x.pth'
  path.write_bytes(content)
  refused(path)
  assert 'No such file' in refused(tmp_path / 'missing.pth')


def test_numbers_that_are_not_finite_are_refused(tmp_path):
  torch_container.save(tmp_path / 'x.pth', {'x': np.array([1, np.inf])})
  assert 'the array x has numbers that are not finite' in refused(
    tmp_path / 'x.pth'
  )
