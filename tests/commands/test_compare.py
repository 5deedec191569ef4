"""One page of several runs."""

import html.parser
import json
import pathlib
import shutil

import pytest

from gen_jax import config as config_lib
from gen_jax.commands import compare
from gen_jax.training import report
from gen_jax.training.loop import train

ROOT = pathlib.Path(__file__).parents[2]


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
  # Pictures are in the file, and nothing is loaded from the network.
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


@pytest.mark.parametrize(
  'paths,names',
  [
    (['/r/vae', '/r/gan'], ['vae', 'gan']),
    (['/a/vae', '/b/vae', '/b/gan'], ['a/vae', 'b/vae', 'gan']),
    (['/a/x/vae', '/b/x/vae', '/c/vae'], ['a/x/vae', 'b/x/vae', 'c/vae']),
    (['/a/vae', '/a/vae/', '/a/b/../vae'], ['a/vae'] * 3),
    (['/vae', '/a/vae'], ['//vae', 'a/vae']),
  ],
)
def test_workdirs_of_one_name_have_distinct_heads(paths, names):
  found = report.names([pathlib.Path(path) for path in paths])
  assert len(set(found)) == len(found)
  assert [name.split(' (')[0].lstrip('/') for name in found] == [
    name.lstrip('/') if len(set(names)) > 1 else paths[0].lstrip('/')
    for name in names
  ]


def copied(run, tmp_path, name):
  return pathlib.Path(shutil.copytree(run, tmp_path / name / 'run'))


def test_runs_of_one_name_stand_in_columns_of_their_own(runs, tmp_path):
  paths = [copied(runs[0], tmp_path, name) for name in 'ab']
  out = tmp_path / 'a.html'
  args = [f'--workdir={path}' for path in paths]
  assert compare.main([*args, f'--out={out}']) == 0
  assert Page(out.read_text()).rows[''] == ['a/run', 'b/run']


def test_text_of_a_run_is_never_markup(runs, tmp_path):
  run = copied(runs[1], tmp_path, '$\\frac{<i>$')
  with (run / 'metrics.jsonl').open('a') as file:
    for step in (7, 8):
      line = {'step': step, 'error/<b>$\\x{$': step, '_a': step / 3}
      file.write(json.dumps(line) + '\n')
  found = report.read(run)
  facts = {**found.facts, 'data': '<script>alert(1)</script>'}
  text = report.page([found._replace(facts=facts)])
  assert '<script' not in text
  assert '<b>' not in text
  assert Page(text).rows['data'] == ['<script>alert(1)</script>']
  assert Page(text).rows['error/<b>$\\x{$'] == ['8']


def test_lines_and_pictures_that_are_damaged_are_left_out(
  runs, tmp_path, capsys
):
  run = copied(runs[0], tmp_path, 'a')
  lines = [
    b'\xff',
    b'{"step": 7, "time/steps_per_second": "fast"}',
    b'{"step": 7, "elbo": NaN, "model/loss": "none", "model/kl": Infinity}',
    b'{"step": 7, "elbo": 1' + b'0' * 400 + b', "model/loss": 1}',
  ]
  with (run / 'metrics.jsonl').open('ab') as file:
    file.write(b'\n'.join(lines))
  samples = run / 'images' / 'samples'
  (samples / '6.png').write_bytes((samples / '6.png').read_bytes()[:60])
  (samples / '8.txt').write_text('no picture')
  out = tmp_path / 'a.html'
  assert compare.main([f'--workdir={run}', f'--out={out}']) == 0
  page = Page(out.read_text())
  assert page.rows['elbo'] == ['nan']  # the newest, as it is
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith(f'{samples}/6.png is left out: it cannot be read')
  assert 'title="step 3"' in out.read_text()  # the newest that is whole


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
  assert compare.main([f'--workdir={tmp_path}']) == 2
  assert 'has no config.json' in capsys.readouterr().err
  assert compare.main([f'--workdir={tmp_path}/none']) == 2
  assert 'does not exist' in capsys.readouterr().err
