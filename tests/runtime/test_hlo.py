"""What the text of a compiled program says."""

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


# An array of 256 numbers has 1024 bytes.
TRAFFIC = """\
%fused (p0: f32[50,256], p1: f32[1,256], p2: s32[]) -> (f32[50,256]) {
  %p0 = f32[50,256]{1,0} parameter(0)
  %p1 = f32[1,256]{1,0} parameter(1)
  %p2 = s32[] parameter(2)
  %old = f32[1,256]{1,0} dynamic-slice(%p0, %p2, %p2)
  %new = f32[50,256]{1,0} dynamic-update-slice(%p0, %p1, %p2, %p2)
  ROOT %both = (f32[50,256]{1,0}, f32[1,256]{1,0}) tuple(%new, %old)
}

%body (state: (f32[256], s32[])) -> (f32[256], s32[]) {
  %state = (f32[256]{0:T(128)}, s32[]) parameter(0)
  %x = f32[256]{0:T(128)} get-tuple-element(%state), index=0
  %y = f32[256]{0:T(128)S(1)} negate(%x)
  ROOT %next = (f32[256]{0:T(128)S(1)}, s32[]) tuple(%y, %x)
}

ENTRY %main (a: f32[2,256], pool: f32[50,256]) -> f32[256] {
  %a = f32[2,256]{1,0:T(2,128)} parameter(0)
  %pool = f32[50,256]{1,0:T(8,128)} parameter(1)
  %index = s32[]{:T(128)S(1)} constant(0)
  %start = ((f32[2,256]{1,0:T(2,128)}), f32[1,256]{1,0:T(1,128)S(1)}, \
s32[]{:S(2)}) slice-start(%a), slice={[0:1], [0:256]}
  %row = f32[1,256]{1,0:T(1,128)S(1)} slice-done(%start)
  %double = f32[1,256]{1,0:T(1,128)S(1)} add(%row, %row)
  %copy = (f32[1,256]{1,0}, f32[1,256]{1,0:T(1,128)S(1)}, u32[]{:S(2)}) \
copy-start(%double)
  %out = f32[1,256]{1,0} copy-done(%copy)
  %fusion = (f32[50,256]{1,0:T(8,128)}, f32[1,256]{1,0}) \
fusion(%pool, %out, %index), kind=kLoop, calls=%fused
  %loop = (f32[256]{0:T(128)}, s32[]) while(%tuple), body=%body
  ROOT %twice = bf16[2,256]{1,0} add(%a, %a)
}
"""


def test_the_traffic_of_a_program_is_what_is_not_on_the_chip():
  assert hlo.memory_traffic(TRAFFIC) == 1024 * sum(
    [
      1,  # the first row of a
      1,  # the row's double
      1 + 1 + 2,  # one row of the pool, the new one, and both results
      1,  # the loop's reads
      2 + 2 + 1,  # the root
    ]
  )
