// The triple of conv_triple.py by oneDNN, as functions that XLA calls.
//
// All three arrays of a call are float32 or bfloat16; sums are float32 in both.
// Images are [B, H, W, C] and kernels [kh, kw, C, K] in memory. oneDNN names
// the axes of what it is given in the order batch (or output), channels, height,
// width, and is told how they lie; kernels it takes in an order of its own, so
// they, being small, are copied.
//
// With AMX, conv_amx.h computes most maps of bfloat16. Without AVX-512, oneDNN's
// kernels for W, and for D with a stride, are slower than a product of matrices
// (im2col and col2im). conv_native.py has the times of both.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>

#include <omp.h>

#include "oneapi/dnnl/dnnl.hpp"
#include "xla/ffi/api/ffi.h"

#include "conv_amx.h"

namespace ffi = xla::ffi;
using dnnl::memory;
using Array = ffi::AnyBuffer;
using Result = ffi::Result<ffi::AnyBuffer>;
using Numbers = ffi::Span<const int64_t>;

namespace {

struct Problem {
  memory::dims strides, low, high;
  memory::desc image_x, image_y, kernel, any_kernel;
  dnnl::convolution_forward::primitive_desc forward;
};

dnnl::engine& Engine() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::stream& Stream() {
  thread_local dnnl::stream stream(Engine());
  return stream;
}

memory::data_type TypeOf(const Array& array) {
  return array.element_type() == ffi::BF16 ? memory::data_type::bf16
                                           : memory::data_type::f32;
}

// geo: strides, padding before and after, each (vertical, horizontal).
Problem Describe(const Array& x, const Array& w, const Array& y, Numbers geo) {
  using Tag = memory::format_tag;
  const auto type = TypeOf(x);
  const auto a = x.dimensions(), b = w.dimensions(), c = y.dimensions();
  const memory::dims image_x{a[0], a[3], a[1], a[2]};
  const memory::dims kernel{b[3], b[2], b[0], b[1]};
  const memory::dims image_y{c[0], c[3], c[1], c[2]};
  Problem p;
  p.strides = {geo[0], geo[1]};
  p.low = {geo[2], geo[3]};
  p.high = {geo[4], geo[5]};
  p.image_x = memory::desc(image_x, type, Tag::nhwc);
  p.image_y = memory::desc(image_y, type, Tag::nhwc);
  p.kernel = memory::desc(kernel, type, Tag::hwio);
  p.any_kernel = memory::desc(kernel, type, Tag::any);
  p.forward = dnnl::convolution_forward::primitive_desc(
      Engine(), dnnl::prop_kind::forward_training,
      dnnl::algorithm::convolution_direct, p.image_x, p.any_kernel, p.image_y,
      p.strides, p.low, p.high);
  return p;
}

memory At(const memory::desc& desc, const Array& array) {
  return memory(desc, Engine(), const_cast<void*>(array.untyped_data()));
}

// Memory that is valid while what is returned lives and until this thread asks
// again, so a map asks once. Up to 64 MiB are kept for each thread, since memory
// that was used just before is still in the cache.
memory Scratch(const memory::desc& desc) {
  if (desc.get_size() > (64 << 20)) return memory(desc, Engine());
  thread_local memory kept;
  if (!kept || kept.get_desc().get_size() < desc.get_size()) {
    kept = memory();  // frees what was too small
    kept = memory(desc, Engine());
  }
  return memory(desc, Engine(), kept.get_data_handle());
}

memory Scratch(int64_t floats) {
  using Tag = memory::format_tag;
  return Scratch(memory::desc({floats}, memory::data_type::f32, Tag::a));
}

float* Floats(const memory& scratch) {
  return static_cast<float*>(scratch.get_data_handle());
}

// The kernel in the order that oneDNN wants.
memory Reordered(memory kernel, const memory::desc& wanted) {
  if (kernel.get_desc() == wanted) return kernel;
  memory copy = Scratch(wanted);
  dnnl::reorder(kernel, copy).execute(Stream(), kernel, copy);
  return copy;
}

void Zero(float* to, int64_t count) {
  std::memset(to, 0, count * sizeof(float));
}

// im2col: for each pixel of y the part of x that the kernel meets there, its
// columns [kh, kw, C]. Where that is outside of x they are zero.
struct Columns {
  int64_t height, width, channels;  // of x
  int64_t images, rows, pixels;     // of y: rows of an image, pixels of a row
  int64_t kh, kw, outputs, vertical, horizontal, top, left;

