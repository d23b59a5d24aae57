export {
  ensureNative,
  type NativeInfo,
  nativeAvailable,
  nativeInfo,
  nativeInstructionSets,
} from "./addon.ts";
export * from "./contract.ts";
export { type NativeDeviceOptions, openNativeDevice } from "./native.ts";
export { ReferenceDevice } from "./reference/mod.ts";
