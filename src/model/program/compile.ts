/**
 * Compiles a model description to step programs: the flat tapes that devices run for every step. Sharding is part of
 * compiling. Each rank of a placement has its own program, slice of the weights and KV layout; SEND and RECEIVE carry
 * partial sums between the shards of a stage, and rows from stage to stage.
 */

import { assert, at } from "../../base/mod.ts";
import { type KvShape, type MatrixSpec, OP, type Program, type WeightFormat } from "../../kernels/mod.ts";
import { maximalSubtrees } from "../../tensor/mod.ts";
import {
  attentionSegments,
  ffnSegments,
  type ModelDescription,
  residualSegments,
} from "../architecture/mod.ts";
import { AdapterEmitter } from "./adapt.ts";
import type { Adapter, AdapterPart } from "./adapters.ts";
import { ProgramBuilder } from "./builder.ts";
import { checkPlacement, type Placement, type RankPlace, rankPlaces } from "./placement.ts";
import {
  attentionNorm,
  EMBEDDING,
  ffnNorm,
  type LayerMatrix,
  layerMatrix,
  OUTPUT,
  OUTPUT_NORM,
  type Shard,
  shardHeads,
  vocabularyMatrix,
} from "./weights.ts";

/** Among a program's vectors, stands for the table of the rotary embedding, which is computed and not in the file. */
export const ROPE_TABLE = "rope table";

/** A program with what it needs. It names weights by their places in `matrices` and `vectors` until those are loaded. */
export interface CompiledProgram {
  readonly program: Program;
  /** The slice of the weights: whole tensors, rows of them, or segments. */
  readonly matrices: readonly MatrixSpec[];
  /** Names of tensors that are held whole, ROPE_TABLE, or parts of adapters. */
  readonly vectors: readonly (string | AdapterPart)[];
  /** Layers and KV heads of its KV cache. */
  readonly kv: Pick<KvShape, "layers" | "heads" | "headDim">;
}

/** The program of one rank of a placement. */
export interface RankProgram extends CompiledProgram, RankPlace {
  readonly rank: number;
  /** The ranks that its links lead to, by the links' numbers. */
  readonly peers: readonly number[];
  /** The layers and KV heads of the model that its KV cache has, each [first, end). */
  readonly held: { readonly layers: readonly [number, number]; readonly kvHeads: readonly [number, number] };
  /** The tokens whose logits it computes, [first, end); undefined before the last stage. */
  readonly logits: readonly [number, number] | undefined;
}

/** The programs of all ranks of a placement. E_PLACEMENT when it does not fit the model. */
export function compile(
  model: ModelDescription,
  { format, placement }: { readonly format: WeightFormat; readonly placement: Placement },
): RankProgram[] {
  checkPlacement(model, placement);
  const places = rankPlaces(placement);
  return places.map((place, rank) => {
    const { part, peers } = partOf(placement, places, rank);
    const compiled = new PartCompiler(model, format, part).compile();
    const shard = at(part.held, 0);
    const held = { layers: part.layers, kvHeads: shardHeads(model, shard).kvHeads };
    return { ...compiled, ...place, rank, peers, held, logits: part.last ? shard.vocabulary : undefined };
  });
}

export interface LocalOptions {
  readonly format: WeightFormat;
  readonly shards: readonly Shard[];
  /** Rows may be of one of them each; undefined: none. */
  readonly adapters?: readonly Adapter[] | undefined;
}

/** The program of a model whose shards, in the order of what they hold, are all in this process, on one device. */
export function compileLocal(
  model: ModelDescription,
  { format, shards, adapters = [] }: LocalOptions,
): CompiledProgram {
  checkPlacement(model, { stages: [{ layers: [0, model.layers], shards }] });
  // What is held together of the vocabulary and of the keys is one range.
  assert(inOrder(shards), "Shards of one process are in the order of what they hold.");
  const none = { others: [], from: undefined, to: [] };
  const part = {
    layers: [0, model.layers],
    held: shards,
    adapters,
    first: true,
    last: true,
    ...none,
  } as const;
  return new PartCompiler(model, format, part).compile();
}

