/** Throws when an invariant of our own code does not hold. Never for input: bad input is a ClawError. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionFailure(message);
}

/** The element at `index`, which the caller knows to exist. */
export function at<T>(list: ArrayLike<T>, index: number): T {
  const value = list[index];
  // The message is made only where it is needed: this runs in every inner loop.
  if (value === undefined) throw new AssertionFailure(`Index ${index} is outside a list of ${list.length}.`);
  return value;
}

/** A defect of the program itself, found by `assert`. */
export class AssertionFailure extends Error {
  constructor(message: string) {
    super(`Assertion failed: ${message}`);
    this.name = "AssertionFailure";
  }
}