  Columns(const Array& x, const Array& w, const Array& y, Numbers geo)
      : height(x.dimensions()[1]), width(x.dimensions()[2]),
        channels(x.dimensions()[3]), images(y.dimensions()[0]),
        rows(y.dimensions()[1]), pixels(y.dimensions()[2]),
        kh(w.dimensions()[0]), kw(w.dimensions()[1]),
        outputs(w.dimensions()[3]), vertical(geo[0]), horizontal(geo[1]),
        top(geo[2]), left(geo[3]) {}

  int64_t Size() const { return kh * kw * channels; }

  // From the columns of a pixel to those of the next. At multiples of 1 KiB they
  // would fight for the same lines of the cache, which halves the speed.
  int64_t Pitch() const { return Size() % 256 ? Size() : Size() + 16; }

  // Numbers in the columns of so many rows of y.
  int64_t Count(int64_t y_rows) const { return y_rows * pixels * Pitch(); }

  // Rows of y, counted through all images, that are done at a time. About 2 MiB
  // of columns stay in the caches of a core; a product of fewer than 256 pixels
  // would be slow.
  int64_t Block() const {
    const int64_t floats = (2 << 20) / sizeof(float);
    const int64_t wanted = std::max<int64_t>(floats / Size(), 256);
    return std::clamp<int64_t>(wanted / pixels, 1, images * rows);
  }

  // Calls f for each pixel of a row of y: with the place, in its columns, of row
  // `v` of the kernel, how many numbers of that are left of x, where in a row
  // of x the others begin, and how many they are.
  template <typename Function>
  void EachPixel(int64_t v, Function f) const {
    for (int64_t j = 0; j < pixels; ++j) {
      const int64_t start = j * horizontal - left;
      const int64_t from = std::clamp<int64_t>(-start, 0, kw);
      const int64_t to = std::clamp(width - start, from, kw);
      f(j * Pitch() + v * kw * channels, from * channels,
        (start + from) * channels, (to - from) * channels);
    }
  }

  // The columns of `count` rows of y from `first` on, counted through all images.
  void Fill(const float* x, int64_t first, int64_t count, float* out) const {
#pragma omp parallel for if (!omp_in_parallel())
    for (int64_t r = 0; r < count; ++r) {
      float* columns = out + r * pixels * Pitch();
      const int64_t image = (first + r) / rows;
      const int64_t start = (first + r) % rows * vertical - top;
      for (int64_t v = 0; v < kh; ++v) {
        const int64_t i = start + v, all = kw * channels;
        const bool inside = 0 <= i && i < height;
        const float* row =
            inside ? x + (image * height + i) * width * channels : nullptr;
        EachPixel(v, [&](int64_t place, int64_t skip, int64_t at, int64_t n) {
          float* to = columns + place;
          if (!inside) return Zero(to, all);
          Zero(to, skip);
          std::memcpy(to + skip, row + at, n * sizeof(float));
          Zero(to + skip + n, all - skip - n);
        });
      }
    }
  }

