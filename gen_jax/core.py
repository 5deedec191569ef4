"""The vocabulary: a model is named players and an ordered list of updates.

A VAE is a game of one player, a GAN of two, CycleGAN of four. A loss is a
function of everybody's variables; an update says whose parameters move. What
differs between papers stands in `gen_jax/objectives`, one file per paper; what
is the same for all of them is done once, in `gen_jax/training/step.py`.
"""

import dataclasses
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import flax.struct
import jax
import optax

# {'image': [B, H, W, C], 'label': [B], 'text': [B, K, words, P], ...}
Batch = Mapping[str, jax.Array]
# {'gen': {'params': ..., 'batch_stats': ...}, 'disc': {...}}
Players = Mapping[str, Mapping[str, Any]]
# What a trained model can do, by name. The first argument is the players; like
# a loss it takes the whole batch, for a model may look at more than the image.
#   'sample':       (players, *, key, num) -> images [num, H, W, C]
#   'reconstruct':  (players, batch, *, key) -> images [B, H, W, C]
#   'codes':        (players, *, key, num) -> codes from the prior [num, Z]
#   'map':          (players, codes [B, Z]) -> styles [B, layers, W]
#   'centre':       (players) -> the mean style [W]
#   'synthesise':   (players, styles [B, layers, W], *, key) -> images, with one
#                   noise for all
#   'encode':       (players, batch) -> codes [B, Z]
#   'decode':       (players, codes [B, Z]) -> images [B, H, W, C]
#   'corrupt':      (players, batch, *, key) -> images [B, H, W, C]
#   'classify':     (players, batch) -> logits [B, K]
#   'scores':       (players, batch, *, key) -> {'error': [B], ...}; the larger,
#                   the less an image is like those of training
#   'elbo':         (players, batch, *, key) -> {'elbo': [B], ...}, nats
#   'log_weights':  (players, batch, *, key, num) -> [num, B], nats
#   'features':     (players, batch) -> [B, F]
#   'relabel':      (players, batch, labels [B]) -> images [B, H, W, C]
#   'discriminate': (players, batch) -> logits [B], or scores; the larger, the
#                   more an image looks like data to the judge
#   'translate_ab': (players, batch) -> batch['a'] as images of b, [B, H, W, C]
#   'translate_ba': (players, batch) -> batch['b'] as images of a, [B, H, W, C]
#   'read':         (players, batch) -> vectors of the captions [B, E]
#   'look':         (players, batch) -> vectors of the images [B, E]
#   'illustrate':   (players, vectors of captions [B, E], *, key) -> images
#                   [B, H, W, C]; 'sketch' are those of a first stage
#   'sampling_probabilities': (players, batch) -> [B], of sum 1
PredictFn = Callable[..., Any]


class Aux(NamedTuple):
  """What a loss returns beside its value.

  Attributes:
    metrics: scalars by name, averaged over the devices by the step.
    state: new non-parameter collections by player, such as
      `{'gen': {'batch_stats': ...}}`; what is not named stays as it is. They
      are averaged over the devices, and over the parts of a batch.
    memory: the same, for what is no statistic and cannot be averaged, such as
      images; the loss makes it equal on all devices. It needs an update with
      `whole_batch`, and players without an EMA.
  """

  metrics: dict[str, jax.Array] = {}
  state: dict[str, Any] = {}
  memory: dict[str, Any] = {}


@dataclasses.dataclass(frozen=True)
class Update:
  """Descend `loss` with respect to the players in `wrt`.

  Updates of a step run in their order, each on the outcome of the one before.

  Attributes:
    wrt: the players whose parameters move.
    loss: `(players, batch, *, key, step) -> (scalar, Aux)`. `step` counts from
      the start of the stage, so that a schedule inside a loss is exact over a
      resume.
    every: run at the last step of each `every` steps, so that WGAN's generator
      moves after `n_critic` updates of its critic.
    name: prefix of the update's metrics.
    project: `params -> params`, applied to each player in `wrt` before the loss
      is evaluated: the gradient is taken at the result, and the step starts
      from it. WGAN clips its critic so.
    whole_batch: why the loss of a batch is not the mean over the losses of its
      parts, as a clause for a message; '' if it is. Gradients of such a loss
      cannot be accumulated. Over devices it is right by `parallel.gather` or
      `parallel.batch_mean`.
  """

  wrt: tuple[str, ...]
  loss: Callable[..., tuple[jax.Array, Aux]]
  every: int = 1
  name: str = ''
  project: Callable[[Any], Any] = lambda params: params
  whole_batch: str = ''

  def __post_init__(self):
    if not self.name:
      object.__setattr__(self, 'name', '+'.join(self.wrt))


@flax.struct.dataclass
class TrainState:
  """All that changes in training, and nothing else: no functions, no keys."""

  step: jax.Array  # int32 scalar, steps over all stages
  players: dict[str, Any]
  opt: dict[str, optax.OptState]
  ema: dict[str, Any]  # averaged variables of the players that have an EMA


class Objective(Protocol):
  """One paper. Frozen dataclasses implement it; there is no base class.

  It may also have `warnings(metrics) -> {name: text}`, of host floats (see
  `gen_jax.training.hooks.Warnings`), `classes`, the number of classes that its
  networks know, 0 for none, and `check_batch(size, local)`, which raises
  InputError when a loss cannot be computed for `size` examples, `local` of them
  in each program: `parallel.Parallel.seen` of `size`.
  """

  # What images look like to the networks: 'unit', [0, 1], or 'symmetric',
  # [-1, 1].
  pixels: str

  def init(self, key: jax.Array, batch: Batch) -> Players:
    """Returns every player's variables, for a batch of examples."""

  def updates(self) -> tuple[Update, ...]:
    """Returns what one training step does, in order."""

  def predict_fns(self) -> Mapping[str, PredictFn]:
    """Returns what the trained model can do, by name."""


def stream(seed: int, name: str) -> jax.Array:
  """Returns the root key of a named stream of randomness.

  Keys are never stored: a run's randomness is a function of the seed, the
  stream ('init', 'train', 'eval', ...) and the step.
  """
  return jax.random.fold_in(root_key(seed), zlib.crc32(name.encode()))


def root_key(seed: int) -> jax.Array:
  """Returns the key of a seed from 0 to 2^64 - 1.

  `jax.random.key` takes only the lower 32 bits, so that others would be equal.
  """
  key, high = jax.random.key(seed % 2**32), seed >> 32
  return jax.random.fold_in(key, high) if high else key


def averaged(state: TrainState) -> Players:
  """Returns the players, averaged where there are averages."""
  return {**state.players, **state.ema}
