"""Functions that the adversarial objectives share."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Players, Update
from gen_jax.distributed import collectives
from gen_jax.errors import InputError
from gen_jax.losses.adversarial import ADVERSARIAL_LOSSES, AdversarialLoss
from gen_jax.objectives.parts.regularizers import Regularizer, Scorer
from gen_jax.objectives.parts.shapes import check_images

# When the discriminator counts as always right, and a gradient as vanished.
_ALWAYS_RIGHT = 0.99
_VANISHED = 0.01


class LossFn(Protocol):
  """The loss of an update."""

  def __call__(
    self, players: Players, batch: Batch, *, key: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Aux]:
    """Returns the loss, a scalar, and what else the update needs."""
    ...


# Networks in training.


def apply(
  network: nn.Module, variables: Any, x: jax.Array, key: jax.Array
) -> tuple[Any, dict[str, Any]]:
  """Applies a network in training; returns its output and new collections."""
  mutable = [name for name in variables if name != 'params']
  x = collectives.divide_batch(x)  # latents have no layout
  return network.apply(
    variables, x, train=True, mutable=mutable, rngs={'dropout': key}
  )


def with_state(players: Players, name: str, state: dict[str, Any]) -> Players:
  """Returns the players with new collections of one of them."""
  return {**players, name: {**players[name], **state}}


def packed(images: jax.Array, pack: int) -> jax.Array:
  """Joins neighbors along the channels, [B / pack, H, W, C pack].

  References:
    Lin et al., 2018, PacGAN, section 3.
  """
  if pack == 1:
    return images
  count, height, width, depth = images.shape
  check_pack(pack, count)
  images = images.reshape(-1, pack, height, width, depth)
  images = jnp.moveaxis(images, 1, 3)  # [B / pack, H, W, pack, C]
  return images.reshape(-1, height, width, pack * depth)


def init_players(
  gen: nn.Module,
  disc: nn.Module,
  generator_inputs: Callable[[jax.Array, Batch], jax.Array],
  discriminator_inputs: Callable[[jax.Array, Batch], jax.Array],
  batch: Batch,
  key: jax.Array,
  pack: int = 1,
) -> dict[str, Any]:
  """Makes the variables of players `gen` and `disc`.

  Args:
    gen: the generator.
    disc: the discriminator.
    generator_inputs: `(key, batch) -> [B, ...]`.
    discriminator_inputs: `(images, batch) -> [B / pack, ...]`.
    batch: examples.
    key: of the initial values.
    pack: images that the discriminator gets at a time.
  """
  key_gen, key_disc = jax.random.split(key)
  # Statistics of a batch need two examples, a discriminator at least one pack.
  count = max(pack, 2)
  batch = {k: jnp.resize(x, (count, *x.shape[1:])) for k, x in batch.items()}
  latents = generator_inputs(key_gen, batch)
  variables = gen.init(key_gen, latents)
  images = jax.eval_shape(gen.apply, variables, latents)
  check_images(images, batch['image'], 'objective.gen.shape')
  inputs = discriminator_inputs(batch['image'], batch)
  return {'gen': variables, 'disc': disc.init(key_disc, inputs)}


# The discriminator's losses, updates and regularizers.


def accuracies(
  loss: AdversarialLoss, real: jax.Array, fake: jax.Array
) -> dict[str, jax.Array]:
  """Returns the fractions of real and generated images that are recognized.

  Args:
    loss: which has the threshold of a logit, or None for the midpoint of the
      mean logits of real and generated images.
    real: logits of the data, [B] or [B, ...] for patches.
    fake: logits of generated images.
  """
  threshold = loss.threshold
  if threshold is None:
    means = (collectives.batch_mean(x.reshape(-1)) for x in (real, fake))
    threshold = sum(means) / 2
  return {
    'real_accuracy': jnp.mean(real > threshold),
    'fake_accuracy': jnp.mean(fake <= threshold),
  }


def logit_metrics(
  loss: AdversarialLoss, real: jax.Array, fake: jax.Array
) -> dict[str, jax.Array]:
  """Returns the mean logits and the accuracies of a discriminator."""
  means = {'real_logits': jnp.mean(real), 'fake_logits': jnp.mean(fake)}
  return {**means, **accuracies(loss, real, fake)}


def disc_updates(
  loss: LossFn,
  regularizers: Sequence[Regularizer],
  scorer: Callable[[Players, Batch], Scorer],
  wrt: str = 'disc',
  **fields: Any,
) -> tuple[Update, ...]:
  """Returns the updates of a discriminator.

  The first one descends its loss, with the regularizers of each step. Each
  other regularizer has an update of its own.

  Args:
    loss: of the discriminator, which adds `penalties`.
    regularizers: of the discriminator.
    scorer: `(players, batch) -> Scorer` that generates new images.
    wrt: the player.
    **fields: further fields of all of these updates.
  """
  inside = [r for r in regularizers if r.every == 1]
  whole_batch = fields.pop('whole_batch', '')
  main = Update(
    wrt=(wrt,),
    loss=loss,
    whole_batch=_first(whole_batch, *(r.whole_batch for r in inside)),
    **fields,
  )
  fields['whole_batch'] = whole_batch
  return main, *lazy_updates(regularizers, scorer, wrt, **fields)


def lazy_updates(
  regularizers: Sequence[Regularizer],
  scorer: Callable[[Players, Batch], Scorer],
  wrt: str = 'disc',
  whole_batch: str = '',
  **fields: Any,
) -> tuple[Update, ...]:
  """Returns an update for each regularizer that does not run in each step.

  Args:
    regularizers: of the discriminator.
    scorer: as for `disc_updates`.
    wrt: the player.
    whole_batch: as in `core.Update`.
    **fields: further fields of these updates.
  """
  return tuple(
    Update(
      wrt=(wrt,),
      loss=functools.partial(_lazy_penalty, regularizer, scorer),
      every=regularizer.every,
      name=f'{wrt}_{regularizer.key}',
      whole_batch=_first(whole_batch, regularizer.whole_batch),
      **fields,
    )
    for regularizer in regularizers
    if regularizer.every > 1
  )


def _lazy_penalty(regularizer, scorer, players, batch, *, key, step):
  """Returns the loss of a regularizer that is an update of its own."""
  del step
  penalty = jnp.mean(regularizer.penalty(scorer(players, batch), key))
  factor = regularizer.weight * regularizer.every
  return factor * penalty, Aux({'penalty': penalty})


def split_key(
  key: jax.Array, regularizers: Sequence[Regularizer], always: bool = False
) -> tuple[jax.Array, jax.Array]:
  """Returns a key for a discriminator's loss and one for its `penalties`.

  Args:
    key: of the update.
    regularizers: of the discriminator.
    always: split the key even if no regularizer needs it.
  """
  if not always and all(r.every > 1 for r in regularizers):
    return key, key
  key, key_penalties = jax.random.split(key)
  return key, key_penalties


def penalties(
  regularizers: Sequence[Regularizer], scorer: Scorer, key: jax.Array
) -> tuple[jax.Array | float, dict[str, jax.Array]]:
  """Returns the sum of the penalties of each step, and each as a metric.

  Args:
    regularizers: of the discriminator; lazy ones do not count.
    scorer: with the generated images of the loss, see `Scorer.with_fake`.
    key: of everything random.
  """
  inside = [r for r in regularizers if r.every == 1]
  total, metrics = 0.0, {}
  for index, regularizer in enumerate(reversed(inside)):
    # `fold_in` of 0 or 1 would give the keys of a split into two.
    key_one = jax.random.fold_in(key, index + 2) if index else key
    penalty = jnp.mean(regularizer.penalty(scorer, key_one))
    total += regularizer.weight * penalty
    metrics[regularizer.key] = penalty
  return total, metrics


def _first(*texts):
  return next(filter(None, texts), '')


# Checks and warnings.


def check_pack(pack: int, size: int) -> None:
  """Raises InputError unless packs divide a batch."""
  if size % pack:
    raise InputError(
      f'objective.pack={pack} does not divide a batch of {size}.'
    )


def check_real_label(loss: str, label: float) -> None:
  """Raises InputError when a label is given to a loss without labels."""
  if label != 1 and not ADVERSARIAL_LOSSES[loss].has_label:
    raise InputError(f'objective.real_label={label}: {loss!r} has no labels.')


def check_images_can_be_augmented(
  names: Sequence[str], images: jax.Array
) -> None:
  """Raises InputError when augmentations are asked for data such as points."""
  if names and min(images.shape[1:3]) < 4:
    raise InputError(
      f'objective.augment={tuple(names)}: is for images, and the data are '
      f'{images.shape[1:]}.'
    )


def check_no_batch_norm(
  players: Players, name: str, regularizers: Sequence[Regularizer]
) -> None:
  """Raises InputError when a gradient penalty meets batch normalization.

  With batch normalization a score depends on the other images of the batch
  (Gulrajani et al. 2017, section 4).
  """
  gradients = [r.key for r in regularizers if r.of_gradient]
  if gradients and 'batch_stats' in players[name]:
    raise InputError(
      f'objective.{name}.normalize: the penalty {gradients[0]!r} needs scores '
      "that depend on one image each, without batch normalization: take ''."
    )


def check_auxiliary_head(
  disc: nn.Module, variables: Any, images: jax.Array, outputs: int
) -> None:
  """Raises InputError unless a discriminator has an auxiliary head."""
  made = jax.eval_shape(disc.apply, variables, images)
  found = made[1].shape[-1] if isinstance(made, tuple) else 0
  if found != outputs:
    raise InputError(
      f'config.objective.disc.extra={found}: expected an auxiliary head with '
      f'{outputs} outputs.'
    )


def warnings(
  metrics: Mapping[str, float],
  gen: str = 'gen',
  disc: str = 'disc',
  suffix: str = '',
) -> dict[str, str]:
  """Returns what the metrics of two players say about a failing training.

  Args:
    metrics: means over the steps of a log, by full name.
    gen: the update of the generator.
    disc: the update of the discriminator.
    suffix: of the names of the accuracies, such as '_a' for the domain a.
  """
  names = (
    f'{disc}/real_accuracy{suffix}',
    f'{disc}/fake_accuracy{suffix}',
    f'{gen}/grad_norm',
  )
  if not all(name in metrics for name in names):  # no update in this log
    return {}
  real, fake, gradient = (metrics[name] for name in names)
  if min(real, fake) < _ALWAYS_RIGHT:
    return {}
  player = f'{disc}{suffix}'
  found = (
    f'the discriminator {player} classifies {real:.1%} of real and {fake:.1%} '
    'of generated images correctly'
  )
  if gradient < _VANISHED:
    return {
      f'vanishing_gradient{suffix}': f"{found}, and the generator's gradient "
      f'has vanished (norm {gradient:.1g}). Try '
      "objective.loss='non_saturating', an R1 penalty in "
      f'objective.regularizers, or a smaller optim.{player}.learning_rate.'
    }
  return {
    f'no_convergence{suffix}': f'{found}; 50% is the equilibrium. Try an R1 '
    'penalty in objective.regularizers, a smaller '
    f'optim.{player}.learning_rate or, with few data and a model that has it, '
    "objective.augment=('color', 'translation', 'cutout')."
  }
