"""Both sides of the benchmark round alike; PyTorch may be absent."""

import types

import jax
import pytest

from bench import __main__ as bench_main
from bench import equivalence, peer
from gen_jax.commands import cli
from gen_jax.runtime import processor


class FakeTorch:
  """The part of PyTorch that chooses a device and its rounding."""

  __version__ = '2.0'

  def __init__(self, gpu):
    self.cuda = types.SimpleNamespace(is_available=lambda: gpu)
    self.backends = types.SimpleNamespace(
      cuda=types.SimpleNamespace(
        matmul=types.SimpleNamespace(allow_tf32=False)
      ),
      cudnn=types.SimpleNamespace(allow_tf32=True),
    )
    self.device = 'cpu'

  def set_default_device(self, device):
    self.device = device

  def rounds(self):
    backends = self.backends
    return backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32


@pytest.mark.parametrize('precision,rounds', [(None, True), ('highest', False)])
def test_pytorch_on_a_gpu_rounds_as_jax_is_asked_to(
  monkeypatch, precision, rounds
):
  torch = FakeTorch(gpu=True)
  monkeypatch.setattr(peer, 'torch', torch)
  with jax.default_matmul_precision(precision):
    assert peer.use('gpu')
  assert torch.device == 'cuda'
  assert torch.rounds() == (rounds, rounds)


@pytest.mark.parametrize(
  'torch,reason', [(None, 'is not installed'), (FakeTorch(False), 'no GPU')]
)
def test_without_a_gpu_for_pytorch_ours_is_timed_alone(
  monkeypatch, torch, reason
):
  monkeypatch.setattr(peer, 'torch', torch)
  assert not peer.use('gpu')
  assert reason in peer.why_absent()
  assert 'only our own numbers are shown' in peer.why_absent()
  assert set(equivalence.check_rounding(False)['matrices']) == {'gen_jax'}


def test_on_a_cpu_products_are_in_full_float32():
  if jax.default_backend() != 'cpu':
    pytest.skip('not on a CPU')
  errors = equivalence.check_rounding(beside=peer.torch is not None)
  assert max(e for by_side in errors.values() for e in by_side.values()) == 0
  line = equivalence.rounding_line(errors)
  assert line.count('in full float32') == 2


def test_rounding_on_one_side_only_is_noticed(monkeypatch):
  errors = iter([3e-4, 3e-4, 1e-8, 3e-4])
  monkeypatch.setattr(equivalence, '_rounding', lambda product: next(errors))
  torch = types.SimpleNamespace(
    nn=types.SimpleNamespace(functional=types.SimpleNamespace(conv2d=None))
  )
  monkeypatch.setattr(peer, 'torch', torch)
  monkeypatch.setattr(peer, 'tensor', lambda array: array)
  with pytest.raises(equivalence.DifferentWork, match='matrices of float32'):
    equivalence.check_rounding()


@pytest.mark.parametrize(
  'flags,compiles',
  [(['--device=gpu'], True), (['--device=gpu', '--eager'], False), ([], False)],
)
def test_torch_compile_is_timed_on_a_gpu_unless_left_out(
  monkeypatch, flags, compiles
):
  seen = []

  def compare(row, args, precisions, beside):
    seen.append(args.compile)
    raise equivalence.DifferentWork('seen enough')

  monkeypatch.setattr(bench_main, '_start', lambda device: None)
  monkeypatch.setattr(bench_main, '_compare', compare)
  monkeypatch.setattr(peer, 'torch', None)
  monkeypatch.setattr('bench.harness.Peak.measure', lambda self: None)
  assert bench_main.main(['--rows=vae_dense', *flags]) == 1
  assert seen == [compiles]


@pytest.mark.parametrize(
  'flags,multiplies,precisions',
  [
    ([], True, ['float32', 'bfloat16']),
    ([], False, ['float32']),
    (['--device=gpu'], True, ['float32']),
    (['--precisions=bfloat16,float32'], False, ['float32', 'bfloat16']),
    (['--precisions=bfloat16'], False, ['bfloat16']),
  ],
)
def test_bfloat16_is_timed_where_the_processor_multiplies_it(
  monkeypatch, flags, multiplies, precisions
):
  monkeypatch.setattr(processor, 'multiplies_bfloat16', lambda: multiplies)
  args = cli.parse(bench_main.Arguments, flags, prog='', description='')
  assert list(bench_main._precisions(args)) == precisions


def test_an_unknown_precision_is_refused(capsys):
  if jax.default_backend() != 'cpu':
    pytest.skip('not on a CPU')
  assert bench_main.main(['--precisions=float16']) == 2
  assert (
    '--precisions=float16: expected float32 or bfl' in capsys.readouterr().err
  )
