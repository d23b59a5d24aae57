export {
  ensureNative,
  type NativePeaks,
  type NativeRate,
  nativeAvailable,
  nativeInfo,
  nativeInstructionSets,
} from "./addon.ts";
export * from "./contract.ts";
export {
  type MallocTrace,
  measurePeaks,
  openNativeDevice,
  type ThreadPinning,
  traceMalloc,
} from "./native.ts";
export { ReferenceDevice } from "./reference/mod.ts";
