"""Bad input: one clear line, exit code 2, and nothing saved is lost."""

import re

import numpy as np
import pytest
from PIL import Image

from gen_jax import main
from gen_jax.commands import evaluate, sample
from gen_jax.storage.writer import read_metrics

TEST = '--config=tests/dense_vae.py'
VAE = '--config=configs/vae.py:test'
GAN = '--config=configs/gan.py:test'
STACKED = '--config=configs/stacked_autoencoder.py:test'


@pytest.mark.parametrize(
  'args,expected',
  [
    (['--config=configs/vea.py'], r"no file 'configs/vea.py'.*vae.py"),
    ([f'{VAE}x'], r"variant 'testx' is unknown.*\"test\""),
    ([TEST, '--config.stepz=3'], r'stepz.*Did you mean "steps"'),
    ([TEST, '--config.data.nam=a'], r'nam.*Did you mean "name"'),
    ([TEST, '--config.steps=many'], r'config.steps=many: expected int'),
    ([TEST, '--config.steps=1.5'], r'config.steps=1.5: expected int'),
    ([TEST, '--config.steps=0'], r'config.steps=0: expected 1 or more'),
    ([TEST, '--config.data=3'], r'config.data is a group of fields'),
    ([TEST, '--config.data.name=mnits'], r'data.name.*mnist'),
    ([TEST, '--config.data.train=trian'], r'trian.*train'),
    ([TEST, '--config.objective.name=vea.VAE'], r'objective.name.*"vae"'),
    ([TEST, '--config.objective.name=vae.VEA'], r'objective.name.*"VAE"'),
    ([TEST, '--config.objective.likelihood=bernouli'], r'"bernoulli"'),
    ([TEST, '--config.objective.samples=0'], r'samples=0'),
    ([TEST, '--config.optim.model.name=adan'], r'adan.*"adam"'),
    ([TEST, '--config.optim.model.schedule=cosin'], r'cosin.*"cosine"'),
    ([VAE, '--config.evals.elbo.name=likelihood.ELBA'], r'"ELBO"'),
    ([TEST, '--config.parallel=pmpa'], r'"pmap"'),
    ([TEST, '--config.data.binarize=statik'], r'"static"'),
    # conftest.py forces eight devices.
    ([TEST, '--config.batch_size=12'], r'batch_size=12.*8 devices'),
    ([TEST, '--config.accumulate=3'], r'accumulate=3 does not divide'),
    ([GAN, '--config.objective.pack=3'], r'pack=3 does not divide .* of 8'),
    (
      [GAN, '--config.objective.pack=2', '--config.parallel=pmap'],
      r'pack=2 does not divide a batch of 1',
    ),
    ([GAN, '--config.objective.augment=color,cutuot'], r'"cutout"'),
    ([TEST, 'steps=3'], r'steps=3: unknown argument'),
    ([STACKED, '--config.steps=9'], r'config.steps: every stage .* own value'),
  ],
)
def test_training_names_the_field_and_the_fix(
  refused, tmp_path, args, expected
):
  error = refused(main, f'--workdir={tmp_path}/w', *args)
  assert re.search(expected, error), error
  assert not (tmp_path / 'w').exists()


def test_a_workdir_that_cannot_be_written(refused, tmp_path):
  (tmp_path / 'file').write_text('here already')
  error = refused(main, TEST, f'--workdir={tmp_path}/file/run')
  assert 'cannot be used: Not a directory' in error


def folder_args(folder):
  return [
    '--config=configs/vae.py:folder',
    f'--config.data.path={folder}',
    '--config.data.shape=28,28,1',
  ]


def test_an_empty_image_folder(refused, tmp_path):
  (tmp_path / 'images').mkdir()
  error = refused(
    main, *folder_args(tmp_path / 'images'), f'--workdir={tmp_path}/w'
  )
  assert str(tmp_path / 'images') in error