  // The transpose of that for whole images: sums the columns into x.
  void Sum(const float* in, int64_t first, int64_t count, float* x) const {
#pragma omp parallel for if (!omp_in_parallel())
    for (int64_t r = 0; r < count * height; ++r) {
      float* row = x + (first * height + r) * width * channels;
      Zero(row, width * channels);
      for (int64_t v = 0; v < kh; ++v) {
        const int64_t i = r % height + top - v;
        if (i < 0 || i % vertical || i / vertical >= rows) continue;
        const int64_t y_row = r / height * rows + i / vertical;
        const float* columns = in + y_row * pixels * Pitch();
        EachPixel(v, [&](int64_t place, int64_t skip, int64_t at, int64_t n) {
          const float* from = columns + place + skip;
          for (int64_t k = 0; k < n; ++k) row[at + k] += from[k];
        });
      }
    }
  }
};

const float* Floats(const Array& array) {
  return static_cast<const float*>(array.untyped_data());
}

// c [m, n] = a [m, k] b [k, n] + beta c; 'T' for an operand that lies transposed.
// Returns whether it could be computed: no exception leaves a parallel loop.
bool Product(char a_form, char b_form, int64_t m, int64_t n, int64_t k,
             const float* a, int64_t a_pitch, const float* b, int64_t b_pitch,
             float beta, float* c, int64_t c_pitch) {
  return dnnl_sgemm(a_form, b_form, m, n, k, 1, a, a_pitch, b, b_pitch, beta, c,
                    c_pitch) == dnnl_success;
}

// Computes part(0), part(1), ... of some, each by a thread of its own. One part
// is left to the thread that is here, so that the loops inside of it are shared
// by all threads.
template <typename Function>
void EachPart(int64_t parts, Function part) {
  bool computed = true;
  if (parts == 1) {
    computed = part(0);
  } else {
#pragma omp parallel for reduction(&& : computed)
    for (int64_t n = 0; n < parts; ++n) computed = part(n) && computed;
  }
  if (!computed) throw dnnl::error(dnnl_runtime_error, "dnnl_sgemm failed");
}

// The parts that some threads compute, with so many floats for each; few enough
// that the memory that is kept does not exceed 64 MiB.
int64_t Parts(int64_t floats) {
  const int64_t most = (64 << 20) / sizeof(float);
  return std::clamp<int64_t>(most / floats, 1, omp_get_max_threads());
}

bool PrefersProducts(const Array& a, const Array& b) {
  return TypeOf(a) == memory::data_type::f32 && a.element_count() &&
         b.element_count() &&
         dnnl_get_effective_cpu_isa() < dnnl_cpu_isa_avx512_core;
}

// Whether W is a product. Of few channels the pieces to copy are too short, and
// where a pixel of x is in many columns the copies cost more than is gained.
bool IsProductW(const Array& x, const Array& y, const Columns& at) {
  return PrefersProducts(x, y) && at.channels >= 16 &&
         at.kh * at.kw <= 9 * at.vertical * at.horizontal;
}

void ProductW(const Array& x, const Array& y, Result& w, const Columns& at) {
  const int64_t rows = at.images * at.rows, block = at.Block();
  const int64_t blocks = (rows + block - 1) / block;
  const int64_t size = at.Size() * at.outputs, columns = at.Count(block);
  // Threads with blocks of their own wait for each other only once. Where there
  // are too few blocks, the threads share each of them.
  int64_t parts = Parts(columns + size);
  if (blocks < 2 * parts) parts = 1;
  float* out = static_cast<float*>(w->untyped_data());
  const memory kept = Scratch(parts * (columns + size));
  float* scratch = Floats(kept);
  float* sums = parts == 1 ? out : scratch + parts * columns;
  EachPart(parts, [&](int64_t part) {
    const int64_t begin = blocks * part / parts;
    const int64_t end = blocks * (part + 1) / parts;
    float* own = scratch + part * columns;
    bool computed = true;
    for (int64_t b = begin; b < end; ++b) {
      const int64_t first = b * block, count = std::min(block, rows - first);
      at.Fill(Floats(x), first, count, own);
      computed &= Product('T', 'N', at.Size(), at.outputs, count * at.pixels,
                          own, at.Pitch(),
                          Floats(y) + first * at.pixels * at.outputs,
                          at.outputs, b > begin, sums + part * size,
                          at.outputs);
    }
    return computed;
  });
  if (parts == 1) return;
#pragma omp parallel for
  for (int64_t n = 0; n < size; ++n) {
    float sum = 0;
    for (int64_t part = 0; part < parts; ++part) sum += sums[part * size + n];
    out[n] = sum;
  }
}

// Whether D is a product: with a stride, and where a block holds an image, since
// `Sum` writes each row of x once.
bool IsProductD(const Array& y, const Array& w, const Columns& at) {
  return PrefersProducts(y, w) && at.vertical * at.horizontal > 1 &&
         at.Block() >= at.rows;
}

void ProductD(const Array& y, const Array& w, Result& x, const Columns& at) {
  const int64_t size = at.rows * at.pixels;  // pixels of an image
  int64_t parts = Parts(at.Count(at.Block()));
  if (at.images < parts) parts = 1;
  const int64_t block =
      std::min(at.Block() / at.rows, (at.images + parts - 1) / parts);
  const int64_t columns = at.Count(block * at.rows);
  float* out = static_cast<float*>(x->untyped_data());
  const memory kept = Scratch(parts * columns);
  float* scratch = Floats(kept);
  EachPart(parts, [&](int64_t part) {
    const int64_t end = at.images * (part + 1) / parts;
    float* own = scratch + part * columns;
    bool computed = true;
    for (int64_t i = at.images * part / parts; i < end; i += block) {
      const int64_t count = std::min(block, end - i);
      computed &= Product('N', 'T', count * size, at.Size(), at.outputs,
                          Floats(y) + i * size * at.outputs, at.outputs,
                          Floats(w), at.outputs, 0, own, at.Pitch());
      at.Sum(own, i, count, out);
    }
    return computed;
  });
}

#ifdef GEN_JAX_AMX
amx::Geometry Meetings(const Array& x, const Array& w, const Array& y,
                       Numbers geo, bool transposed) {
  const Array& from = transposed ? y : x;
  const Array& to = transposed ? x : y;
  const auto a = from.dimensions(), b = to.dimensions(), k = w.dimensions();
  // Whether at most an eighth of the blocks of 32 images is empty.
  const bool packed = amx::Blocks(a[0]) * amx::kSide * 7 <= a[0] * 8;
  return {a[0], k[0],   k[1],   a[1],   a[2],   a[3],       b[1],  b[2],
          b[3], geo[0], geo[1], geo[2], geo[3], transposed, packed};
}

// Whether conv_amx.h can be faster: not with few channels, which do not fill a
// tile, nor with kernels of 1x1 pixels, which use a number that is copied once.
bool PrefersAmx(const Array& x, const amx::Geometry& g) {
  return TypeOf(x) == memory::data_type::bf16 && g.images && g.to_height &&
         g.to_width && g.Taps() > 1 && g.from_channels >= 16 &&
         g.to_channels >= 16 && amx::Available();
}

// Whether it is for F and D. With long rows oneDNN fills its tiles as well.
bool ConvolvesByAmx(const Array& x, const amx::Geometry& g) {
  const int64_t stride = g.vertical * g.horizontal;
  const int64_t uses = g.Taps() * g.to_channels / (g.transposed ? 1 : stride);
  const int64_t width = g.to_width / (g.transposed ? g.horizontal : 1);
  const bool few = g.images < 16;
  return PrefersAmx(x, g) && uses >= (few ? 250 : 400) &&
         width <= (few ? 32 : 27);
}

// Whether it is for W.
bool CorrelatesByAmx(const Array& x, const amx::Geometry& g) {
  return PrefersAmx(x, g) && (g.to_channels >= 64 || g.to_width <= 27);
}

template <typename Map>
void ByAmx(const Map& map, const Array& a, const Array& b, Result& out) {
  const auto bits = [](const void* data) {
    return static_cast<const amx::Number*>(data);
  };
  const memory scratch = Scratch((map.Bytes() + 3) / 4);
  map.Compute(bits(a.untyped_data()), bits(b.untyped_data()),
              static_cast<amx::Number*>(out->untyped_data()),
              static_cast<char*>(scratch.get_data_handle()));
}
#endif

void Forward(const Array& x, const Array& w, Result& y, Numbers geo) {
#ifdef GEN_JAX_AMX
  const amx::Geometry g = Meetings(x, w, *y, geo, false);
  if (ConvolvesByAmx(x, g)) return ByAmx(amx::Convolution(g), x, w, y);
#endif
  Problem p = Describe(x, w, *y, geo);
  memory kernel = Reordered(At(p.kernel, w), p.forward.weights_desc());
  dnnl::convolution_forward(p.forward)
      .execute(Stream(), {{DNNL_ARG_SRC, At(p.image_x, x)},
                          {DNNL_ARG_WEIGHTS, kernel},
                          {DNNL_ARG_DST, At(p.image_y, *y)}});
  Stream().wait();
}

void BackwardData(const Array& y, const Array& w, Result& x, Numbers geo) {
#ifdef GEN_JAX_AMX
  const amx::Geometry g = Meetings(*x, w, y, geo, true);
  if (ConvolvesByAmx(y, g)) return ByAmx(amx::Convolution(g), y, w, x);
#endif
  const Columns at(*x, w, y, geo);
  if (IsProductD(y, w, at)) return ProductD(y, w, x, at);
  Problem p = Describe(*x, w, y, geo);
  dnnl::convolution_backward_data::primitive_desc backward(
      Engine(), dnnl::algorithm::convolution_direct, p.image_x, p.any_kernel,
      p.image_y, p.strides, p.low, p.high, p.forward);
  memory kernel = Reordered(At(p.kernel, w), backward.weights_desc());
  dnnl::convolution_backward_data(backward).execute(
      Stream(), {{DNNL_ARG_DIFF_DST, At(p.image_y, y)},
                 {DNNL_ARG_WEIGHTS, kernel},
                 {DNNL_ARG_DIFF_SRC, At(p.image_x, *x)}});
  Stream().wait();
}

void BackwardWeights(const Array& x, const Array& y, Result& w, Numbers geo) {
#ifdef GEN_JAX_AMX
  const amx::Geometry g = Meetings(x, *w, y, geo, false);
  if (CorrelatesByAmx(x, g)) return ByAmx(amx::Gradient(g), x, y, w);
#endif
  const Columns at(x, *w, y, geo);
  if (IsProductW(x, y, at)) return ProductW(x, y, w, at);
  Problem p = Describe(x, *w, y, geo);
  dnnl::convolution_backward_weights::primitive_desc backward(
      Engine(), dnnl::algorithm::convolution_direct, p.image_x, p.any_kernel,
      p.image_y, p.strides, p.low, p.high, p.forward);
  memory result = At(p.kernel, *w);
  const memory::desc wanted = backward.diff_weights_desc();
  const bool same = wanted == p.kernel;
  memory kernel = same ? result : Scratch(wanted);
  dnnl::convolution_backward_weights(backward).execute(
      Stream(), {{DNNL_ARG_SRC, At(p.image_x, x)},
                 {DNNL_ARG_DIFF_DST, At(p.image_y, y)},
                 {DNNL_ARG_DIFF_WEIGHTS, kernel}});
  if (!same) dnnl::reorder(kernel, result).execute(Stream(), kernel, result);
  Stream().wait();
}

template <void (*map)(const Array&, const Array&, Result&, Numbers)>
ffi::Error Call(Array a, Array b, Result out, Numbers geo) {
  try {
    map(a, b, out, geo);
  } catch (const std::exception& error) {
    return ffi::Error::Internal(error.what());
  }
  return ffi::Error::Success();
}

auto Binding() {
  return ffi::Ffi::Bind().Arg<Array>().Arg<Array>().Ret<Array>().Attr<Numbers>(
      "geo");
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(F, Call<Forward>, Binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(D, Call<BackwardData>, Binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(W, Call<BackwardWeights>, Binding());
