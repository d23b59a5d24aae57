export {
  ensureNative,
  nativeAvailable,
  nativeInfo,
  nativeInstructionSets,
} from "./addon.ts";
export * from "./contract.ts";
export { openNativeDevice } from "./native.ts";
export { ReferenceDevice } from "./reference/mod.ts";
