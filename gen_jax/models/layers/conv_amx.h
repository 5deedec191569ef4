// Convolutions of bfloat16 by AMX, the matrix unit of Intel's server processors.
//
// A tile is a matrix of 16 rows of 64 bytes. One instruction adds to a tile of
// float32, [16, 16], the product of a tile [16, 32] of bfloat16 and one [32, 16],
// whose rows lie in pairs: [16 pairs, 16, 2].
//
// The rows of a tile are one pixel of many images, or, of few images, pixels of
// one image after the other. So tiles are full however small the images are, and
// with one pixel of many images, what the kernel meets outside of them is left
// out. oneDNN takes pixels of one row, which leave more than half of a tile empty
// where a row has 7 of them. conv_native.py has the times of both.

#pragma once

// The compiler defines these for a processor that has the instructions.
#if defined(__AMX_BF16__) && defined(__AVX512BF16__)
#define GEN_JAX_AMX

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include <omp.h>

namespace amx {

using Number = uint16_t;            // the bits of a bfloat16
constexpr int64_t kSide = 32;       // of the blocks of numbers, pairs of tiles
constexpr int64_t kTile = 16 * 32;  // numbers of a tile
constexpr int64_t kBlock = kSide * kSide;

inline int64_t Blocks(int64_t n) { return (n + kSide - 1) / kSide; }

// Asks Linux for the tiles; false where it does not give them.
inline bool Available() {
  constexpr int kRequest = 0x1023, kTileData = 18;
  static const bool given = !syscall(SYS_arch_prctl, kRequest, kTileData);
  return given;
}

// Eight tiles for the thread that makes this.
struct Tiles {
  Tiles() {
    struct {
      uint8_t palette = 1, start = 0, reserved[14] = {};
      uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } config;
    // Not _tile_loadconfig: some versions of GCC take it to read eight bytes only,
    // and leave out what is stored in the others.
    asm volatile("ldtilecfg %0" ::"m"(config));
  }
  ~Tiles() { _tile_release(); }
};

// to [2, 2, 16, 16] = sums (none if null) + the products of the `count` blocks a
// and b, in which the two tiles lie one behind the other.
inline void Multiply(const Number* const* a, const Number* const* b,
                     int64_t count, const float* sums, float* to) {
  asm volatile("" ::: "memory");  // GCC does not know what loads of tiles read
  if (sums) {
    _tile_loadd(0, sums, 64);
    _tile_loadd(1, sums + 256, 64);
    _tile_loadd(2, sums + 512, 64);
    _tile_loadd(3, sums + 768, 64);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t i = 0; i < count; ++i) {
    _tile_loadd(4, a[i], 64);
    _tile_loadd(6, b[i], 64);
    _tile_loadd(7, b[i] + kTile, 64);
    _tile_loadd(5, a[i] + kTile, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, to, 64);
  _tile_stored(1, to + 256, 64);
  _tile_stored(2, to + 512, 64);
  _tile_stored(3, to + 768, 64);
}

// Transposes a matrix [16, 16] of numbers of 32 bits.
inline void Transpose(__m512i (&r)[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 16; i += 8)
    for (int j = i; j < i + 4; ++j) {
      t[j] = _mm512_shuffle_i32x4(r[j], r[j + 4], 0x88);
      t[j + 4] = _mm512_shuffle_i32x4(r[j], r[j + 4], 0xdd);
    }
  for (int i = 0; i < 8; ++i) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
  }
}

// Transposes both tiles of a block as matrices [16, 16] of pairs of numbers.
inline void TransposeTiles(Number* block) {
  for (Number* tile = block; tile < block + kBlock; tile += kTile) {
    __m512i rows[16];
    for (int64_t r = 0; r < 16; ++r)
      rows[r] = _mm512_load_si512(tile + r * kSide);
    Transpose(rows);
    for (int64_t r = 0; r < 16; ++r)
      _mm512_store_si512(tile + r * kSide, rows[r]);
  }
}

// Two rows of 32 numbers as pairs: of the first 16 columns, and of the others.
inline void Interleave(__m512i a, __m512i b, __m512i* low, __m512i* high) {
  const __m512i column = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
                                           12, 13, 14, 15);
  // In each pair a column of a, and the same of b, whose numbers begin at 32.
  const __m512i places = _mm512_or_si512(
      column,
      _mm512_slli_epi32(_mm512_add_epi32(column, _mm512_set1_epi32(32)), 16));
  *low = _mm512_permutex2var_epi16(a, places, b);
  *high = _mm512_permutex2var_epi16(
      a, _mm512_add_epi32(places, _mm512_set1_epi32(0x00100010)), b);
}

