"""Images are found by their content where the name does not say it."""

import numpy as np
import pytest
from PIL import Image, features

from gen_jax.data.datasets import folder
from gen_jax.data.formats import listing

SHAPE = (8, 8, 3)


def save(path, kind):
  if kind in ('AVIF', 'WEBP') and not features.check(kind.lower()):
    pytest.skip(f'this Pillow has no {kind}')
  Image.new('RGB', (8, 8), (200, 60, 30)).save(path, kind)


@pytest.mark.parametrize(
  ('name', 'kind'),
  [
    ('x.jfif', 'JPEG'),
    ('x.jpe', 'JPEG'),
    ('x', 'JPEG'),
    ('x.JPG_large', 'JPEG'),
    ('x.0', 'PNG'),
    ('x', 'GIF'),
    ('x', 'BMP'),
    ('x', 'TIFF'),
    ('x', 'PPM'),
    ('x', 'WEBP'),
    ('x.avif', 'AVIF'),
    ('x', 'AVIF'),
    ('x.jp2', 'JPEG2000'),
    ('x', 'JPEG2000'),
  ],
)
def test_an_image_is_known_by_its_content(tmp_path, name, kind):
  (tmp_path / 'train').mkdir()
  save(tmp_path / 'train' / name, kind)
  image = folder.load('train', tmp_path, SHAPE).arrays['image']
  assert np.abs(image.astype(int) - (200, 60, 30)).max() < 10


@pytest.mark.parametrize(
  'text', ['', 'BMW', 'BM is no header', 'P3rl', 'Python', 'II*', 'GIF', 'RIFF']
)
def test_a_text_is_no_image_whatever_it_begins_with(tmp_path, text):
  (tmp_path / 'x').write_text(text)
  assert listing.examine(tmp_path / 'x').left_out == 'not an image'


def test_a_report_names_a_few_of_each_kind(tmp_path):
  entries = [
    listing.Entry(tmp_path / f'{i}.txt', 'not an image') for i in range(8)
  ]
  hidden = listing.Entry(tmp_path / 'a' / '.b', 'hidden')
  assert listing.report(tmp_path, [*entries, hidden]) == [
    'left out: hidden (1): a/.b; not an image (8): 0.txt, 1.txt, 2.txt, 3.txt, '
    '4.txt, 3 more'
  ]
  assert listing.report(tmp_path, []) == []
