/** A whole model over one example, forward and backward. */

import { assert, at } from "../../base/mod.ts";
import type { LayerPlaces, LinearName, TrainingModel } from "../../kernels/mod.ts";
import { attention, attentionBackward } from "./attention.ts";
import {
  linear,
  linearBackward,
  norm,
  normBackward,
  type Reals,
  rope,
  swiglu,
  swigluBackward,
} from "./operations.ts";

export interface ReferenceArrays {
  readonly parameters: Reals;
  readonly adapters: Reals;
  /** Added to; undefined: not wanted. */
  readonly gradients: Reals | undefined;
  readonly rope: Reals;
  /** What becomes of an activation that is kept for the backward pass; undefined: nothing. */
  readonly rounded?: ((value: number) => number) | undefined;
}

interface LayerActivations {
  readonly input: Reals;
  readonly attentionInput: Reals;
  readonly q: Reals;
  readonly k: Reals;
  readonly v: Reals;
  readonly attended: Reals;
  readonly middle: Reals;
  readonly ffnInput: Reals;
  readonly gate: Reals;
  readonly up: Reals;
  readonly hidden: Reals;
}

/** One example on its way through the model. */
export class ReferenceExample {
  readonly #model: TrainingModel;
  readonly #arrays: ReferenceArrays;
  readonly #tokens: Int32Array;
  readonly #layers: LayerActivations[] = [];
  #last: Reals;
  #normed: Reals;

  constructor(model: TrainingModel, arrays: ReferenceArrays, tokens: Int32Array) {
    this.#model = model;
    this.#arrays = arrays;
    this.#tokens = tokens;
    this.#last = this.#rows(model.width);
    this.#normed = this.#rows(model.width);
  }