inline __mmask32 First(int64_t n) {
  return n >= 32 ? ~0u : n < 1 ? 0 : (1u << n) - 1;
}

// The first n of 32 numbers and zeros behind them; does not read beyond those.
inline __m512i Load(const Number* from, int64_t n) {
  return n >= 32 ? _mm512_loadu_si512(from)
                 : _mm512_maskz_loadu_epi16(First(n), from);
}

// Which pixels of the image that is read meet those of the one that is written:
// at place u of the kernel, x[stride i + u - low] meets y[i], in both axes.
struct Geometry {
  int64_t images, kh, kw;
  int64_t from_height, from_width, from_channels;
  int64_t to_height, to_width, to_channels;
  int64_t vertical, horizontal, top, left;
  bool transposed;  // y is read, and x is written
  bool packed;      // see Pixels

  int64_t Taps() const { return kh * kw; }
  int64_t Inputs() const { return Blocks(from_channels); }
  int64_t Outputs() const { return Blocks(to_channels); }
  // All blocks of the kernel, of which one has 32 inputs and 32 outputs.
  int64_t KernelBlocks() const { return Taps() * Inputs() * Outputs(); }
};

// Along one axis, the pixels of one phase: s m + phase for m = 0, 1, ...; all
// pixels if the phases are one. They meet the same places of the kernel.
struct Axis {
  int64_t phase, size, stride, low;
  bool transposed;

  int64_t Phases() const { return transposed ? stride : 1; }
  int64_t Count() const { return (size - phase + Phases() - 1) / Phases(); }

  // Whether pixel m meets `factor` m + `offset` at place u of the kernel.
  bool Meets(int64_t u, int64_t* factor, int64_t* offset) const {
    *factor = transposed ? 1 : stride;
    *offset = transposed ? phase + low - u : u - low;
    if (!transposed) return true;
    if (*offset % stride) return false;
    *offset /= stride;
    return true;
  }
};

// The pixels of the image that is written (of y, for W), or those of one phase if
// transposed, in blocks of 32: one pixel of 32 images if `packed`, and otherwise
// pixels in the order image, row, column.
class Pixels {
 public:
  Pixels(const Geometry& g, int64_t phase) : g_(g) {
    const int64_t columns = g.transposed ? g.horizontal : 1;
    rows_ = {phase / columns, g.to_height, g.vertical, g.top, g.transposed};
    columns_ = {phase % columns, g.to_width, g.horizontal, g.left,
                g.transposed};
  }

  static int64_t Phases(const Geometry& g) {
    return g.transposed ? g.vertical * g.horizontal : 1;
  }

  int64_t BlockCount() const {
    const int64_t pixels = rows_.Count() * columns_.Count();
    return g_.packed ? pixels * Blocks(g_.images)
                     : Blocks(pixels * g_.images);
  }

  // Where the pixels of a block lie: null behind the last.
  template <typename Pointer>
  void Places(int64_t block, Pointer image, Pointer (&to)[kSide]) const {
    EachPixel(block, [&](int64_t r, int64_t b, int64_t m, int64_t n) {
      const int64_t y = m * rows_.Phases() + rows_.phase;
      const int64_t x = n * columns_.Phases() + columns_.phase;
      to[r] = b < 0 ? nullptr
                    : image + ((b * g_.to_height + y) * g_.to_width + x) *
                                  g_.to_channels;
    });
  }

