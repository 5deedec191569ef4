"""The PyTorch side: with fused Adam, eager or compiled by it.

In bfloat16 it is PyTorch's autocast that chooses what is computed in it; the
outputs of the networks become float32 again, as ours.

Usable without PyTorch up to the point where a twin is made.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import jax
import numpy as np

from bench import harness
from gen_jax.core import Objective, Update
from gen_jax.training import optimizers

try:
  import torch
except ImportError:  # an extra
  torch = None

HOW_TO_INSTALL = (
  'PyTorch is not installed, so only our own numbers are shown: pip install -e '
  "'.[bench]' brings it (with CUDA; a CPU build of it serves as well)."
)


# The names that JAX has for products in full float32.
_EXACT = ('highest', 'float32')


class Twin(Protocol):
  """A PyTorch model that is equal to one of ours.

  Attributes:
    players: the modules, by the names of our players.
    tolerance: if it has one, of the losses after a step of training.
  """

  players: Mapping[str, Any]

  def layout(self, player: str, params: Any) -> dict[str, np.ndarray]:
    """Our parameters, or a gradient by them, under the module's names.

    Nothing but a renaming and a permutation of the numbers, so that it holds
    for gradients too.
    """

  def prepare(self, data: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
    """What a data set [N, ...] is kept as, untimed; the rows stay in order."""

  def sample_noise(self, update: str) -> Any:
    """Draws the noise of an update's loss."""

  def noise(self, update: str, key: jax.Array) -> Any:
    """The noise that our loss of the update samples with `key`."""

  def loss(self, update: str, batch: Mapping[str, Any], noise: Any) -> Any:
    """The loss of an update, a scalar tensor, from rows of the data."""


