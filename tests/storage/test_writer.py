"""What a run leaves behind, also when it was cut in the middle of a line."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from gen_jax.storage.images import grid, to_uint8
from gen_jax.storage.writer import Writer, read_metrics


def test_lines_after_the_checkpoint_and_half_lines_are_dropped(tmp_path):
  writer = Writer(tmp_path)
  for step in (10, 20, 30):
    writer.scalars(step, {'a/loss': np.float32(step), 'a/split': 'test'})
  writer.close()
  with (tmp_path / 'metrics.jsonl').open('a') as file:
    file.write('{"step": 40, "a/lo')
  writer = Writer(tmp_path, resume_step=20)
  assert writer.recorded(20, 'a')
  assert not writer.recorded(30, 'a')
  assert writer.latest == {'a/loss': 20.0, 'a/split': 'test'}
  writer.scalars(30, {'a/loss': 1})
  writer.close()
  lines = (tmp_path / 'metrics.jsonl').read_text().splitlines()
  assert [json.loads(line)['step'] for line in lines] == [10, 20, 30]
  assert read_metrics(tmp_path / 'metrics.jsonl')[-1]['a/loss'] == 1


def test_evaluating_an_older_checkpoint_drops_nothing(tmp_path):
  writer = Writer(tmp_path)
  writer.scalars(30, {'nll': 1.0})
  writer.close()
  writer = Writer(tmp_path, resume_step=None)
  writer.scalars(10, {'nll': 2.0})
  writer.close()
  lines = read_metrics(tmp_path / 'metrics.jsonl')
  assert [line['step'] for line in lines] == [30, 10]


def test_numbers_and_pictures_reach_tensorboard(tmp_path):
  from tensorboardX.proto import event_pb2

  writer = Writer(tmp_path)
  writer.scalars(5, {'loss': 0.25})
  name = writer.image(5, 'samples', np.zeros((4, 6, 1), np.uint8))
  frames = np.arange(3 * 4 * 6 * 3, dtype=np.uint8).reshape(3, 4, 6, 3)
  moving = writer.image(5, 'sweep', frames)
  writer.close()
  assert np.asarray(Image.open(tmp_path / name)).shape == (4, 6)
  assert moving == 'images/sweep/5.gif'
  with Image.open(tmp_path / moving) as gif:
    assert (gif.n_frames, gif.size) == (3, (6, 4))
  (file,) = (tmp_path / 'tensorboard').glob('*tfevents*')
  data, events = file.read_bytes(), []
  while data:  # records: length, its checksum, the event, its checksum
    size = int.from_bytes(data[:8], 'little')
    events.append(event_pb2.Event.FromString(data[12 : 12 + size]))
    data = data[16 + size :]
  values = {v.tag: v for e in events for v in e.summary.value}
  assert values['loss'].simple_value == 0.25
  assert values['samples'].image.width == 6
  assert values['sweep'].image.encoded_image_string.startswith(b'GIF')


@pytest.mark.parametrize(
  'line',
  [
    b'{"step": 3, "a": "\xff"}',
    b'\x00' * 20,
    b'\xef\xbb\xbf{"step": 3}',
    b'[]',
    b'3',
    b'null',
    b'{}',
    b'{"a": 1}',
    b'{"step": "3"}',
    b'{"step": NaN}',
    b'{"step": 3.0}',
    b'{"step": true}',
    b'{"step": -1}',
    b'{"step": 1' + b'0' * 30 + b'}',
    b'{"step": 3, "a": 1' + b'0' * 30 + b'}',
    b'{"step": 1' + b'0' * 5000 + b'}',
    b'{"step": 3, "a": null}',
    b'{"step": 3, "a": [1]}',
    b'{"step": 3, "a": {"b": 1}}',
    b'[' * 100_000,
    b'{"step": 3} {"step": 4}',
  ],
)
def test_lines_that_no_writer_writes_are_skipped(tmp_path, line):
  file = tmp_path / 'metrics.jsonl'
  whole = {'step': 1, 'a': 0.5, 'b': 'text \u2028 \x85', 'c': True}
  text = json.dumps(whole, ensure_ascii=False).encode()
  file.write_bytes(b'\n'.join([text, line, b'', text]))
  assert read_metrics(file) == [whole, whole]
  writer = Writer(tmp_path)  # and they do not end a run
  writer.close()
  assert read_metrics(file) == []


def test_a_pipe_in_place_of_the_metrics_is_not_opened(tmp_path):
  os.mkfifo(tmp_path / 'metrics.jsonl')
  assert read_metrics(tmp_path / 'metrics.jsonl') == []


def test_pixels_become_bytes():
  unit = np.array([[-0.1, 0.0, 0.5, 1.0, 2.0]])
  np.testing.assert_array_equal(to_uint8(unit, 'unit'), [[0, 0, 128, 255, 255]])
  np.testing.assert_array_equal(
    to_uint8(unit * 2 - 1, 'symmetric'), [[0, 0, 128, 255, 255]]
  )


def test_a_grid_lays_out_row_by_row():
  images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1)
  sheet = grid(images, columns=3, pad=1)[..., 0]
  np.testing.assert_array_equal(
    sheet[[1, 3]][:, [1, 3, 5]], [[0, 1, 2], [3, 4, 255]]
  )
  assert sheet.shape == (5, 7)


def test_pictures_of_a_name_become_one_of_training(tmp_path):
  for step, size in ((0, 2), (50, 4), (200, 4)):  # a resume, a larger stage
    writer = Writer(tmp_path, resume_step=step)
    writer.image(step, 'samples', np.full((size, size, 1), step, np.uint8))
    writer.image(step, 'more/once', np.zeros((4, 4, 3), np.uint8))
    writer.close()
  (tmp_path / 'images/more/once/50.png').unlink()
  (tmp_path / 'images/more/once/200.png').unlink()
  for _ in range(2):  # an older one is no frame
    writer = Writer(tmp_path, resume_step=200)
    writer.animate()
    writer.close()
  assert not (tmp_path / 'images/more/once/over_time.gif').exists()
  with Image.open(tmp_path / 'images/samples/over_time.gif') as gif:
    assert (gif.n_frames, gif.size) == (3, (4, 4))
    values = []
    for frame in range(3):
      gif.seek(frame)
      values.append(np.asarray(gif.convert('L'))[0, 0])
  assert values == [0, 50, 200]


def test_damaged_pictures_are_left_out_of_the_animation(tmp_path, capsys):
  writer = Writer(tmp_path)
  for step in range(4):
    writer.image(step, 'a', np.full((4, 4, 1), 60 * step, np.uint8))
  folder = tmp_path / 'images/a'
  content = (folder / '1.png').read_bytes()
  (folder / '1.png').write_bytes(content[: len(content) // 2])
  (folder / '3.png').write_bytes(b'an error page')
  (folder / '²².png').write_bytes(content)  # a digit that is no number
  writer.animate()
  writer.close()
  with Image.open(folder / 'over_time.gif') as gif:
    assert gif.n_frames == 2
  lines = capsys.readouterr().err.splitlines()
  assert [line.split(' is left out')[0] for line in lines] == [
    f'{folder}/1.png',
    f'{folder}/3.png',
  ]
  assert all(': it cannot be read (' in line for line in lines)


def test_tensorboard_takes_no_time_to_import_pytorch(tmp_path):
  code = (
    'import pathlib, sys; from gen_jax.storage.writer import Writer; '
    f'Writer(pathlib.Path({str(tmp_path)!r})).scalars(1, {{"a": 1.0}}); '
    'assert "tensorboardX" in sys.modules and "torch" not in sys.modules'
  )
  subprocess.run([sys.executable, '-c', code], check=True)


def test_lines_with_a_seed_of_64_bits_are_kept(tmp_path):
  writer = Writer(tmp_path, -1)
  writer.scalars(5, {'elbo': 1.0, 'elbo/seed': 2**64 - 1})
  writer.close()
  assert Writer(tmp_path, 10).recorded(5, 'elbo')