  // The pixels that those of a block meet at a place of the kernel, null where
  // there is none; returns whether there is any.
  bool Find(int64_t block, int64_t tap, const Number* image,
            const Number* (&from)[kSide]) const {
    Meeting at;
    if (!Meets(tap, &at)) return false;
    bool any = false;
    EachPixel(block, [&](int64_t r, int64_t b, int64_t m, int64_t n) {
      const int64_t pixel = b < 0 ? -1 : Met(at, m, n);
      const int64_t size = g_.from_height * g_.from_width;
      from[r] = pixel < 0 ? nullptr
                          : image + (b * size + pixel) * g_.from_channels;
      any |= pixel >= 0;
    });
    return any;
  }

  // The same for an image that is packed: the block of the pixels, or null.
  const Number* FindPacked(int64_t block, int64_t tap,
                           const Number* image) const {
    Meeting meeting;
    if (!Meets(tap, &meeting)) return nullptr;
    const int64_t groups = Blocks(g_.images), at = block / groups;
    const int64_t pixel =
        Met(meeting, at / columns_.Count(), at % columns_.Count());
    if (pixel < 0) return nullptr;
    return image + (pixel * groups + block % groups) * g_.Inputs() * kBlock;
  }

 private:
  // Pixel (m, n) meets row `down` m + y and column `across` n + x.
  struct Meeting {
    int64_t down, y, across, x;
  };

  bool Meets(int64_t tap, Meeting* at) const {
    return rows_.Meets(tap / g_.kw, &at->down, &at->y) &&
           columns_.Meets(tap % g_.kw, &at->across, &at->x);
  }

  // The number of that pixel in its image, -1 where it is outside.
  int64_t Met(const Meeting& at, int64_t m, int64_t n) const {
    const int64_t y = m * at.down + at.y, x = n * at.across + at.x;
    if (y < 0 || y >= g_.from_height || x < 0 || x >= g_.from_width) return -1;
    return y * g_.from_width + x;
  }

  // Calls f(r, b, m, n) for number r of a block, pixel (m, n) of image b; b is -1
  // behind the last.
  template <typename Function>
  void EachPixel(int64_t block, Function f) const {
    const int64_t width = columns_.Count(), height = rows_.Count();
    if (g_.packed) {
      const int64_t groups = Blocks(g_.images), at = block / groups;
      const int64_t first = block % groups * kSide;
      for (int64_t r = 0; r < kSide; ++r)
        f(r, first + r < g_.images ? first + r : -1, at / width, at % width);
      return;
    }
    const int64_t at = block * kSide;
    int64_t b = at / (width * height), m = at / width % height, n = at % width;
    for (int64_t r = 0; r < kSide; ++r) {
      f(r, b < g_.images ? b : -1, m, n);
      if (++n < width) continue;
      n = 0;
      if (++m < height) continue;
      m = 0;
      ++b;
    }
  }

  const Geometry& g_;
  Axis rows_, columns_;
};

// Copies 32 numbers of each of 32 pixels from `channel` on, zeros where there is
// none: as rows [32 pixels, 32], or as pairs of rows.
inline void Copy(const Number* const (&from)[kSide], int64_t channel,
                 int64_t channels, bool pairs, Number* to) {
  const auto row = [&](int64_t r) {
    return Load(from[r] + channel, from[r] ? channels - channel : 0);
  };
  for (int64_t r = 0; r < kSide; r += 2) {
    __m512i a = row(r), b = row(r + 1);
    if (pairs) Interleave(a, b, &a, &b);
    _mm512_store_si512(to + (pairs ? r * 16 : r * kSide), a);
    _mm512_store_si512(to + (pairs ? r * 16 + kTile : (r + 1) * kSide), b);
  }
}