function inOrder(shards: readonly Shard[]): boolean {
  return shards.slice(1).every(({ attention, vocabulary }, before) => {
    const { attention: heads, vocabulary: tokens } = at(shards, before);
    return heads[1] === attention[0] && tokens[1] === vocabulary[0];
  });
}

/** What one program computes, and who computes the rest. */
interface Part {
  readonly layers: readonly [number, number];
  /** Shards of the stage that are held here, and those at the other end of links. */
  readonly held: readonly Shard[];
  readonly others: readonly { readonly link: number; readonly shard: Shard }[];
  /** Only where every shard is held here. */
  readonly adapters: readonly Adapter[];
  readonly first: boolean;
  readonly last: boolean;
  /** Links from the stage before and to the stage after. */
  readonly from: number | undefined;
  readonly to: readonly number[];
}

function partOf(
  { stages }: Placement,
  places: readonly RankPlace[],
  rank: number,
): { readonly part: Part; readonly peers: readonly number[] } {
  const { stage, shard } = at(places, rank);
  const { layers, shards } = at(stages, stage);
  const ranksOf = (wanted: number): number[] =>
    places.flatMap((place, other) => (place.stage === wanted ? [other] : []));
  const [before, beside, after] = [ranksOf(stage - 1), ranksOf(stage), ranksOf(stage + 1)];
  // Where the stages have different numbers of shards, the earlier one's take turns.
  const from = before.length === 0 ? [] : [at(before, shard % before.length)];
  const to = after.filter((_, index) => index % beside.length === shard);
  const peers = [...from, ...beside.filter((other) => other !== rank), ...to];
  const link = (peer: number): number => peers.indexOf(peer);
  const part = {
    layers,
    held: [at(shards, shard)],
    adapters: [],
    others: beside.flatMap((other, i) =>
      other === rank ? [] : [{ link: link(other), shard: at(shards, i) }],
    ),
    first: stage === 0,
    last: stage === stages.length - 1,
    from: from.length === 0 ? undefined : 0,
    to: to.map(link),
  };
  return { part, peers };
}

interface ReducedInput {
  readonly buffer: number;
  readonly matrix: MatrixSpec;
  /** Segments of the whole input that this shard's buffer holds. */
  readonly held: readonly [number, number];
}

class PartCompiler {
  readonly #model: ModelDescription;
  readonly #part: Part;
  readonly #builder: ProgramBuilder;
  readonly #adapters: AdapterEmitter;
  readonly #residual: number;

  constructor(model: ModelDescription, format: WeightFormat, part: Part) {
    this.#model = model;
    this.#part = part;
    this.#builder = new ProgramBuilder(model, format);
    this.#adapters = new AdapterEmitter(this.#builder, part.adapters);
    this.#residual = this.#builder.f32("residual", model.width);
  }

