/**
 * The version of docs/reference/arithmetic.md that both devices compute by. It changes with any bit of any result;
 * `kArithmeticVersion` of native/kernels/kernels.h is the same.
 */
export const ARITHMETIC_VERSION = 3;