// The image that is read, as blocks [height, width, images / 32, channels / 32].
inline int64_t PackedSize(const Geometry& g) {
  if (!g.packed) return 0;
  return g.from_height * g.from_width * Blocks(g.images) * g.Inputs() * kBlock;
}

inline void PackImage(const Geometry& g, const Number* image, bool pairs,
                      Number* packed) {
  const int64_t pixels = g.from_height * g.from_width;
#pragma omp parallel for collapse(2)
  for (int64_t first = 0; first < g.images; first += kSide)
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
      const Number* from[kSide];
      for (int64_t r = 0; r < kSide; ++r)
        from[r] = first + r < g.images
                      ? image + ((first + r) * pixels + pixel) * g.from_channels
                      : nullptr;
      Number* to = packed + (pixel * Blocks(g.images) + first / kSide) *
                                g.Inputs() * kBlock;
      for (int64_t c = 0; c < g.from_channels; c += kSide, to += kBlock)
        Copy(from, c, g.from_channels, pairs, to);
    }
}

// The kernel [kh, kw, C, K], or [kh, kw, outputs, inputs] if transposed, as the
// blocks [taps, inputs, outputs] of pairs of its inputs.
inline void PackKernel(const Geometry& g, const Number* w, Number* packed) {
#pragma omp parallel for
  for (int64_t i = 0; i < g.Taps() * g.Inputs(); ++i) {
    const int64_t input = i % g.Inputs() * kSide;
    const Number* tap = w + i / g.Inputs() * g.from_channels * g.to_channels;
    for (int64_t output = 0; output < g.to_channels; output += kSide) {
      Number* to = packed + (i * g.Outputs() + output / kSide) * kBlock;
      // The rows of the kernel are inputs, or outputs if transposed.
      const int64_t first = g.transposed ? output : input;
      const int64_t rows = g.transposed ? g.to_channels : g.from_channels;
      const int64_t width = g.transposed ? g.from_channels : g.to_channels;
      const Number* from[kSide];
      for (int64_t r = 0; r < kSide; ++r)
        from[r] = first + r < rows ? tap + (first + r) * width : nullptr;
      Copy(from, g.transposed ? input : output, width, !g.transposed, to);
      if (g.transposed) TransposeTiles(to);
    }
  }
}

// F, or D if transposed: of an image [B, h, w, inputs], [B, h, w, outputs].
class Convolution {
 public:
  Convolution(const Convolution&) = delete;
  explicit Convolution(const Geometry& g) : g_(g) {
    for (int64_t phase = 0; phase < Pixels::Phases(g); ++phase) {
      phases_.emplace_back(g_, phase);
      ends_.push_back(blocks_ += phases_.back().BlockCount());
    }
  }

  int64_t Bytes() const {
    return (g_.KernelBlocks() * kBlock + PackedSize(g_)) * sizeof(Number) +
           omp_get_max_threads() * BytesOfThread();
  }

  void Compute(const Number* image, const Number* w, Number* out,
               char* scratch) const {
    Number* const kernel = reinterpret_cast<Number*>(scratch);
    Number* const packed = kernel + g_.KernelBlocks() * kBlock;
    char* const own = reinterpret_cast<char*>(packed + PackedSize(g_));
    PackKernel(g_, w, kernel);
    if (g_.packed) PackImage(g_, image, false, packed);
#pragma omp parallel
    {
      const Tiles tiles;
      char* mine = own + omp_get_thread_num() * BytesOfThread();
#pragma omp for schedule(dynamic)
      for (int64_t i = 0; i < blocks_; ++i)
        ComputeBlock(i, g_.packed ? packed : image, kernel, out, mine);
    }
  }

 private:
  int64_t Terms() const { return g_.Taps() * g_.Inputs(); }

