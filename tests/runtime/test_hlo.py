"""Collective operations in the text of a compiled program."""

from gen_jax.runtime import hlo

PROGRAM = """\
  %sum = (f32[64]{0:T(128)S(1)}, f32[3,3,32,64]{3,2,1,0}, f32[]{:T(128)}, \
/*index=3*/bf16[2,5]{1,0}) all-reduce(%a, %b, %c, %d), channel_id=1
  %part.2 = s32[] get-tuple-element(%sum), index=2
  ROOT %all-reduce.3 = f32[20]{0} all-reduce-start(%x), channel_id=2
  %done = f32[20]{0} all-reduce-done(%all-reduce.3)
  %all = (f32[2,8]{1,0}, f32[8,8]{1,0}) all-gather-start(%y), dimensions={0}
  %part.1 = bf16[16,2]{1,0} all-gather(%p.1), channel_id=3, dimensions={0}
  %part.2 = bf16[16,2]{1,0} all-gather(%p.2), channel_id=3, dimensions={0}
  %send.1 = (f32[9,2]{1,0:T(2,128)}, u32[], token[]) send(%z, %t), \
frontend_attributes={_xla_host_transfer_handler_name="xla_megascale_runtime"}
  %send.2 = (f32[4]{0}, u32[], token[]) send(%z, %t), is_host_transfer=true
"""


def test_operations_count_once_with_the_bytes_of_their_results():
  assert hlo.collectives(PROGRAM) == {
    'all-reduce': (2, 4 * (64 + 3 * 3 * 32 * 64 + 1) + 2 * 10 + 4 * 20),
    'all-gather': (2, 4 * 64 + 2 * 32),
    'send': (1, 4 * 18),
  }