class Theirs:
  """Trains a twin as `gen_jax.training.step` trains our model; see `load`.

  It computes in the precision of our config. With `compiled` its losses are
  compiled, by `torch.compile`.
  """

  def __init__(
    self,
    make: Callable[..., Twin],
    ours: harness.Ours,
    *,
    compiled: bool = False,
  ):
    torch.set_num_threads(harness.cores())
    objective: Objective = ours.experiment.objective
    self.twin = make(objective, ours.config.batch_size)
    self._loss = torch.compile(self.twin.loss) if compiled else self.twin.loss
    self._autocast = torch.autocast(
      torch.get_default_device().type,
      torch.bfloat16,
      enabled=ours.config.precision == 'bfloat16',
    )
    self.updates = objective.updates()
    self.data = self.twin.prepare(ours.batches.data)
    self.step = 0
    self._batch_size = ours.config.batch_size
    self._optimizers, self._rates, self._counts = {}, {}, {}
    for name, module in self.twin.players.items():
      spec = ours.config.optim[name]
      self._optimizers[name] = _adam(module.parameters(), spec)
      counts = [u.every for u in self.updates if name in u.wrt]
      steps = sum(ours.config.steps // every for every in counts)
      self._rates[name] = _rates(spec, steps)
      self._counts[name] = 0

  def load(self, players: Mapping[str, Any]) -> None:
    """Copies our parameters."""
    for name, module in self.twin.players.items():
      arrays = self.twin.layout(name, players[name]['params'])
      with torch.no_grad():
        for key, parameter in module.named_parameters():
          parameter.copy_(tensor(arrays[key]))

  def rows(self, indices: Mapping[str, Any]) -> dict[str, Any]:
    """Gathers a batch; each field has indices of its own."""
    return {k: x[torch.as_tensor(indices[k])] for k, x in self.data.items()}

  def backward(
    self, update: Update, batch: Mapping[str, Any], noise: Any
  ) -> Any:
    """Returns the loss; the gradients by `update.wrt` are left in `.grad`."""
    parameters = []
    for name in update.wrt:
      self._optimizers[name].zero_grad()
      parameters += self.twin.players[name].parameters()
    with self._autocast:
      loss = self._loss(update.name, batch, noise)
    loss.backward(inputs=parameters)
    return loss

  def train_step(
    self, indices: Mapping[str, Any], noise: Callable[[str, int], Any]
  ) -> list:
    """Does every update that is due; returns their losses."""
    batch, losses = self.rows(indices), []
    for index, update in enumerate(self.updates):
      if (self.step + 1) % update.every:
        continue
      losses.append(self.backward(update, batch, noise(update.name, index)))
      for name in update.wrt:
        optimizer, rates = self._optimizers[name], self._rates[name]
        rate = rates[min(self._counts[name], len(rates) - 1)]
        optimizer.param_groups[0]['lr'] = rate
        optimizer.step()
        self._counts[name] += 1
    self.step += 1
    return losses

  def run(self, steps: int) -> None:
    """Trains on random batches, and returns when all is computed."""
    size, batch_size = min(map(len, self.data.values())), self._batch_size
    order = torch.randperm(size).split(batch_size)
    for step in range(steps):
      at = step % (size // batch_size)
      if not at and step:
        order = torch.randperm(size).split(batch_size)
      rows = dict.fromkeys(self.data, order[at])
      losses = self.train_step(
        rows, lambda name, _: self.twin.sample_noise(name)
      )
    losses[-1].item()
    if torch.get_default_device().type == 'cuda':
      # The optimizer's kernels come after those of the loss.
      torch.cuda.synchronize()


def _adam(parameters, spec):
  known = {'name', 'learning_rate', 'schedule', 'warmup', 'clip_norm'}
  known |= {'b1', 'b2', 'eps', 'lazy_rescale'}
  differs = spec.get('clip_norm') or spec.get('lazy_rescale')
  if spec.name != 'adam' or differs or set(spec) - known:
    raise NotImplementedError(f'the benchmark has no such optimizer: {spec}')
  return torch.optim.Adam(
    parameters,
    lr=spec.learning_rate,
    betas=(spec.get('b1', 0.9), spec.get('b2', 0.999)),
    eps=spec.get('eps', 1e-8),
    fused=True,
  )


def _rates(spec, steps: int) -> list[float]:
  """The learning rate of each update, made beforehand to cost nothing."""
  rates = optimizers.schedule(
    spec.schedule, spec.learning_rate, steps, spec.get('warmup', 0)
  )(np.arange(steps))
  return np.broadcast_to(rates, steps).tolist()


def use(device: str) -> bool:
  """Makes a device PyTorch's own, 'cpu' or 'gpu'; says whether it has it."""
  if torch is None:
    return False
  if device == 'gpu':
    if not torch.cuda.is_available():
      return False
    torch.set_default_device('cuda')
    # XLA rounds float32 to TF32 there, unless it is asked not to.
    _round(jax.config.jax_default_matmul_precision not in _EXACT)
  return True


def why_absent() -> str:
  """Returns why there is no PyTorch beside ours, after `use` said no."""
  if torch is None:
    return HOW_TO_INSTALL
  return (
    f'PyTorch {torch.__version__} finds no GPU, so only our own numbers are '
    "shown: pip install -e '.[bench]' brings one with CUDA."
  )


@contextlib.contextmanager
def exact() -> Iterator[None]:
  """Products in full float32, on both sides, wherever the device is."""
  before = torch is not None and torch.backends.cuda.matmul.allow_tf32
  _round(False)
  try:
    with jax.default_matmul_precision('highest'):
      yield
  finally:
    _round(before)


def _round(allowed):
  if torch is None:
    return
  torch.backends.cuda.matmul.allow_tf32 = allowed
  torch.backends.cudnn.allow_tf32 = allowed


def tensor(array: Any) -> Any:
  """A copy of an array, on PyTorch's own device."""
  copy = torch.from_numpy(np.array(array, order='C'))
  return copy.to(torch.get_default_device())


# Our layers in PyTorch's layouts.


def dense(name: str, layer: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """`nn.Dense` as `torch.nn.Linear`: [in, out] -> [out, in]."""
  return _named(name, np.asarray(layer['kernel']).T, layer)


def conv(name: str, layer: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """`Conv` as `torch.nn.Conv2d`: [kh, kw, C, K] -> [K, C, kh, kw]."""
  return _named(name, np.asarray(layer['kernel']).transpose(3, 2, 0, 1), layer)


def conv_transpose(
  name: str, layer: Mapping[str, Any]
) -> dict[str, np.ndarray]:
  """`ConvTranspose` as `ConvTranspose2d`: [kh, kw, C, K] -> [C, K, kh, kw].

  PyTorch's is the transpose of a correlation, ours a correlation: the kernels
  are each other's rotations.
  """
  kernel = rotate(np.asarray(layer['kernel']), 0)
  return _named(name, kernel.transpose(2, 3, 0, 1), layer)


def rotate(x: np.ndarray, axis: int) -> np.ndarray:
  """Turns images by 180 degrees: flips `axis` and the one after it."""
  return np.flip(x, (axis, axis + 1))


def rotated(layer: Mapping[str, Any]) -> dict[str, Any]:
  """The convolution that maps rotated images to rotated images.

  At stride 2 JAX's SAME puts the odd pixel of padding behind the image, and
  PyTorch, with symmetric `padding`, before it. So a twin computes
  our network for images that are rotated by 180 degrees, with kernels that are
  rotated likewise. Then both pad the same pixels, and PyTorch gets by with its
  own `padding` and `output_padding`, without a copy to pad or to crop.
  """
  return {**layer, 'kernel': rotate(np.asarray(layer['kernel']), 0)}


def rotate_flat(x: Any, size: tuple[int, int], axis: int) -> np.ndarray:
  """Turns the pixels of a flat axis, (H, W, C) in this order."""
  x = np.moveaxis(np.asarray(x), axis, 0)
  flipped = rotate(x.reshape(*size, -1, *x.shape[1:]), 0)
  return np.moveaxis(flipped.reshape(x.shape), 0, axis)


def norm(name: str, layer: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """`nn.BatchNorm` as `torch.nn.BatchNorm1d` or `BatchNorm2d`."""
  return _named(name, np.asarray(layer['scale']), layer)


def _named(name, weight, layer):
  arrays = {f'{name}.weight': weight}
  if 'bias' in layer:
    arrays[f'{name}.bias'] = np.asarray(layer['bias'])
  return arrays
