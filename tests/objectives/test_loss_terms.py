"""The sign of each term of each loss: what its descent raises and lowers."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from cases import KEY, OBJECTIVES, make_batch, players, without_noise

from gen_jax.objectives.parts.regularizers import Drift, GradientPenalty
from gen_jax.objectives.parts.sparsity import L1, KLToTarget

pytestmark = pytest.mark.usefixtures('fast_compilation')


@dataclasses.dataclass(frozen=True)
class Term:
  """A term of a loss, alone, and what gradient descent on it does.

  Attributes:
    objective: a name in OBJECTIVES.
    update: the name of the update that has the loss.
    rises: a quantity that grows: metrics of the update, of which the sum is
      taken, or `(objective, players, batch) -> scalar`.
    falls: one that shrinks, instead.
    fields: of the objective; they leave out the terms that are not meant.
    without: fields that leave out the term itself, which is the difference; by
      default it is the loss.
    wrt: where what moves is found among the players and 'batch'. A term of real
      images moves them, one of generated images the generator; by default it
      is the parameters that the update trains.
  """

  objective: str
  update: str
  rises: str | Callable[..., jax.Array] = ''
  falls: str | Callable[..., jax.Array] = ''
  fields: tuple[tuple[str, Any], ...] = ()
  without: tuple[tuple[str, Any], ...] = ()
  wrt: tuple[str, ...] = ()

  def __str__(self):
    quantity = self.rises or self.falls
    quantity = getattr(quantity, '__name__', quantity)
    verb = 'rises' if self.rises else 'falls'
    return f'{self.objective}-{self.update}: {quantity} {verb}'


def fake_score(objective, players, batch):
  count = len(batch['image'])
  images = objective.sample(players, key=KEY, num=count)
  labels = jnp.arange(count) % 3  # the classes of a sample, in turn
  return jnp.mean(
    objective.discriminate(players, {'image': images, 'label': labels})
  )


def score_with_wrong_labels(objective, players, batch):
  batch = {**batch, 'label': jnp.roll(batch['label'], 1)}
  return jnp.mean(objective.discriminate(players, batch))


def class_log_probability(objective, players, batch):
  logits = jax.nn.log_softmax(objective.classify(players, batch))
  return jnp.mean(logits[jnp.arange(len(logits)), batch['label']])


def similarity_of_pairs(objective, players, batch):
  images = objective.encode_image(players, batch)
  products = images @ objective.encode_text(players, batch).T
  return jnp.mean(jnp.diagonal(products)) - jnp.mean(products)


def logits_of_patches(objective, players, domain, images):
  network = {'a': objective.disc_a, 'b': objective.disc_b}[domain]
  params = players[f'disc_{domain}']['params']
  return network.apply({'params': params}, images)


def translated_score(objective, players, batch):
  b = objective.translate_ab(players, batch)
  a = objective.translate_ba(players, batch)
  return sum(
    jnp.mean(logits_of_patches(objective, players, domain, images))
    for domain, images in (('a', a), ('b', b))
  )


def score_of_a(objective, players, batch):
  return jnp.mean(logits_of_patches(objective, players, 'a', batch['a']))


def score_of_pool_a(objective, players, batch):
  images = players['disc_a']['image_pool']['output']
  return jnp.mean(logits_of_patches(objective, players, 'a', images))


def mean_score(objective, players, batch, texts):
  logits, _ = objective.matching.score(players, batch['image'], texts, KEY)
  return jnp.mean(logits)


def score_with_caption(objective, players, batch):
  texts = objective.encode_text(players, batch)[None]
  return mean_score(objective, players, batch, texts)


def score_with_wrong_captions(objective, players, batch):
  texts = objective.encode_text(players, batch)
  texts = jnp.stack([jnp.roll(texts, i, 0) for i in range(1, len(texts))])
  return mean_score(objective, players, batch, texts)


def score_of_generated(objective, players, batch):
  texts = objective.encode_text(players, batch)
  images = objective.generate(players, texts, key=KEY)
  return score_with_caption(objective, players, {**batch, 'image': images})


def _off(*names):
  return tuple((name, 0.0) for name in names)


IMAGE = ('batch', 'image')
GEN = ('gen', 'params')
NO_PENALTY = (('regularizers', ()),)


_ONLY_RIGHT, _ONLY_WRONG = (
  (('matching_aware_weight', weight),) for weight in (0.0, 1.0)
)
_WEIGHTS = ('adversarial_weight', 'cycle_weight', 'identity_weight')
_LAMBDAS = ('category_weight', 'continuous_weight')
TERMS = (
  Term('acgan', 'disc', falls='class_loss', without=_off('class_weight')),
  Term('acgan', 'gen', falls='class_loss', without=_off('class_weight')),
  Term('acgan', 'gen', rises=fake_score, fields=_off('class_weight')),
  Term('autoencoder', 'model', falls='reconstruction'),
  Term(
    'cgan',
    'disc',
    falls=score_with_wrong_labels,
    without=_off('matching_aware_weight'),
  ),
  Term('cgan/embedding', 'gen', rises=fake_score),
  Term('cgan/projection', 'disc', rises='real_logits', wrt=IMAGE),
  Term('cgan/projection', 'disc', falls='fake_logits', wrt=GEN),
  Term('cgan/projection', 'gen', rises=fake_score),
  Term('cgan', 'gen', rises=fake_score),
  Term('classifier', 'model', rises=class_log_probability),
  Term('conditional_vae', 'model', falls='reconstruction', fields=_off('beta')),
  Term('contrastive', 'match', rises=similarity_of_pairs),
  Term('cyclegan', 'gen', rises=translated_score, fields=_off(*_WEIGHTS[1:])),
  *(
    Term('cyclegan', 'gen', falls=f'{k}_a {k}_b', without=_off(f'{k}_weight'))
    for k in ('cycle', 'identity')
  ),
  Term('cyclegan', 'disc', rises=score_of_a, wrt=('batch', 'a')),
  Term(
    'cyclegan',
    'disc',
    falls=score_of_pool_a,
    wrt=('disc_a', 'image_pool', 'output'),
  ),
  Term('debiasing_vae', 'model', falls='kl', without=_off('beta')),
  Term('denoising_autoencoder', 'model', falls='reconstruction'),
  Term('gan', 'disc', rises='real_logits', fields=NO_PENALTY, wrt=IMAGE),
  Term('gan', 'disc', falls='fake_logits', fields=NO_PENALTY, wrt=GEN),
  Term('gan', 'disc', falls='r1', without=NO_PENALTY),
  Term('gan/lazy', 'disc_r2', falls='penalty'),
  Term('gan', 'gen', rises='logits'),
  Term('gan/dragan', 'disc', falls='dragan', without=NO_PENALTY),
  Term('infogan', 'gen', rises=fake_score, fields=_off(*_LAMBDAS)),
  *(
    Term('infogan', update, **{direction: metric}, without=_off(weight))
    for update in ('disc', 'gen')
    for direction, metric, weight in (
      ('rises', 'category_information', 'category_weight'),
      ('falls', 'continuous_error', 'continuous_weight'),
    )
  ),
  Term('iwae', 'model', rises='bound'),
  Term('iwae/dreg', 'model', rises='bound'),
  Term(
    'sparse_l1',
    'model',
    falls='reconstruction',
    fields=(('sparsity', L1(weight=0)),),
  ),
  Term(
    'sparse_l1',
    'model',
    falls='sparsity',
    without=(('sparsity', L1(weight=0)),),
  ),
  # The activity is above its target.
  Term(
    'sparse_kl',
    'model',
    falls='activity',
    without=(('sparsity', KLToTarget(weight=0)),),
  ),
  Term('stack/greedy', 'autoencoder', falls='reconstruction'),
  Term('stack/unrolled', 'autoencoder', falls='reconstruction'),
  Term('stack/classifier', 'classifier', rises=class_log_probability),
  Term(
    'stackgan/1',
    'disc1',
    rises=score_with_caption,
    fields=_ONLY_RIGHT,
    wrt=IMAGE,
  ),
  Term(
    'stackgan/1',
    'disc1',
    falls=score_with_wrong_captions,
    fields=_ONLY_WRONG,
    without=_ONLY_RIGHT,
    wrt=IMAGE,
  ),
  Term(
    'stackgan/1',
    'disc1',
    falls=score_of_generated,
    fields=_ONLY_RIGHT,
    wrt=('gen1', 'params'),
  ),
  Term('stackgan/1', 'gen1', rises='logits', fields=_off('kl_weight')),
  Term('stackgan/1', 'gen1', falls='kl', without=_off('kl_weight')),
  Term(
    'stackgan/2',
    'disc2',
    rises=score_with_caption,
    fields=_ONLY_RIGHT,
    wrt=IMAGE,
  ),
  Term('stackgan/2', 'gen2', rises='logits', fields=_off('kl_weight')),
  Term(
    'stackgan/relativistic',
    'disc1',
    rises='real_logits',
    fields=NO_PENALTY + _ONLY_RIGHT,
    wrt=IMAGE,
  ),
  Term('stackgan/relativistic', 'disc1_r2', falls='penalty'),
  Term(
    'stackgan/relativistic', 'gen1', rises='logits', fields=_off('kl_weight')
  ),
  Term('stylegan', 'disc', rises='real_logits', wrt=IMAGE),
  Term('stylegan', 'disc', falls='fake_logits', wrt=GEN),
  Term('stylegan', 'gen', rises='logits'),
  Term('stylegan/relativistic', 'disc', falls='fake_logits', wrt=GEN),
  Term('stylegan/relativistic', 'gen', rises='logits'),
  Term(
    'stylegan/wgan',
    'disc',
    falls='drift',
    fields=(('regularizers', (Drift(),)),),
    without=NO_PENALTY,
  ),
  Term(
    'stylegan/wgan',
    'disc',
    falls='gradient_penalty',
    fields=(('regularizers', (GradientPenalty(),)),),
    without=NO_PENALTY,
  ),
  Term('stylegan/wgan', 'gen', rises=fake_score),
  Term('pix2pix', 'disc', rises='real_logits', wrt=('batch', 'b')),
  Term('pix2pix', 'disc', falls='fake_logits', wrt=GEN),
  Term('pix2pix', 'gen', falls='l1', without=_off('l1_weight')),
  Term('pix2pix', 'gen', rises='logits', fields=_off('l1_weight')),
  Term('regression', 'gen', falls='l1_ab l1_ba'),
  Term('vae/free_bits', 'model', falls='kl', without=_off('beta')),
  Term('vae/capacity', 'model', falls='reconstruction', fields=_off('beta')),
  # Toward the capacity, from either side.
  *(
    Term(
      'vae/capacity',
      'model',
      **{direction: 'kl'},
      fields=(('capacity', capacity),),
      without=_off('beta'),
    )
    for direction, capacity in (('falls', 0.5), ('rises', 5.0))
  ),
  Term('wgan', 'disc', rises='real_logits', wrt=IMAGE),
  Term('wgan', 'disc', falls='fake_logits', wrt=GEN),
  Term('wgan', 'gen', rises=fake_score),
  Term(
    'wgan_gp',
    'disc',
    falls='gradient_penalty',
    fields=(('regularizers', (GradientPenalty(),)),),
    without=NO_PENALTY,
  ),
  Term(
    'wgan_gp',
    'disc',
    falls='drift',
    fields=(('regularizers', (Drift(),)),),
    without=NO_PENALTY,
  ),
  Term('wgan_gp', 'gen', rises=fake_score),
)


def test_every_update_has_a_term():
  updates = {
    (type(objective), update.name)
    for objective in OBJECTIVES.values()
    for update in objective.updates()
  }
  assert updates == {(type(OBJECTIVES[t.objective]), t.update) for t in TERMS}


def _get(tree, path):
  return functools.reduce(lambda tree, name: tree[name], path, tree)


def _set(tree, path, value):
  if not path:
    return value
  name, *rest = path
  return {**tree, name: _set(tree[name], rest, value)}


def rates_of_change(terms, tree):
  """How fast the quantity of each term changes as the term is descended."""
  original = OBJECTIVES[terms[0].objective]
  trained = {u.name: u.wrt for u in original.updates()}
  paths = {
    term: [term.wrt]
    if term.wrt
    else [(name, 'params') for name in trained[term.update]]
    for term in terms
  }

  def terms_and_quantities(values):
    """[2, len(terms)]."""
    players = tree
    for path, value in values.items():
      players = _set(players, path, value)
    batch, players = players['batch'], {**players}
    del players['batch']

    @functools.cache
    def run(update, fields):
      objective = dataclasses.replace(original, **dict(fields))
      (update,) = (u for u in objective.updates() if u.name == update)
      return objective, *update.loss(players, batch, key=KEY, step=0)

    totals, quantities = [], []
    for term in terms:
      objective, total, aux = run(term.update, term.fields)
      if term.without:
        total -= run(term.update, term.fields + term.without)[1]
      totals.append(total)
      quantity = term.rises or term.falls
      if callable(quantity):
        quantities.append(quantity(objective, players, batch))
      else:
        quantities.append(sum(aux.metrics[name] for name in quantity.split()))
    return jnp.stack([jnp.stack(totals), jnp.stack(quantities)])

  values = {path: _get(tree, path) for some in paths.values() for path in some}
  gradients = jax.jacrev(terms_and_quantities)(values)  # [2, len(terms), ...]
  return [
    -sum(
      jnp.sum(x[0, i] * x[1, i])
      for path in paths[term]
      for x in jax.tree.leaves(gradients[path])
    )
    for i, term in enumerate(terms)
  ]


@functools.cache
def rates(name):
  """Of all terms of an objective, by one program."""
  terms = [term for term in TERMS if term.objective == name]
  tree = {**players(name), 'batch': make_batch(name)}
  with without_noise():
    made = jax.jit(functools.partial(rates_of_change, terms))(tree)
  return dict(zip(terms, made, strict=True))


@pytest.mark.parametrize('term', TERMS, ids=str)
def test_descent_moves_the_quantity_of_a_term(term):
  rate = rates(term.objective)[term]
  assert rate > 0 if term.rises else rate < 0
