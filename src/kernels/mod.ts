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
export { addExchanges, exchangesSince, NO_EXCHANGES } from "./exchange-counts.ts";
export {
  connectLink,
  LINK_FRAME_VERSION,
  LINK_HELLO_BYTES_MAX,
  LINK_MESSAGE_BYTES_MAX,
  Link,
  type LinkAddress,
  type LinkDriver,
  LinkListener,
  linkPair,
  type Patience,
  type RoundPlan,
  requireUcx,
} from "./link.ts";
export {
  type MallocTrace,
  measurePeaks,
  type NativeDeviceOptions,
  openNativeDevice,
  type ThreadPinning,
  traceMalloc,
} from "./native.ts";
export { ReferenceDevice } from "./reference/mod.ts";
export { bindTape, operationsOf } from "./tape.ts";
export {
  type BatchOptions,
  type BatchResult,
  type LayerPlaces,
  type Lesson,
  LINEAR_NAMES,
  type LinearName,
  type ModelTrainer,
  type Moments,
  openNativeTraining,
  type StorageType,
  type TrainingDevice,
  type TrainingModel,
  type TrainingOptions,
  type TrainingSource,
  type UpdateNumbers,
} from "./training.ts";