  int64_t BytesOfThread() const {
    const int64_t columns = g_.packed ? 0 : Terms() * kBlock * sizeof(Number);
    return (columns + Terms() * 2 * sizeof(void*) + 63) / 64 * 64;
  }

  void ComputeBlock(int64_t block, const Number* image, const Number* kernel,
                    Number* out, char* scratch) const {
    int64_t phase = 0;
    while (block >= ends_[phase]) ++phase;
    if (phase) block -= ends_[phase - 1];
    const Pixels& pixels = phases_[phase];
    Number* columns = reinterpret_cast<Number*>(scratch);
    auto a = reinterpret_cast<const Number**>(
        columns + (g_.packed ? 0 : Terms() * kBlock));
    const Number** b = a + Terms();
    int64_t terms = 0;
    for (int64_t tap = 0; tap < g_.Taps(); ++tap) {
      const Number* from[kSide];
      const Number* at = columns;
      if (g_.packed) {
        at = pixels.FindPacked(block, tap, image);
        if (!at) continue;
      } else {
        if (!pixels.Find(block, tap, image, from)) continue;
        for (int64_t c = 0; c < g_.from_channels; c += kSide, columns += kBlock)
          Copy(from, c, g_.from_channels, false, columns);
      }
      for (int64_t c = 0; c < g_.Inputs(); ++c, ++terms) {
        a[terms] = at + c * kBlock;
        b[terms] = kernel + (tap * g_.Inputs() + c) * g_.Outputs() * kBlock;
      }
    }
    Number* to[kSide];
    pixels.Places(block, out, to);
    alignas(64) float sums[kBlock];
    for (int64_t output = 0; output < g_.to_channels; output += kSide) {
      Multiply(a, b, terms, nullptr, sums);
      const __mmask32 mask = First(g_.to_channels - output);
      for (int64_t r = 0; r < kSide && to[r]; ++r) {
        const float* row = sums + r / 16 * 512 + r % 16 * 16;
        _mm512_mask_storeu_epi16(
            to[r] + output, mask,
            (__m512i)_mm512_cvtne2ps_pbh(_mm512_load_ps(row + 256),
                                         _mm512_load_ps(row)));
      }
      for (int64_t t = 0; t < terms; ++t) b[t] += kBlock;
    }
  }

  const Geometry g_;
  std::vector<Pixels> phases_;
  std::vector<int64_t> ends_;  // of the blocks of each phase
  int64_t blocks_ = 0;
};

// W: of x [B, h, w, inputs] and y [B, h, w, outputs], w [kh, kw, C, K]. The blocks
// of pixels of y are taken in groups, whose numbers stay in the cache.
class Gradient {
 public:
  Gradient(const Gradient&) = delete;
  explicit Gradient(const Geometry& g)
      : g_(g), pixels_(g_, 0),
        group_(std::max<int64_t>((1 << 18) / (g.Outputs() * kBlock), 16)) {}

  int64_t Bytes() const {
    return g_.KernelBlocks() * kBlock * sizeof(float) +
           (group_ * g_.Outputs() * kBlock + PackedSize(g_)) * sizeof(Number) +
           omp_get_max_threads() * BytesOfThread();
  }

  void Compute(const Number* x, const Number* y, Number* w,
               char* scratch) const {
    float* const sums = reinterpret_cast<float*>(scratch);
    Number* const turned =
        reinterpret_cast<Number*>(sums + g_.KernelBlocks() * kBlock);
    Number* const packed = turned + group_ * g_.Outputs() * kBlock;
    char* const own = reinterpret_cast<char*>(packed + PackedSize(g_));
    const int64_t items = g_.Taps() * g_.Inputs();
    if (g_.packed) PackImage(g_, x, true, packed);
#pragma omp parallel
    {
      const Tiles tiles;
      char* mine = own + omp_get_thread_num() * BytesOfThread();
      for (int64_t start = 0; start < pixels_.BlockCount(); start += group_) {
        const int64_t end = std::min(start + group_, pixels_.BlockCount());
#pragma omp for
        for (int64_t i = start; i < end; ++i)
          Turn(i, y, turned + (i - start) * g_.Outputs() * kBlock);
#pragma omp for schedule(dynamic)
        for (int64_t item = 0; item < items; ++item)
          Add(start, end, item, g_.packed ? packed : x, turned,
              sums + item * g_.Outputs() * kBlock, mine);
      }
#pragma omp for
      for (int64_t item = 0; item < items; ++item)
        Store(item, sums + item * g_.Outputs() * kBlock, w);
    }
  }