def test_a_corrupt_image_is_named(refused, tmp_path):
  folder = tmp_path / 'images'
  folder.mkdir()
  for index in range(40):
    pixels = np.full((32, 32), index, np.uint8)
    Image.fromarray(pixels).save(folder / f'{index}.png')
  whole = (folder / '7.png').read_bytes()
  (folder / '7.png').write_bytes(whole[: len(whole) // 2])
  error = refused(main, *folder_args(folder), f'--workdir={tmp_path}/w')
  assert '7.png' in error


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A workdir of the smallest run."""
  workdir = tmp_path_factory.mktemp('trained') / 'w'
  evals = {
    'elbo': {'name': 'likelihood.ELBO', 'num': 0},
    'samples': {'name': 'figures.Samples'},
  }
  args = [TEST, f'--workdir={workdir}', f'--config.evals={evals}']
  assert main.main(args) == 0
  return workdir


def contents(folder):
  return {
    p.relative_to(folder): p.read_bytes()
    for p in folder.rglob('*')
    if p.is_file()
  }


def test_a_workdir_of_another_config_is_refused_and_left_as_it_was(
  refused, trained
):
  before = contents(trained)
  error = refused(main, TEST, f'--workdir={trained}', '--config.seed=5')
  assert '- seed=0' in error
  assert '+ seed=5' in error
  assert contents(trained) == before


@pytest.mark.parametrize('module', [sample, evaluate])
def test_workdirs_without_a_checkpoint(refused, tmp_path, module):
  assert 'does not exist' in refused(module, f'--workdir={tmp_path}/none')
  assert 'no config.json' in refused(module, f'--workdir={tmp_path}')


@pytest.mark.parametrize(
  'args,expected',
  [
    (['--step=5'], r'--step=5: no such checkpoint; there are 4, 6'),
    (['--num=0'], r'--num=0'),
    (['--out=samples.xyz'], r'\.png, .* ends in \.npz, or a folder'),
    (['--psi=0.5'], 'no truncation'),
  ],
)
def test_sample_arguments(refused, trained, args, expected):
  assert re.search(expected, refused(sample, f'--workdir={trained}', *args))


def test_samples_are_a_function_of_the_seed_and_not_of_their_number(
  trained, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  outs = {}
  for name, args in {
    'few': ['--num=3'],
    'many': ['--num=70'],
    'other': ['--num=3', '--seed=1'],
    'early': ['--num=3', '--step=4'],
  }.items():
    out = tmp_path / f'{name}.npz'
    assert sample.main([f'--workdir={trained}', f'--out={out}', *args]) == 0
    assert 'labels' not in np.load(out)  # there is no class to ask for
    outs[name] = np.load(out)['images']
  assert outs['many'].shape == (70, 28, 28, 1)
  assert outs['many'].dtype == np.uint8
  np.testing.assert_array_equal(outs['few'], outs['many'][:3])
  assert np.any(outs['few'] != outs['other'])
  assert np.any(outs['few'] != outs['early'])


def test_samples_of_a_class_come_with_their_labels(tmp_path):
  workdir, out = tmp_path / 'w', tmp_path / 'out.npz'
  evals = {'samples': dict(name='figures.Samples', every=3, at_start=True)}
  gen = dict(name='dense.Generator', shape=None, hidden=(4,))
  disc = dict(name='dense.Discriminator', hidden=(4,))
  args = [
    '--config=configs/cgan.py:test',
    f'--config.evals={evals}',
    f'--config.objective.gen={gen}',
    f'--config.objective.disc={disc}',
    '--config.objective.matching_aware_weight=0',
    '--config.objective.regularizers={}',
  ]
  assert main.main([*args, f'--workdir={workdir}']) == 0
  with Image.open(workdir / 'images/samples/over_time.gif') as gif:
    assert gif.n_frames == 3  # of step 0, 3 and 6
  args = [f'--workdir={workdir}', f'--out={out}', '--num=13']
  for more, labels in (([], np.arange(13) % 10), (['--label=7'], [7] * 13)):
    assert sample.main([*args, *more]) == 0
    with np.load(out) as file:
      np.testing.assert_array_equal(file['labels'], labels)
      assert len(file['images']) == 13


def test_a_plain_autoencoder_is_sampled_by_a_mixture_of_its_codes(
  refused, tmp_path
):
  workdir = tmp_path / 'w'
  args = ['--config=configs/autoencoder.py:test', '--config.evals={}']
  assert main.main([*args, f'--workdir={workdir}']) == 0
  outs = {}
  for num in (3, 70):
    out = tmp_path / f'{num}.npz'
    args = [f'--workdir={workdir}', f'--out={out}', f'--num={num}']
    assert sample.main([*args, '--components=2']) == 0
    outs[num] = np.load(out)['images']
  np.testing.assert_array_equal(outs[3], outs[70][:3])
  error = refused(sample, f'--workdir={workdir}', '--components=65')
  assert '--components=65: expected 1 to 64' in error


def test_evaluate_runs_the_evaluators_again_with_other_fields(trained, capsys):
  args = [
    f'--workdir={trained}',
    '--only=elbo',
    '--config.evals.elbo.num=20',
  ]
  assert evaluate.main(args) == 0
  printed = capsys.readouterr().out
  assert re.search(r'^elbo = -\d+\.\d+$', printed, re.M)
  (line,) = read_metrics(trained / 'evaluate' / 'metrics.jsonl')
  assert line['elbo/num'] == 20


@pytest.mark.parametrize(
  'args,expected',
  [
    (['--add=likelihood.ELBO'], r'^elbo = -\d'),  # as in the config
    (['--add=reconstruction.Error'], r'^error/mse = 0'),
    (
      ['--add=mixture.Samples', '--config.evals.mixture_samples.components=2'],
      r'^mixture_samples/train_log_likelihood = ',  # `samples` is another
    ),
    (
      [
        "--config.evals={'a': {'name': 'anomaly.Anomaly'}}",
        '--config.evals.a.normal=3,4',
      ],
      r'^a/normal = 3,4\n',
    ),
  ],
)
def test_evaluators_that_the_config_does_not_name(
  trained, capsys, args, expected
):
  assert evaluate.main([f'--workdir={trained}', *args]) == 0
  assert re.search(expected, capsys.readouterr().out)


def test_evaluators_that_cannot_run(refused, trained):
  for args, expected in (
    (['--add=anomaly.Anomoly'], '"Anomaly"'),
    (['--add=anomaly.Anomaly'], 'data.classes=3'),
    (['--add=denoising.Denoising'], "VAE cannot 'corrupt'"),
    (['--config.steps=3'], 'only --config.evals and the precision may'),
  ):
    assert expected in refused(evaluate, f'--workdir={trained}', *args)


def test_the_exit_code_of_the_real_command(command):
  done = command('main', '--config=configs/none.py')
  assert done.returncode == 2
  assert done.stderr.count('\n') == 1
