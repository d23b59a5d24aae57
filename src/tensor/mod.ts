export {
  blockLayout,
  type SourceType,
  sourceByteLength,
  sourceTypeId,
  sourceTypeOfId,
  sourceTypes,
} from "./dtype.ts";
export { bf16ToF32, f16ToF32, f32ToBf16Bits, f32ToF16Bits } from "./half.ts";
export {
  GROUP,
  maximalSubtrees,
  requireExactSums,
  rotationBlocks,
  rotationNegates,
  SCALE_GROUP,
  type Subtree,
  scalesPerSegment,
  segmentCount,
  treeMiddle,
} from "./segments.ts";
export { dequantize, quantizeSource } from "./source-codec.ts";