  /** The logits of every position, [rows][vocabulary]. */
  forward(): Reals {
    const { width, embedding, outputNorm, layers, vocabulary } = this.#model;
    this.#tokens.forEach((token, row) => {
      this.#last.set(this.#parameter(embedding + token * width, width), row * width);
    });
    for (const layer of layers) this.#last = this.#forwardLayer(layer, this.#last);
    const gain = this.#parameter(outputNorm, width);
    norm({ x: this.#last, gain, y: this.#normed }, this.#normShape());
    const logits = this.#rows(vocabulary);
    const weight = this.#parameter(embedding, vocabulary * width);
    linear({ x: this.#normed, weight, y: logits }, this.#shape(width, vocabulary));
    return logits;
  }

  /** Adds to the gradients, from the gradient of the logits. */
  backward(dlogits: Reals): void {
    const { width, embedding, outputNorm, layers, vocabulary } = this.#model;
    const weight = this.#parameter(embedding, vocabulary * width);
    const dembedding = this.#gradient(embedding, vocabulary * width);
    const [dnormed, dx] = [this.#rows(width), this.#rows(width)];
    const head = { x: this.#normed, weight, dy: dlogits, dx: dnormed, dweight: dembedding };
    linearBackward(head, this.#shape(width, vocabulary));
    const gain = this.#parameter(outputNorm, width);
    const dgain = this.#gradient(outputNorm, width);
    normBackward({ x: this.#last, gain, dy: dnormed, dx, dgain }, this.#normShape());
    for (let i = layers.length - 1; i >= 0; i--) this.#backwardLayer(at(layers, i), at(this.#layers, i), dx);
    if (dembedding === undefined) return;
    this.#tokens.forEach((token, row) => {
      const place = token * width;
      for (let i = 0; i < width; i++) {
        dembedding[place + i] = (dembedding[place + i] as number) + (dx[row * width + i] as number);
      }
    });
  }

  #forwardLayer(layer: LayerPlaces, input: Reals): Reals {
    const { width, heads, kvHeads, headDim, ffnWidth } = this.#model;
    const a: LayerActivations = {
      ...{ input, middle: input.slice(), attentionInput: this.#rows(width), ffnInput: this.#rows(width) },
      ...{
        q: this.#rows(heads * headDim),
        k: this.#rows(kvHeads * headDim),
        v: this.#rows(kvHeads * headDim),
      },
      ...{ attended: this.#rows(heads * headDim), hidden: this.#rows(ffnWidth) },
      ...{ gate: this.#rows(ffnWidth), up: this.#rows(ffnWidth) },
    };
    const table = this.#arrays.rope;
    const gain = this.#parameter(layer.attentionNorm, width);
    norm({ x: input, gain, y: a.attentionInput }, this.#normShape());
    for (const name of ["q", "k", "v"] as const)
      this.#linear(layer, name, { x: a.attentionInput, y: a[name] });
    rope(a.q, table, { ...this.#attentionShape(), direction: 1 });
    rope(a.k, table, { ...this.#attentionShape(), heads: kvHeads, direction: 1 });
    attention(a, a.attended, this.#attentionShape());
    this.#linear(layer, "output", { x: a.attended, y: a.middle });
    const ffnGain = this.#parameter(layer.ffnNorm, width);
    norm({ x: a.middle, gain: ffnGain, y: a.ffnInput }, this.#normShape());
    for (const name of ["gate", "up"] as const) this.#linear(layer, name, { x: a.ffnInput, y: a[name] });
    swiglu({ gate: a.gate, up: a.up, h: a.hidden });
    const out = a.middle.slice();
    this.#linear(layer, "down", { x: a.hidden, y: out });
    this.#layers.push(this.#kept(a));
    return out;
  }

  /** The residual stream stays as it entered. */
  #kept(a: LayerActivations): LayerActivations {
    const { rounded } = this.#arrays;
    if (rounded === undefined) return a;
    const kept = Object.entries(a).map(([name, values]: [string, Reals]) => [name, values.map(rounded)]);
    return { ...(Object.fromEntries(kept) as LayerActivations), input: a.input };
  }

  /** dx: of the residual stream as it leaves; becomes that of what entered. */
  #backwardLayer(layer: LayerPlaces, a: LayerActivations, dx: Reals): void {
    const { width, heads, kvHeads, headDim, ffnWidth } = this.#model;
    const table = this.#arrays.rope;
    const [dhidden, dgate, dup] = [this.#rows(ffnWidth), this.#rows(ffnWidth), this.#rows(ffnWidth)];
    const dffn = this.#rows(width);
    this.#linearBackward(layer, "down", { x: a.hidden, dy: dx, dx: dhidden });
    swigluBackward({ gate: a.gate, up: a.up, dh: dhidden, dgate, dup });
    this.#linearBackward(layer, "gate", { x: a.ffnInput, dy: dgate, dx: dffn });
    this.#linearBackward(layer, "up", { x: a.ffnInput, dy: dup, dx: dffn });
    const ffnGain = this.#parameter(layer.ffnNorm, width);
    const dffnGain = this.#gradient(layer.ffnNorm, width);
    normBackward({ x: a.middle, gain: ffnGain, dy: dffn, dx, dgain: dffnGain }, this.#normShape());
    const dattended = this.#rows(heads * headDim);
    this.#linearBackward(layer, "output", { x: a.attended, dy: dx, dx: dattended });
    const d = {
      q: this.#rows(heads * headDim),
      k: this.#rows(kvHeads * headDim),
      v: this.#rows(kvHeads * headDim),
    };
    attentionBackward({ ...a, dout: dattended }, d, this.#attentionShape());
    rope(d.q, table, { ...this.#attentionShape(), direction: -1 });
    rope(d.k, table, { ...this.#attentionShape(), heads: kvHeads, direction: -1 });
    const dinput = this.#rows(width);
    for (const name of ["q", "k", "v"] as const) {
      this.#linearBackward(layer, name, { x: a.attentionInput, dy: d[name], dx: dinput });
    }
    const gain = this.#parameter(layer.attentionNorm, width);
    const dgain = this.#gradient(layer.attentionNorm, width);
    normBackward({ x: a.input, gain, dy: dinput, dx, dgain }, this.#normShape());
  }

  /** y += x W^T, and what the adapter adds. */
  #linear(layer: LayerPlaces, name: LinearName, { x, y }: { x: Reals; y: Reals }): void {
    const { weight, down, up, out, in: into } = layer.linears[name];
    linear({ x, weight: this.#parameter(weight, out * into), y }, this.#shape(into, out));
    if (down === undefined || up === undefined) return;
    const { rank, adapterScale } = this.#model;
    const low = this.#rows(rank);
    linear({ x, weight: this.#adapter(down, rank * into), y: low }, this.#shape(into, rank));
    linear({ x: low, weight: this.#adapter(up, out * rank), y }, this.#shape(rank, out), adapterScale);
  }

  #linearBackward(
    layer: LayerPlaces,
    name: LinearName,
    { x, dy, dx }: { x: Reals; dy: Reals; dx: Reals },
  ): void {
    const { weight, down, up, out, in: into } = layer.linears[name];
    const dweight = this.#gradient(weight, out * into);
    linearBackward(
      { x, weight: this.#parameter(weight, out * into), dy, dx, dweight },
      this.#shape(into, out),
    );
    if (down === undefined || up === undefined) return;
    const { rank, adapterScale, trainDown } = this.#model;
    const [low, dlow] = [this.#rows(rank), this.#rows(rank)];
    const a = this.#adapter(down, rank * into);
    linear({ x, weight: a, y: low }, this.#shape(into, rank));
    const gradients = this.#arrays.gradients;
    const db = gradients?.subarray(up, up + out * rank);
    const da = trainDown ? gradients?.subarray(down, down + rank * into) : undefined;
    const b = this.#adapter(up, out * rank);
    linearBackward({ x: low, weight: b, dy, dx: dlow, dweight: db }, this.#shape(rank, out), adapterScale);
    linearBackward({ x, weight: a, dy: dlow, dx, dweight: da }, this.#shape(into, rank));
  }

  #parameter(offset: number, count: number): Reals {
    return this.#arrays.parameters.subarray(offset, offset + count);
  }

  #adapter(offset: number, count: number): Reals {
    return this.#arrays.adapters.subarray(offset, offset + count);
  }

  /** Of a parameter; undefined where it is frozen. */
  #gradient(offset: number, count: number): Reals | undefined {
    return this.#model.rank > 0 ? undefined : this.#arrays.gradients?.subarray(offset, offset + count);
  }

  /** Zeros of the parameters' type, a row for each token. */
  #rows(width: number): Reals {
    const count = this.#tokens.length * width;
    assert(count >= 0, "Widths are not negative.");
    return this.#arrays.parameters instanceof Float64Array
      ? new Float64Array(count)
      : new Float32Array(count);
  }

  #shape(into: number, out: number): { rows: number; in: number; out: number } {
    return { rows: this.#tokens.length, in: into, out };
  }

  #normShape(): { rows: number; width: number; epsilon: number } {
    return { rows: this.#tokens.length, width: this.#model.width, epsilon: this.#model.normEpsilon };
  }

  #attentionShape(): { rows: number; heads: number; kvHeads: number; headDim: number } {
    const { heads, kvHeads, headDim } = this.#model;
    return { rows: this.#tokens.length, heads, kvHeads, headDim };
  }
}
