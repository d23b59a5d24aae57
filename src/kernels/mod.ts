export {
  ensureNative,
  type NativePeaks,
  type NativeRate,
  nativeAvailable,
  nativeInfo,
  nativeInstructionSets,
} from "./addon.ts";
export { ARITHMETIC_VERSION } from "./arithmetic.ts";
export * from "./contract.ts";
export {
  type MallocTrace,
  measurePeaks,
  openNativeDevice,
  type ThreadPinning,
  traceMalloc,
} from "./native.ts";
export { ReferenceDevice } from "./reference/mod.ts";
export {
  type BatchOptions,
  type BatchResult,
  type LayerPlaces,
  LINEAR_NAMES,
  type LinearName,
  type ModelTrainer,
  type Moments,
  openNativeTraining,
  type TrainingDevice,
  type TrainingModel,
  type TrainingOptions,
  type TrainingSource,
  type UpdateNumbers,
} from "./training.ts";
