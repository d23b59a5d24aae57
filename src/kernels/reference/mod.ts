export { ReferenceDevice } from "./device.ts";
