"""Trains the models of the zoo, and writes their files, pages and pictures.

python -m launch.zoo dcgan             # hours on a CPU; without names, all
python -m launch.zoo dcgan --as_is     # from the newest checkpoint of its run
python -m launch.zoo --pages           # docs/zoo from the files alone

A model is trained in runs/zoo/NAME, or resumed there. It is stored in half
precision if the first three digits of its main result stay the same. The
numbers of its card are those of the stored file.
"""

import argparse
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

from gen_jax import zoo
from gen_jax.commands.zoo import card, table
from gen_jax.storage import published
from gen_jax.training.trained import last_metrics

ROOT = pathlib.Path(__file__).parents[1]
FILES, PAGES = ROOT / 'gen_jax' / 'zoo', ROOT / 'docs' / 'zoo'
MACHINE = 'AMD EPYC'

_MNIST = 'MNIST: CC BY-SA 3.0 (LeCun, Cortes, Burges)'
_FASHION = 'Fashion-MNIST: MIT (Zalando)'
_EMOJI = (
  'Noto Emoji: Apache-2.0; Twemoji: CC BY 4.0; captions of CLDR: Unicode-3.0'
)


class Entry(NamedTuple):
  """A model of the zoo.

  Attributes:
    title: what it is.
    train: the arguments of `gen_jax train`.
    result: the metric that tells most.
    license: of its data.
    picture: of the evaluation, for the page; that of `gen_jax sample` if empty.
    caption: a sentence below the picture.
    sample: arguments of `gen_jax sample`.
    only: the evaluators of the stored file; '' for all.
  """

  title: str
  train: Sequence[str]
  result: str
  license: str
  picture: str = ''
  caption: str = ''
  sample: Sequence[str] = ()
  only: str = ''


# The likelihood by importance sampling takes ten times as long as all else.
_VAE = 'active_units,elbo'

ENTRIES = {
  'vae': Entry(
    'Convolutional VAE on MNIST', ['--config=vae'], 'elbo', _MNIST, only=_VAE
  ),
  'vae_dense': Entry(
    'Dense VAE on MNIST', ['--config=vae:dense'], 'elbo', _MNIST, only=_VAE
  ),
  'beta_vae': Entry(
    'Dense beta-VAE on MNIST, beta 4',
    ['--config=vae:dense', '--config.objective.beta=4'],
    'elbo',
    _MNIST,
    only=_VAE,
  ),
  'denoising_autoencoder': Entry(
    'Denoising autoencoder on MNIST, Gaussian noise of 0.5',
    [
      '--config=denoising_autoencoder',
      '--config.objective.encoder.hidden=(400,)',
      '--config.objective.encoder.features=200',
      '--config.objective.decoder.hidden=(400,)',
    ],
    'denoising/denoised_psnr',
    _MNIST,
    picture='denoising',
    caption='Test images: with noise, denoised, and without noise.',
  ),
  'dcgan': Entry(
    'DCGAN on MNIST', ['--config=dcgan'], 'fidelity/frechet', _MNIST
  ),
  'wgan_gp': Entry(
    'WGAN-GP on MNIST', ['--config=wgan_gp'], 'fidelity/frechet', _MNIST
  ),
  'wgan_gp_fashion': Entry(
    'WGAN-GP on Fashion-MNIST',
    ['--config=wgan_gp:fashion_mnist'],
    'fidelity/frechet',
    _FASHION,
  ),
  'cgan': Entry(
    'Conditional GAN on MNIST', ['--config=cgan'], 'fidelity/frechet', _MNIST
  ),
  'acgan': Entry(
    'AC-GAN on MNIST', ['--config=acgan'], 'fidelity/frechet', _MNIST
  ),
  'infogan': Entry(
    'InfoGAN on MNIST', ['--config=infogan'], 'matching/error', _MNIST
  ),
  'cyclegan': Entry(
    'CycleGAN between Noto and Twemoji, 32 pixels',
    [
      '--config=cyclegan',
      '--config.objective.gen_ab.channels=24',
      '--config.objective.gen_ba.channels=24',
    ],
    'pairs/psnr_ab',
    _EMOJI,
    picture='grid/ab',
    caption=(
      'Test emoji of Noto: the image, its translation, that translated back, '
      'and the emoji of Twemoji.'
    ),
  ),
  'stylegan': Entry(
    'StyleGAN on emoji, 32 pixels',
    ['--config=stylegan'],
    'fidelity/frechet',
    _EMOJI,
  ),
  'stackgan': Entry(
    'StackGAN: emoji of captions, 64 pixels',
    ['--config=stackgan'],
    'retrieval/accuracy',
    _EMOJI,
    caption='Eight samples of each caption: a red heart; a smiling cat.',
    sample=['--text=a red heart', '--text=a smiling cat', '--num=8'],
  ),
}


