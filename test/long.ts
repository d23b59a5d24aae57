/** How many random cases a test has: all with `CLAW_TEST_LONG=1`, as .ci/run has it, or a share of them, as in `npm test`. */

const long = process.env["CLAW_TEST_LONG"] === "1";

/** `cases`, or so many of them as `share` (0 to 1) says. */
export function ofCases(cases: number, share: number): number {
  return long ? cases : Math.round(cases * share);
}
