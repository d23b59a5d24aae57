export { assert, at } from "./assert.ts";
export { asClawError, ClawError, type ErrorCode, errorTable } from "./errors.ts";
export { exactExp, exactLog, exactSineCosine, powerOfTwo } from "./exact-math.ts";
