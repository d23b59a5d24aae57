/** A folder of its own, because the command line needs it before anything else is loaded. */

export { cacheFolder, makePrivateFolder, packedFolder, stateFolder, withStateFolder } from "./folders.ts";
