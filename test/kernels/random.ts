/** Seeded random numbers for kernel tests. */

export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed ^ 0x9e3779b9) | 0;
    for (let i = 0; i < 4; i++) this.bits();
  }

  /** 32 random bits (xorshift with a multiplicative finish). */
  bits(): number {
    let x = this.#state === 0 ? 1 : this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return Math.imul(x, 0x2c1b3c6d) >>> 0;
  }

  /** An integer in [low, high]. */
  between(low: number, high: number): number {
    return low + (this.bits() % (high - low + 1));
  }

  chance(oneIn: number): boolean {
    return this.between(1, oneIn) === 1;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.between(0, list.length - 1)] as T;
  }

  /** Uniform in (-1, 1). */
  unit(): number {
    return Math.fround((this.bits() / 2 ** 32) * 2 - 1);
  }

  shuffled(count: number): number[] {
    const list = Array.from({ length: count }, (_, index) => index);
    for (let i = count - 1; i > 0; i--) {
      const j = this.between(0, i);
      [list[i], list[j]] = [list[j] as number, list[i] as number];
    }
    return list;
  }
}

/** How values are spread. `gentle` keeps every position of an attention in the sum; `wild` holds NaN, infinities, huge values, subnormals and zeros of both signs. */
export type Style = "gentle" | "plain" | "outliers" | "tiny" | "zeros" | "wild";

const special: readonly number[] = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  0,
  -0,
  2 ** -149,
  -(2 ** -127),
  3e38,
  -3e38,
  88.8,
  -104.5,
];

export function randomValues(random: Random, count: number, style: Style): Float32Array {
  return Float32Array.from({ length: count }, () => randomValue(random, style));
}

function randomValue(random: Random, style: Style): number {
  const value = random.unit();
  switch (style) {
    case "gentle":
      return value;
    case "plain":
      return random.chance(16) ? 0 : value * 4;
    case "outliers":
      return random.chance(24) ? value * 500 : value * 2 ** -random.between(0, 12);
    case "tiny":
      return value * 2 ** -random.between(90, 149);
    case "zeros":
      return random.chance(2) ? 0 : -0;
    case "wild":
      return random.chance(8) ? random.pick(special) : value * 2 ** random.between(-20, 20);
  }
}
