"""Makes docs/images/wall.png from the pictures of the model pages.

python docs/wall.py
"""

import pathlib

from PIL import Image, ImageDraw, ImageFont

IMAGES = pathlib.Path(__file__).parent / 'images'
TILE, GAP, CAPTION, COLUMNS = 262, 10, 26, 5
# The caption of each tile, its picture, the left edge and the size of the part
# that is shown, and the factor by which it is made smaller.
TILES = (
  ('VAE', 'vae_samples.png', 0, 242, 1),
  ('DCGAN', 'dcgan_mnist.png', 0, 242, 1),
  ('WGAN-GP', 'wgan_gp_mnist.png', 0, 242, 1),
  ('Conditional GAN', 'cgan_mnist.png', 0, 242, 1),
  ('InfoGAN, one code varied', 'infogan_mnist.png', 310, 242, 1),
  ('WGAN-GP on Fashion-MNIST', 'wgan_gp_fashion.png', 0, 242, 1),
  ('DCGAN on emoji', 'dcgan_emoji.png', 0, 240, 1),
  ('StyleGAN', 'stylegan_emoji.png', 0, 240, 1),
  ('CycleGAN: input, output, back, target', 'cyclegan_emoji.png', 0, 261, 1),
  ('StackGAN, a caption per row', 'stackgan_emoji.png', 0, 464, 2),
)


def main() -> None:
  """Writes the picture."""
  rows = -(-len(TILES) // COLUMNS)
  step = TILE + GAP
  size = COLUMNS * step + GAP, rows * (step + CAPTION) + GAP
  wall = Image.new('RGB', size, 'white')
  draw = ImageDraw.Draw(wall)
  font = ImageFont.load_default(15)
  for index, (caption, name, left, part, factor) in enumerate(TILES):
    x = GAP + index % COLUMNS * step
    y = GAP + index // COLUMNS * (step + CAPTION)
    with Image.open(IMAGES / name) as image:
      bottom = min(image.height, 242 * factor)
      image = image.convert('RGB').crop((left, 0, left + part, bottom))
      image = image.reduce(factor)
    wall.paste(image, (x + (TILE - image.width) // 2, y))
    center = x + TILE // 2, y + TILE + CAPTION // 2
    draw.text(center, caption, fill='#333333', font=font, anchor='mm')
  wall.save(IMAGES / 'wall.png', optimize=True)


if __name__ == '__main__':
  main()
