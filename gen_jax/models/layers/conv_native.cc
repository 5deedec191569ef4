// The triple of conv_triple.py by oneDNN, as functions that XLA calls.
//
// All three arrays of a call are float32 or bfloat16; sums are float32 in both.
// Images are [B, H, W, C] and kernels [kh, kw, C, K] in memory. oneDNN names
// the axes of what it is given in the order batch (or output), channels, height,
// width, and is told how they lie; kernels it takes in an order of its own, so
// they, being small, are copied.

#include <cstdint>

#include "oneapi/dnnl/dnnl.hpp"
#include "xla/ffi/api/ffi.h"

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

// The kernel in the order that oneDNN wants.
memory Reordered(memory kernel, const memory::desc& wanted) {
  if (kernel.get_desc() == wanted) return kernel;
  memory copy(wanted, Engine());
  dnnl::reorder(kernel, copy).execute(Stream(), kernel, copy);
  return copy;
}

void Forward(const Array& x, const Array& w, Result& y, Numbers geo) {
  Problem p = Describe(x, w, *y, geo);
  memory kernel = Reordered(At(p.kernel, w), p.forward.weights_desc());
  dnnl::convolution_forward(p.forward)
      .execute(Stream(), {{DNNL_ARG_SRC, At(p.image_x, x)},
                          {DNNL_ARG_WEIGHTS, kernel},
                          {DNNL_ARG_DST, At(p.image_y, *y)}});
  Stream().wait();
}

void BackwardData(const Array& y, const Array& w, Result& x, Numbers geo) {
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
  Problem p = Describe(x, *w, y, geo);
  dnnl::convolution_backward_weights::primitive_desc backward(
      Engine(), dnnl::algorithm::convolution_direct, p.image_x, p.any_kernel,
      p.image_y, p.strides, p.low, p.high, p.forward);
  memory result = At(p.kernel, *w);
  const memory::desc wanted = backward.diff_weights_desc();
  const bool same = wanted == p.kernel;
  memory kernel = same ? result : memory(wanted, Engine());
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
  } catch (const dnnl::error& error) {
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
