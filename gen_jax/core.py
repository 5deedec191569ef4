"""The vocabulary: a model is named players and an ordered list of updates.

A VAE has one player, a GAN two and CycleGAN four. A loss is a function of the
variables of all players; an update says whose parameters move. What differs
between papers is in `gen_jax/objectives`, one file per paper. What is the same
for all of them is done once, in `gen_jax/training/step.py`.
"""

import dataclasses
import inspect
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypedDict

import flax.struct
import jax
import optax

# {'image': [B, H, W, C], 'label': [B], 'text': [B, K, words, P], ...}
Batch = Mapping[str, Any]  # arrays, of NumPy or on the device
# {'gen': {'params': ..., 'batch_stats': ...}, 'disc': {...}}
Players = Mapping[str, Mapping[str, Any]]


# The capabilities of a trained model. Each one is a function of the players. A
# function of examples takes the whole batch, because a model may use more than
# the image.


class Sample(Protocol):
  """Generates `num` images, [num, H, W, C]; of all classes in turn."""

  def __call__(
    self, players: Players, *, key: jax.Array, num: int
  ) -> jax.Array: ...


class SampleClasses(Protocol):
  """Generates an image for each label [N] or row of class weights [N, K]."""

  def __call__(
    self, players: Players, labels: jax.Array, *, key: jax.Array
  ) -> jax.Array: ...


class SampleLatents(Protocol):
  """Draws latents from the prior, [num, Z]."""

  def __call__(
    self, players: Players, *, key: jax.Array, num: int
  ) -> jax.Array: ...


class SampleCodes(Protocol):
  """Generates images for InfoGAN's codes: categories [N], values [N, D].

  An objective with this capability is a `CodedObjective`.
  """

  def __call__(
    self,
    players: Players,
    categories: jax.Array,
    values: jax.Array,
    *,
    key: jax.Array,
  ) -> jax.Array: ...


class MapLatents(Protocol):
  """Maps latents [N, Z] to w of every layer, [N, layers, W]."""

  def __call__(
    self,
    players: Players,
    latents: jax.Array,
    labels: jax.Array | None = None,
  ) -> jax.Array: ...


class AverageW(Protocol):
  """Returns the running mean of w, [W]."""

  def __call__(self, players: Players) -> jax.Array: ...


class Synthesize(Protocol):
  """Generates images for w_plus [N, layers, W], all with the same noise."""

  def __call__(
    self, players: Players, w_plus: jax.Array, *, key: jax.Array
  ) -> jax.Array: ...


class Reconstruct(Protocol):
  """Returns the images of a batch after encoding and decoding, [B, H, W, C]."""

  def __call__(
    self, players: Players, batch: Batch, *, key: jax.Array
  ) -> jax.Array: ...


class Encode(Protocol):
  """Returns the latents of a batch, [B, Z]."""

  def __call__(self, players: Players, batch: Batch) -> jax.Array: ...


class Decode(Protocol):
  """Returns the images of latents [N, Z], [N, H, W, C]."""

  def __call__(self, players: Players, latents: jax.Array) -> jax.Array: ...


class Corrupt(Protocol):
  """Returns the images of a batch with noise, [B, H, W, C]."""

  def __call__(
    self, players: Players, batch: Batch, *, key: jax.Array
  ) -> jax.Array: ...


class Classify(Protocol):
  """Returns class logits, [B, K]."""

  def __call__(self, players: Players, batch: Batch) -> jax.Array: ...


class AnomalyScores(Protocol):
  """Returns scores by name, [B] each; larger for less familiar images."""

  def __call__(
    self, players: Players, batch: Batch, *, key: jax.Array
  ) -> Mapping[str, jax.Array]: ...


class Elbo(Protocol):
  """Returns 'elbo', 'reconstruction' and 'kl' in nats, [B] each."""

  def __call__(
    self, players: Players, batch: Batch, *, key: jax.Array
  ) -> Mapping[str, jax.Array]: ...


class LogWeights(Protocol):
  """Returns `num` log importance weights of each image in nats, [num, B]."""

  def __call__(
    self, players: Players, batch: Batch, *, key: jax.Array, num: int
  ) -> jax.Array: ...


class Features(Protocol):
  """Returns features of a batch, [B, F]."""

  def __call__(self, players: Players, batch: Batch) -> jax.Array: ...


class Relabel(Protocol):
  """Returns the images of a batch with other classes [B], [B, H, W, C]."""

  def __call__(
    self, players: Players, batch: Batch, labels: jax.Array
  ) -> jax.Array: ...


class Discriminate(Protocol):
  """Returns the discriminator's logits, [B]; larger for more real images."""

  def __call__(self, players: Players, batch: Batch) -> jax.Array: ...


class Translate(Protocol):
  """Returns the images of one domain as images of the other, [B, H, W, C]."""

  def __call__(self, players: Players, batch: Batch) -> jax.Array: ...


