"""Any image becomes uint8 of the one shape that is asked."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gen_jax.data.formats import images, pixels
from gen_jax.errors import InputError

RED = (200, 20, 40)
GRAY = 76  # 0.299 * 200 + 0.587 * 20 + 0.114 * 40, as Pillow weighs


def plain(mode, color, size=(6, 4)):
  return Image.new(mode, size, color)


def palette(transparent=None):
  image = Image.new('P', (6, 4), 1)
  image.putpalette([0, 0, 0, *RED])
  if transparent is not None:
    image.info['transparency'] = transparent
  return image


@pytest.mark.parametrize(
  ('image', 'expected'),
  [
    (plain('RGB', RED), RED),
    (plain('RGB', RED), GRAY),
    (plain('RGB', RED), (*RED, 255)),
    (plain('L', 90), 90),
    (plain('L', 90), (90, 90, 90)),
    (plain('L', 90), (90, 90, 90, 255)),
    (plain('1', 1), 255),
    (plain('1', 0), (0, 0, 0)),
    (plain('CMYK', (0, 255, 255, 0)), (255, 0, 0)),
    (plain('YCbCr', (90, 128, 128)), (90, 90, 90)),
    (plain('LAB', (138, 209, 198)), (251, 5, 4)),  # red, in whole numbers
    (plain('LAB', (128, 128, 128)), 119),
    (palette(), RED),
    (palette(), GRAY),
  ],
)
def test_modes_are_converted(image, expected):
  channels = np.size(expected)
  out = images.fit(image, (4, 6, channels))
  assert out.shape == (4, 6, channels) and out.dtype == np.uint8
  assert (np.abs(out.astype(int) - expected) <= 1).all(), out[0, 0]


@pytest.mark.parametrize(
  ('image', 'expected'),
  [
    (plain('RGBA', (*RED, 0)), (255, 255, 255)),
    (plain('RGBA', (0, 0, 0, 102)), (153, 153, 153)),
    (plain('RGBA', (0, 0, 0, 102)), 153),
    (plain('LA', (0, 102)), 153),
    (palette(transparent=1), (255, 255, 255)),
    (palette(transparent=0), RED),
    (plain('RGBA', (*RED, 102)), (*RED, 102)),
  ],
)
def test_transparency_is_composited_on_white_unless_kept(image, expected):
  out = images.fit(image, (4, 6, np.size(expected)))
  assert (np.abs(out.astype(int) - expected) <= 1).all(), out[0, 0]


@pytest.mark.parametrize(
  ('image', 'limits', 'expected'),
  [
    (plain('I;16', 0xABCD), (0, 65535), 0xAB),
    (plain('I', 0xABCD), (0, 65535), (0xAB, 0xAB, 0xAB)),
    (plain('I;16', 4095), (0, 4095), 255),
    (plain('I', 200), (0, 255), 200),
    (plain('I', -1024), (-1024, 3071), 0),
    (plain('I', 1023), (-1024, 3071), (127, 127, 127)),
    (plain('I', 70000), (0, 65535), 255),
    (plain('F', 0.6), (0.0, 1.0), 153),
    (plain('F', -0.2), (-1.0, 1.0), (102, 102, 102, 255)),
  ],
)
def test_wide_pixels_are_mapped_by_their_range(image, limits, expected):
  out = images.fit(
    image, (4, 6, np.size(expected)), ranges=pixels.fixed(limits)
  )
  assert out.dtype == np.uint8 and (out == expected).all(), out[0, 0]


@pytest.mark.parametrize('mode', ['I;16', 'I', 'F'])
def test_wide_pixels_without_a_range_are_refused(mode):
  with pytest.raises(ValueError, match='has no range: convert'):
    images.fit(plain(mode, 1), (4, 6, 1))


def test_the_center_is_cropped():
  wide = np.zeros((4, 12, 1), np.uint8)
  wide[:, 4:8] = 255
  out = images.fit_array(wide[None], (4, 4, 1))[0]
  assert (out == 255).all()
  tall = images.fit_array(wide.swapaxes(0, 1)[None], (4, 4, 1))[0]
  assert (tall == 255).all()


def test_shrinking_is_antialiased():
  rows, columns = np.indices((64, 64))
  board = ((rows + columns) % 2 * 255).astype(np.uint8)
  out = images.fit(Image.fromarray(board), (8, 8, 1))
  assert np.abs(out.astype(int) - 127).max() <= 2  # aliased: 0 or 255


def test_an_image_that_fits_is_not_changed():
  pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
  np.testing.assert_array_equal(
    images.fit(Image.fromarray(pixels), (9, 7, 3)), pixels
  )


def test_the_camera_orientation_is_applied(tmp_path):
  pixels = np.zeros((8, 16, 3), np.uint8)
  pixels[:, :8] = 255  # the left half is white
  image = Image.fromarray(pixels)
  exif = image.getexif()
  exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
  image.save(tmp_path / 'x.png', exif=exif)
  out = images.read_file(tmp_path / 'x.png', (16, 8, 1))
  assert (out[:8] == 255).all() and (out[8:] == 0).all()


@pytest.mark.parametrize('channels', [1, 3, 4])
@pytest.mark.parametrize('shape', [(8, 8, 1), (5, 9, 3), (12, 12, 4)])
def test_a_batch_is_fitted_as_its_images_are(channels, shape):
  rng = np.random.default_rng(0)
  batch = rng.integers(0, 256, (3, 8, 8, channels), np.uint8)
  singles = [
    images.fit(Image.fromarray(x[..., 0] if channels == 1 else x), shape)
    for x in batch
  ]
  np.testing.assert_array_equal(images.fit_array(batch, shape), singles)


def test_a_batch_of_the_shape_is_not_copied():
  batch = np.zeros((3, 8, 8, 3), np.uint8)
  assert images.fit_array(batch, (8, 8, 3)) is batch


def png_header(width, height):
  """A PNG that promises pixels and has none."""

  def chunk(kind, data):
    crc = zlib.crc32(kind + data)
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', crc)

  head = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
  return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + chunk(b'IDAT', b'')


@pytest.mark.filterwarnings('ignore::PIL.Image.DecompressionBombWarning')
@pytest.mark.parametrize('side', [10001, 60000])
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path, side):
  file = tmp_path / 'bomb.png'
  file.write_bytes(png_header(side, 10000))
  for what in (file, file.read_bytes()):
    with pytest.raises(ValueError, match='more than 100 megapixels'):
      images.open_image(what)
  message = 'bomb.png cannot be read: more than 100 megapixels'
  with pytest.raises(InputError, match=message):
    images.read_file(file, (8, 8, 3))


def test_a_large_photograph_is_not_a_bomb(tmp_path):
  file = tmp_path / 'photo.png'
  file.write_bytes(png_header(9000, 9000))
  assert images.open_image(file).size == (9000, 9000)


@pytest.mark.parametrize(
  'shape',
  [
    *((8, 8), (8, 8, 2), (0, 8, 1), (8, 8, 3, 3), None, 'abc'),
    *((float('inf'), 8, 1), (10**5, 10**4, 1)),
  ],
)
def test_a_bad_shape_is_named(shape):
  with pytest.raises(InputError, match='data.shape: '):
    images.check_shape(shape)


@pytest.mark.parametrize('orientation', [1, 3, 6, 8])
@pytest.mark.parametrize('name', ['x.jpg', 'x.png', 'x.tif', 'x.webp'])
def test_the_upright_size_is_that_of_the_decoded_image(
  tmp_path, name, orientation
):
  exif = Image.Exif()
  exif[0x0112] = orientation
  plain('RGB', RED).save(tmp_path / name, exif=exif)
  with images.open_image(tmp_path / name) as image:
    width, height = images.upright_size(image)
  assert images.read_whole(tmp_path / name, 3).shape == (height, width, 3)
