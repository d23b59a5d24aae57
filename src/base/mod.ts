export { assert, at } from "./assert.ts";
export { asClawError, ClawError, type ErrorCode, errorTable } from "./errors.ts";
export { exactExp, exactExpEach, exactLog, exactLogOf, exactSineCosine, powerOfTwo } from "./exact-math.ts";