class EncodeText(Protocol):
  """Returns vectors of the first caption of each example, [B, E]."""

  def __call__(self, players: Players, batch: Batch) -> jax.Array: ...


class EncodeImage(Protocol):
  """Returns vectors of the images of a batch, [B, E]."""

  def __call__(self, players: Players, batch: Batch) -> jax.Array: ...


class Generate(Protocol):
  """Generates an image for each caption vector [N, E], [N, H, W, C]."""

  def __call__(
    self, players: Players, texts: jax.Array, *, key: jax.Array
  ) -> jax.Array: ...


class SamplingProbabilities(Protocol):
  """Returns the probability with which each example is drawn, [B], sum 1."""

  def __call__(self, players: Players, batch: Batch) -> jax.Array: ...


class Capabilities(TypedDict, total=False):
  """The capabilities of a trained model, by name.

  An objective returns those that it has. Generic code looks for a name here,
  never for the class of the objective.
  """

  sample: Sample
  sample_classes: SampleClasses
  sample_latents: SampleLatents
  sample_codes: SampleCodes
  map_latents: MapLatents
  w_avg: AverageW
  synthesize: Synthesize
  reconstruct: Reconstruct
  encode: Encode
  decode: Decode
  corrupt: Corrupt
  classify: Classify
  anomaly_scores: AnomalyScores
  elbo: Elbo
  log_weights: LogWeights
  features: Features
  relabel: Relabel
  discriminate: Discriminate
  translate_ab: Translate
  translate_ba: Translate
  encode_text: EncodeText
  encode_image: EncodeImage
  generate: Generate
  generate_stage1: Generate
  sampling_probabilities: SamplingProbabilities


def required_arguments(capability: str) -> tuple[str, ...]:
  """Returns what a capability takes beside the players, without defaults."""
  call = inspect.signature(Capabilities.__annotations__[capability].__call__)
  return tuple(
    name
    for name, parameter in call.parameters.items()
    if name not in ('self', 'players') and parameter.default is parameter.empty
  )


class Aux(NamedTuple):
  """The results of a loss besides its value.

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
      moves after `disc_steps` updates of its critic.
    name: prefix of the update's metrics.
    project: `params -> params`, applied to each player in `wrt` before the loss
      is evaluated: the gradient is taken at the result, and the step starts
      from it. WGAN clips its critic so.
    whole_batch: why the loss of a batch is not the mean over the losses of its
      parts, as a clause for a message; '' if it is. Gradients of such a loss
      cannot be accumulated. Over devices it is right by `collectives.gather` or
      `collectives.batch_mean`.
    check_batch: `(size, local)` raises InputError when the loss cannot be
      computed for a batch of `size` examples, of which a program has `local`.
    warnings: `metrics -> {name: text}`, what the metrics of a step say about a
      training that fails; the metrics are floats, under their full names.
  """

  wrt: tuple[str, ...]
  loss: Callable[..., tuple[jax.Array, Aux]]
  every: int = 1
  name: str = ''
  project: Callable[[Any], Any] = lambda params: params
  whole_batch: str = ''
  check_batch: Callable[[int, int], None] = lambda size, local: None
  warnings: Callable[[Mapping[str, float]], dict[str, str]] = lambda metrics: {}

  def __post_init__(self) -> None:
    if not self.name:
      object.__setattr__(self, 'name', '+'.join(self.wrt))


class TrainState(flax.struct.PyTreeNode):
  """All that changes in training, and nothing else: no functions, no keys."""

  step: jax.Array  # int32 scalar, steps over all stages
  players: dict[str, Any]
  opt: dict[str, optax.OptState]
  ema: dict[str, Any]  # averaged variables of the players that have an EMA


class Objective(Protocol):
  """One paper. Final frozen dataclasses implement it; there is no base class.

  Attributes:
    pixels: the range of the networks' images: 'unit', [0, 1], or 'symmetric',
      [-1, 1].
    classes: the number of classes that the networks know; 0 for none.
  """

  @property
  def pixels(self) -> str: ...

  @property
  def classes(self) -> int: ...

  def init(self, key: jax.Array, batch: Batch) -> Players:
    """Returns every player's variables, for a batch of examples."""

  def updates(self) -> tuple[Update, ...]:
    """Returns what one training step does, in order."""

  def predict_fns(self) -> Capabilities:
    """Returns what the trained model can do."""


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


def leaf_name(path: Any) -> str:
  """Returns the name of a leaf of a tree by its path, `Conv_0/kernel`."""
  return jax.tree_util.keystr(path, simple=True, separator='/')


def averaged(state: TrainState) -> Players:
  """Returns the players, averaged where there are averages."""
  return {**state.players, **state.ema}


class CodedObjective(Objective, Protocol):
  """An objective with codes, such as InfoGAN.

  Attributes:
    categories: of the categorical code.
    continuous: D, the number of continuous codes.
  """

  @property
  def categories(self) -> int: ...

  @property
  def continuous(self) -> int: ...