  compile(): CompiledProgram {
    const { layers, first, last } = this.#part;
    if (first) this.#embed();
    else this.#receiveRows();
    for (let layer = layers[0]; layer < layers[1]; layer++) {
      this.#attention(layer);
      this.#ffn(layer);
    }
    const logits = last ? this.#logits() : undefined;
    if (!last) this.#sendRows();
    const { buffers, matrices, vectors } = this.#builder;
    const [firstHead, endHead] = this.#kvHeads();
    const { headDim } = this.#model;
    return {
      program: { buffers, tape: this.#builder.tape(), logits },
      matrices,
      vectors,
      kv: { layers: layers[1] - layers[0], heads: endHead - firstHead, headDim },
    };
  }

  /** The rows of tokens held here, and from the other shards those of theirs. */
  #embed(): void {
    const builder = this.#builder;
    const { vocabulary, width } = this.#model;
    const range = this.#vocabulary();
    const matrix = builder.matrix(this.#vocabularyMatrix(EMBEDDING));
    const { others } = this.#part;
    if (others.length === 0) builder.emit(OP.EMBED, this.#residual, matrix);
    else builder.emit(OP.EMBED_PARTIAL, this.#residual, matrix, range[0], vocabulary);
    for (const { link, shard } of others) {
      builder.emit(OP.SEND, this.#residual, link, ...range, 1, 0, width);
      builder.emit(OP.RECEIVE, this.#residual, link, ...shard.vocabulary, 1, 0, width);
    }
  }

  #receiveRows(): void {
    const { vocabulary, width } = this.#model;
    const { from } = this.#part;
    if (from !== undefined) this.#builder.emit(OP.RECEIVE, this.#residual, from, 0, vocabulary, 1, 0, width);
  }

  #sendRows(): void {
    const { vocabulary, width } = this.#model;
    for (const link of this.#part.to) {
      this.#builder.emit(OP.SEND, this.#residual, link, 0, vocabulary, 1, 0, width);
    }
  }

  #attention(layer: number): void {
    const builder = this.#builder;
    const { headDim, rope } = this.#model;
    const { normed, input } = this.#normed(attentionNorm(layer));
    const table = builder.vector(ROPE_TABLE);
    const pairs = rope.pairs === "halves" ? 1 : 0;
    const localLayer = layer - this.#part.layers[0];
    const inputs = this.#part.held.map((shard, index) => {
      const { heads, kvHeads } = shardHeads(this.#model, shard);
      const [queryCount, kvCount] = [heads[1] - heads[0], kvHeads[1] - kvHeads[0]];
      const firstKv = kvHeads[0] - this.#kvHeads()[0];
      const spec = (name: LayerMatrix): MatrixSpec => this.#layerMatrix(layer, name, shard);
      const q = builder.linear(`q${index}`, input, spec("q"));
      const k = builder.linear(`k${index}`, input, spec("k"));
      const v = builder.linear(`v${index}`, input, spec("v"));
      this.#adapters.addToColumns(index, normed, [
        { spec: spec("q"), output: q },
        { spec: spec("k"), output: k },
        { spec: spec("v"), output: v },
      ]);
      builder.emit(OP.ROPE, q, table, queryCount, headDim, pairs);
      builder.emit(OP.ROPE, k, table, kvCount, headDim, pairs);
      builder.emit(OP.KV_WRITE, k, v, localLayer, firstKv, kvCount);
      const out = builder.f32(`attention${index}`, queryCount * headDim);
      const counts = [kvCount, queryCount, builder.scoreScale];
      builder.emit(OP.ATTENTION, out, q, localLayer, firstKv, ...counts);
      return { buffer: out, matrix: spec("o"), held: shard.attention };
    });
    this.#reduce(inputs, attentionSegments(this.#model), (shard) => shard.attention);
  }

  #ffn(layer: number): void {
    const builder = this.#builder;
    const { normed, input } = this.#normed(ffnNorm(layer));
    const inputs = this.#part.held.map((shard, index) => {
      const spec = (name: LayerMatrix): MatrixSpec => this.#layerMatrix(layer, name, shard);
      const gate = builder.linear(`gate${index}`, input, spec("gate"));
      const up = builder.linear(`up${index}`, input, spec("up"));
      this.#adapters.addToColumns(index, normed, [
        { spec: spec("gate"), output: gate },
        { spec: spec("up"), output: up },
      ]);
      builder.emit(OP.SILU_MUL, gate, gate, up);
      return { buffer: gate, matrix: spec("down"), held: shard.ffn };
    });
    this.#reduce(inputs, ffnSegments(this.#model), (shard) => shard.ffn);
  }

  /** Norm in front of a layer's first matrices: its buffer, and the one that they read. */
  #normed(gain: string): { readonly normed: number; readonly input: number } {
    const builder = this.#builder;
    const normed = builder.f32("normed", this.#model.width);
    builder.emit(OP.RMS_NORM, normed, this.#residual, builder.vector(gain), builder.epsilon);
    return { normed, input: builder.quantize(normed, residualSegments(this.#model)) };
  }

  /** residual += the row-parallel product of all shards' buffers. */
  #reduce(
    inputs: readonly ReducedInput[],
    segments: number,
    rangeOf: (shard: Shard) => readonly [number, number],
  ): void {
    const builder = this.#builder;
    const { width } = this.#model;
    const { others } = this.#part;
    const out = builder.f32("projected", width);
    if (inputs.length === 1 && others.length === 0) {
      const { buffer, matrix } = at(inputs, 0);
      builder.emit(OP.LINEAR, out, builder.quantize(buffer, segments), builder.matrix(matrix));
    } else {
      const partials = builder.f32(`partials of ${segments}`, segments * width);
      for (const { buffer, matrix, held } of inputs) {
        const input = builder.quantize(buffer, held[1] - held[0]);
        builder.emit(OP.LINEAR_PARTIAL, partials, input, builder.matrix(matrix));
      }
      const rootsOf = (shard: Shard): (readonly [number, number])[] =>
        maximalSubtrees(segments, ...rangeOf(shard));
      const roots = this.#part.held.flatMap(rootsOf);
      for (const { link, shard } of others) {
        this.#exchange(partials, link, [roots, rootsOf(shard)]);
      }
      const all = [...roots, ...others.flatMap(({ shard }) => rootsOf(shard))];
      builder.emit(OP.COMBINE, out, partials, all.length, ...all.flat());
    }
    const adapted = inputs.map(({ buffer, matrix }) => ({ buffer, spec: matrix }));
    this.#adapters.addToReduced(adapted, out);
    builder.emit(OP.ADD, this.#residual, this.#residual, out);
  }

  /** Sends the roots computed here and receives another shard's, each in the slot of its first segment. */
  #exchange(
    partials: number,
    link: number,
    [own, theirs]: readonly [
      own: readonly (readonly [number, number])[],
      theirs: readonly (readonly [number, number])[],
    ],
  ): void {
    const { vocabulary, width } = this.#model;
    const slots = (roots: typeof own): number[] => roots.flatMap(([first]) => [first * width, width]);
    this.#builder.emit(OP.SEND, partials, link, 0, vocabulary, own.length, ...slots(own));
    this.#builder.emit(OP.RECEIVE, partials, link, 0, vocabulary, theirs.length, ...slots(theirs));
  }

  /** The logits of the tokens held here, of the rows whose logits are wanted. */
  #logits(): number {
    const builder = this.#builder;
    const { width, tiedOutput } = this.#model;
    const range = this.#vocabulary();
    const last = builder.f32("last residual", width, "outputs");
    const normed = builder.f32("last normed", width, "outputs");
    const logits = builder.f32("logits", range[1] - range[0], "outputs");
    builder.emit(OP.GATHER, last, this.#residual);
    builder.emit(OP.RMS_NORM, normed, last, builder.vector(OUTPUT_NORM), builder.epsilon);
    const input = builder.quantize(normed, residualSegments(this.#model));
    const matrix = this.#vocabularyMatrix(tiedOutput ? EMBEDDING : OUTPUT);
    builder.emit(OP.LINEAR, logits, input, builder.matrix(matrix));
    return logits;
  }

  #vocabulary(): readonly [number, number] {
    const { held } = this.#part;
    return [at(held, 0).vocabulary[0], at(held, held.length - 1).vocabulary[1]];
  }

  #vocabularyMatrix(name: string): MatrixSpec {
    const { format } = this.#builder;
    return vocabularyMatrix(this.#model, { name, format, rowRange: this.#vocabulary() });
  }

  #layerMatrix(layer: number, name: LayerMatrix, shard: Shard): MatrixSpec {
    return layerMatrix(this.#model, { layer, name, shard, format: this.#builder.format });
  }

  #kvHeads(): readonly [number, number] {
    const { held } = this.#part;
    const headsOf = (shard: Shard): readonly [number, number] => shardHeads(this.#model, shard).kvHeads;
    return [headsOf(at(held, 0))[0], headsOf(at(held, held.length - 1))[1]];
  }
}
