export { encodeGguf, type GgufContent, type TensorContent } from "./encode.ts";
export { Metadata } from "./metadata.ts";
export { type Gguf, readGguf } from "./reader.ts";
export { type ByteSource, bytesSource, openByteSource } from "./source.ts";
export type { TensorInfo } from "./tensor-info.ts";
export type { GgufValue } from "./value.ts";
export { writeGguf } from "./writer.ts";
