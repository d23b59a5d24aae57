/** Causal attention with grouped heads over one example, forward and backward. */

import { type HeadShape, type Reals, softmax } from "./operations.ts";

export interface AttentionShape extends HeadShape {
  readonly kvHeads: number;
}

export interface AttentionInputs {
  /** [rows][heads][headDim]. */
  readonly q: Reals;
  /** [rows][kvHeads][headDim]. */
  readonly k: Reals;
  readonly v: Reals;
}

/** A head's vectors in their arrays. */
class HeadView {
  readonly #shape: AttentionShape;
  readonly #head: number;

  constructor(shape: AttentionShape, head: number) {
    this.#shape = shape;
    this.#head = head;
  }

  query(row: number): number {
    const { heads, headDim } = this.#shape;
    return (row * heads + this.#head) * headDim;
  }

  key(row: number): number {
    const { heads, kvHeads, headDim } = this.#shape;
    return (row * kvHeads + Math.floor((this.#head * kvHeads) / heads)) * headDim;
  }

  dot(a: Reals, from: number, other: { readonly values: Reals; readonly from: number }): number {
    let sum = 0;
    for (let i = 0; i < this.#shape.headDim; i++) {
      sum += (a[from + i] as number) * (other.values[other.from + i] as number);
    }
    return sum;
  }

  /** to += factor * from. */
  add(
    factor: number,
    from: { readonly values: Reals; readonly at: number },
    to: { values: Reals; at: number },
  ): void {
    for (let i = 0; i < this.#shape.headDim; i++) {
      to.values[to.at + i] = (to.values[to.at + i] as number) + factor * (from.values[from.at + i] as number);
    }
  }
}

/** What a row gives to the rows up to it, softmax(q k / sqrt(headDim)). */
function probabilities(
  { q, k }: AttentionInputs,
  view: HeadView,
  { row, headDim }: { row: number; headDim: number },
): Float64Array {
  const scale = 1 / Math.sqrt(headDim);
  const scores = Float64Array.from(
    { length: row + 1 },
    (_, key) => scale * view.dot(q, view.query(row), { values: k, from: view.key(key) }),
  );
  softmax(scores, row + 1);
  return scores;
}

const eachHead = (shape: AttentionShape, body: (view: HeadView) => void): void => {
  for (let head = 0; head < shape.heads; head++) body(new HeadView(shape, head));
};

/** Adds to `out`, [rows][heads][headDim]. */
export function attention(inputs: AttentionInputs, out: Reals, shape: AttentionShape): void {
  const { rows, headDim } = shape;
  eachHead(shape, (view) => {
    for (let row = 0; row < rows; row++) {
      probabilities(inputs, view, { row, headDim }).forEach((share, key) => {
        view.add(share, { values: inputs.v, at: view.key(key) }, { values: out, at: view.query(row) });
      });
    }
  });
}

/** Adds to the gradients `d` of the inputs. */
export function attentionBackward(
  inputs: AttentionInputs & { readonly dout: Reals },
  d: AttentionInputs,
  shape: AttentionShape,
): void {
  const { q, k, v, dout } = inputs;
  const { rows, headDim } = shape;
  const scale = 1 / Math.sqrt(headDim);
  eachHead(shape, (view) => {
    for (let row = 0; row < rows; row++) {
      const at = view.query(row);
      const shares = probabilities(inputs, view, { row, headDim });
      const slopes = shares.map((_, key) => view.dot(dout, at, { values: v, from: view.key(key) }));
      const mean = shares.reduce((sum, share, key) => sum + share * (slopes[key] as number), 0);
      shares.forEach((share, key) => {
        const place = view.key(key);
        const dscore = share * ((slopes[key] as number) - mean) * scale;
        view.add(share, { values: dout, at }, { values: d.v, at: place });
        view.add(dscore, { values: k, at: place }, { values: d.q, at });
        view.add(dscore, { values: q, at }, { values: d.k, at: place });
      });
    }
  });
}
