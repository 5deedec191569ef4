"""One page of several runs."""

import html.parser
import pathlib

import pytest

from gen_jax import compare
from gen_jax import config as config_lib
from gen_jax.train import train

ROOT = pathlib.Path(__file__).parents[1]


class Page(html.parser.HTMLParser):
  """Cells of the tables by the name of their row, and addresses."""

  def __init__(self, text):
    super().__init__()
    self.rows, self.sources, self._open = {}, [], []
    self.feed(text)
    assert not self._open, self._open

  def handle_starttag(self, tag, attrs):
    if tag in ('img', 'meta'):
      self.sources += [value for name, value in attrs if name == 'src']
      return
    self._open.append(tag)
    if tag == 'tr':
      self._row = []
    if tag in ('td', 'th'):
      self._row.append('')

  def handle_endtag(self, tag):
    assert self._open.pop() == tag
    if tag == 'tr':
      self.rows[self._row[0]] = self._row[1:]

  def handle_data(self, data):
    if {'td', 'th'} & set(self._open):
      self._row[-1] += data


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  paths = []
  vae, autoencoder = (
    config_lib.load(f'{ROOT}/{file}')
    for file in ('tests/dense_vae.py', 'configs/autoencoder.py:test')
  )
  vae.evals = {
    'elbo': {'name': 'likelihood.ELBO'},
    'samples': {'name': 'figures.Samples', 'every': 3},
    'traversal': {'name': 'directions.Traversal'},
  }
  autoencoder.evals = {'error': {'name': 'reconstruction.Error'}}
  for name, config in (('vae', vae), ('autoencoder', autoencoder)):
    path = tmp_path_factory.mktemp('runs') / f'a <{name}>'
    train(config, path)
    paths.append(path)
  return paths


def test_runs_stand_side_by_side_in_one_file(runs, tmp_path):
  out = tmp_path / 'new' / 'report.html'
  args = [f'--workdir={path}' for path in runs]
  assert compare.main([*args, f'--out={out}']) == 0
  page = Page(out.read_text())
  assert page.rows[''] == ['a <vae>', 'a <autoencoder>']
  assert page.rows['objective'] == ['vae.VAE', 'autoencoder.Autoencoder']
  assert page.rows['steps'] == ['6', '6']
  # 784 x 16 + 16 + 16 x 4 + 4 and back.
  assert page.rows['parameters of model'][1] == '26,036'
  elbo, missing = page.rows['elbo']
  assert float(elbo) < 0
  assert missing == '-'
  assert page.rows['error/mse'][0] == '-'
  assert 'elbo/seed' not in page.rows
  # Pictures are in the file, and nothing is asked of the network.
  assert all(source.startswith('data:image/') for source in page.sources)
  assert any(source.startswith('data:image/gif') for source in page.sources)
  assert len(page.sources) > 6


def test_an_older_run_without_some_fields_is_read(runs, tmp_path):
  text = (runs[1] / 'config.json').read_text()
  config = config_lib.from_json(text)
  del config.data['classes']
  (runs[1] / 'config.json').write_text(config_lib.to_json(config))
  assert compare.main([f'--workdir={runs[1]}', f'--out={tmp_path}/a.html']) == 0
  (runs[1] / 'config.json').write_text(text)


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
  assert compare.main([f'--workdir={tmp_path}']) == 2
  assert 'has no config.json' in capsys.readouterr().err
  assert compare.main([f'--workdir={tmp_path}/none']) == 2
  assert 'does not exist' in capsys.readouterr().err