 private:
  int64_t BytesOfThread() const {
    const int64_t pairs = g_.packed ? 0 : group_ * kBlock * sizeof(Number);
    return (pairs + group_ * 2 * sizeof(void*) + 63) / 64 * 64;
  }

  // Transposes a block of y: [outputs, 32, 32 pixels].
  void Turn(int64_t block, const Number* y, Number* to) const {
    const Number* from[kSide];
    pixels_.Places(block, y, from);
    for (int64_t c = 0; c < g_.to_channels; c += kSide, to += kBlock) {
      Copy(from, c, g_.to_channels, true, to);
      TransposeTiles(to);
    }
  }

  // Adds what the blocks from `start` on give to the sums [outputs, 32, 32
  // inputs] of one place of the kernel and 32 inputs.
  void Add(int64_t start, int64_t end, int64_t item, const Number* x,
           const Number* turned, float* sums, char* scratch) const {
    const int64_t tap = item / g_.Inputs(), input = item % g_.Inputs();
    Number* pairs = reinterpret_cast<Number*>(scratch);
    auto a = reinterpret_cast<const Number**>(
        pairs + (g_.packed ? 0 : group_ * kBlock));
    const Number** b = a + group_;
    int64_t terms = 0;
    for (int64_t i = start; i < end; ++i) {
      if (g_.packed) {
        const Number* at = pixels_.FindPacked(i, tap, x);
        if (!at) continue;
        b[terms] = at + input * kBlock;
      } else {
        const Number* from[kSide];
        if (!pixels_.Find(i, tap, x, from)) continue;
        b[terms] = pairs;
        Copy(from, input * kSide, g_.from_channels, true, pairs);
        pairs += kBlock;
      }
      a[terms++] = turned + (i - start) * g_.Outputs() * kBlock;
    }
    for (int64_t o = 0; o < g_.Outputs(); ++o, sums += kBlock) {
      Multiply(a, b, terms, start ? sums : nullptr, sums);
      for (int64_t t = 0; t < terms; ++t) a[t] += kBlock;
    }
  }

  // Rounds the sums of one place and 32 inputs, and transposes them.
  void Store(int64_t item, const float* sums, Number* w) const {
    const int64_t first = item % g_.Inputs() * kSide;
    w += (item / g_.Inputs() * g_.from_channels + first) * g_.to_channels;
    for (int64_t o = 0; o < g_.to_channels; o += kSide, sums += kBlock)
      for (int64_t half = 0; half < 2; ++half) {
        __m512i low[16], high[16];
        for (int64_t r = 0; r < 16; ++r) {
          low[r] = _mm512_load_si512(sums + half * 256 + r * 16);
          high[r] = _mm512_load_si512(sums + 512 + half * 256 + r * 16);
        }
        Transpose(low);
        Transpose(high);
        const __mmask32 mask = First(g_.to_channels - o);
        for (int64_t r = 0; r < 16; ++r) {
          const int64_t input = half * 16 + r;
          if (first + input >= g_.from_channels) break;
          _mm512_mask_storeu_epi16(
              w + input * g_.to_channels + o, mask,
              (__m512i)_mm512_cvtne2ps_pbh((__m512)high[r], (__m512)low[r]));
        }
      }
  }

  const Geometry g_;
  const Pixels pixels_;
  const int64_t group_;  // blocks of pixels
};

}  // namespace amx

#endif
