from benchmarks import gpu

HLO = """\
HloModule jit_run

%fused (x: f32[2]) -> f32[2] {
  %x = f32[2]{0} parameter(0)
  ROOT %y = f32[2]{0} negate(%x)
}

%command_buffer (x.1: f32[2]) -> f32[2] {
  %x.1 = f32[2]{0} parameter(0)
  %a = f32[2]{0} fusion(%x.1), kind=kLoop, calls=%fused
  ROOT %b = f32[2]{0} custom-call(%a), custom_call_target="__cublas$gemm"
}

%body (arg: (s32[], f32[2])) -> (s32[], f32[2]) {
  %arg = (s32[], f32[2]{0}) parameter(0)
  %i = s32[] get-tuple-element(%arg), index=0
  %v = f32[2]{0} get-tuple-element(%arg), index=1
  %w = f32[2]{0} call(%v), to_apply=%command_buffer
  %j = s32[] fusion(%i), kind=kLoop, calls=%fused
  ROOT %t = (s32[], f32[2]{0}) tuple(%j, %w)
}

ENTRY %main (p: (s32[], f32[2])) -> (s32[], f32[2]) {
  %p = (s32[], f32[2]{0}) parameter(0)
  ROOT %loop = (s32[], f32[2]{0}) while(%p), condition=%condition, body=%body
}
"""


def test_kernels_in_a_loop_are_counted():
    assert gpu.kernels_per_iteration(HLO) == [3]