def make(name: str, runs: pathlib.Path, as_is: bool = False) -> None:
  """Trains a model, and writes its file and its picture.

  Args:
    name: of the model.
    runs: folder of the runs.
    as_is: takes the newest checkpoint of a run, which may not have ended.
  """
  entry, workdir = ENTRIES[name], runs / name
  if not as_is:
    _train(entry, workdir)
  with tempfile.TemporaryDirectory() as folder:
    half = pathlib.Path(folder, f'{name}{published.SUFFIX}')
    _publish(entry, workdir, half, 'float16')
    evaluated = pathlib.Path(folder, 'evaluate')
    results = workdir
    if as_is:  # there are no results of this checkpoint
      results = pathlib.Path(folder, 'whole')
      _evaluate(workdir, results, entry.only)
    trained = last_metrics(results)
    _evaluate(half, evaluated, entry.only)
    metrics = last_metrics(evaluated)
    before, after = (f'{x[entry.result]:.3g}' for x in (trained, metrics))
    print(f'{name}: {entry.result} = {before}, in float16 {after}', flush=True)
    if before == after:
      file = half
    else:
      file = pathlib.Path(folder, f'whole{published.SUFFIX}')
      _publish(entry, workdir, file, 'float32')
      metrics = {k: x for k, x in trained.items() if k in metrics}
    arrays, about = published.read(file)
    kept = {k: x for k, x in metrics.items() if k != 'step'}
    about = about.model_copy(update={'metrics': kept, 'result': entry.result})
    published.write_arrays(FILES / half.name, arrays, about)
    _draw(name, evaluated)


def _train(entry, workdir):
  """Trains or resumes, and adds up the processor time in the workdir."""
  seconds = workdir / 'seconds.txt'
  spent = float(seconds.read_text()) if seconds.exists() else 0.0
  before = os.times()
  _run('gen_jax', 'train', *entry.train, f'--workdir={workdir}')
  after = os.times()
  spent += after.children_user - before.children_user
  spent += after.children_system - before.children_system
  seconds.write_text(str(spent))


def _publish(entry, workdir, path, dtype):
  minutes = float((workdir / 'seconds.txt').read_text()) / 60
  _run(
    *('gen_jax', 'publish', f'--workdir={workdir}', f'--out={path}'),
    *(f'--dtype={dtype}', f'--title={entry.title}'),
    f'--license={entry.license}',
    f'--command=gen_jax train {shlex.join(entry.train)}',
    f'--time={minutes:.0f} minutes of processor time, {MACHINE}',
  )


def _evaluate(file, out, only):
  chosen = [f'--only={only}'] if only else []
  _run('gen_jax', 'evaluate', f'--workdir={file}', f'--out={out}', *chosen)


def _draw(name, evaluated):
  """Writes the picture of the page."""
  entry, out = ENTRIES[name], PAGES / f'{name}.png'
  out.parent.mkdir(parents=True, exist_ok=True)
  if entry.picture:
    (picture,) = (evaluated / 'images' / entry.picture).glob('*.png')
    shutil.copy(picture, out)
    return
  _run(
    *('gen_jax', 'sample', f'--workdir=zoo:{name}', f'--out={out}'),
    *entry.sample,
  )


def page(name: str) -> None:
  """Writes the page of a model."""
  head, _, rest = card(name).partition('\n\n')
  entry = ENTRIES[name]
  picture = f'![{entry.title}]({name}.png)\n\n'
  caption = f'{entry.caption}\n\n' if entry.caption else ''
  (PAGES / f'{name}.md').write_text(f'{head}\n\n{picture}{caption}{rest}')


def _run(*command):
  print('$', *command, flush=True)
  subprocess.run([sys.executable, '-m', *command], cwd=ROOT, check=True)


def main(argv: list[str] | None = None) -> None:
  """Makes the models that are named, or the pages alone."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('names', nargs='*', choices=[*ENTRIES, []])
  parser.add_argument('--runs', type=pathlib.Path, default=ROOT / 'runs/zoo')
  parser.add_argument('--as_is', action='store_true')
  parser.add_argument('--pages', action='store_true')
  args = parser.parse_args(argv)
  for name in [] if args.pages else args.names or ENTRIES:
    make(name, args.runs.absolute(), args.as_is)
  for name in zoo.models():
    page(name)
  index = PAGES / 'index.md'
  before = index.read_text().partition('\n\n| Model |')[0].rstrip()
  index.write_text(f'{before}\n\n{table(links=True)}')


if __name__ == '__main__':
  main()
