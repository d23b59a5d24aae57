/** The models a server answers for, loaded or on the way. */

import type { Recorder } from "../audit/mod.ts";
import { ClawError } from "../base/mod.ts";
import type { AdapterInfo, EngineLoad, MetricsSnapshot, TokenGenerator } from "../engine/mod.ts";
import type { ChatTemplate, Tokenizer } from "../model/mod.ts";
import { adaptedFingerprint } from "./fingerprint.ts";

interface ServedAdapter extends AdapterInfo {
  readonly base: string;
}

/** A model that can answer. */
export interface ServedModel {
  readonly id: string;
  /** By which capability tokens may name it beside its id, once that is known; undefined: by its id alone. */
  readonly root?: Promise<string | undefined> | undefined;
  /** The adapter that is laid over the model, and the model's own id. */
  readonly adapter?: ServedAdapter | undefined;
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  /** Positions a sequence may have. */
  readonly context: number;
  /** Bytes of UTF-8 beyond which no text fits the context. */
  readonly textBytesMax: number;
  /** What computes, as far as it could change an answer. */
  readonly fingerprint: string;
  readonly generator: TokenGenerator;
  /** Undefined: answers are not recorded. */
  readonly recorder?: Recorder | undefined;
  readonly load: () => EngineLoad;
  readonly metrics: () => MetricsSnapshot;
  /** Why it cannot answer any more; undefined while it can. */
  readonly failure: () => ClawError | undefined;
}

/** The id of a model with an adapter. */
function adaptedId(base: string, adapter: string): string {
  return `${base}:${adapter}`;
}

/** A model with an adapter, as requests name it. */
function adapted(model: ServedModel, { name, digest }: AdapterInfo): ServedModel {
  return {
    ...model,
    id: adaptedId(model.id, name),
    adapter: { name, digest, base: model.id },
    fingerprint: adaptedFingerprint(model.fingerprint, digest),
  };
}

/** One model for now, and the same with each of its adapters: first promised by their ids, then there. */
export class ServedModels {
  readonly #id: string;
  readonly #adapters: readonly string[];
  /** Seconds since 1970. */
  readonly #created: number;
  #progress = 0;
  #served: ServedModel | undefined;
  #adapted: readonly ServedModel[] = [];

  constructor(id: string, created: number, adapters: readonly string[] = []) {
    this.#id = id;
    this.#created = created;
    this.#adapters = adapters;
  }

  /** Notes the fraction of the weights loaded. */
  advance(fraction: number): void {
    this.#progress = fraction;
  }

  ready(model: ServedModel, adapters: readonly AdapterInfo[] = []): void {
    this.#served = model;
    this.#adapted = adapters.map((adapter) => adapted(model, adapter));
  }

  /** The model that a request names, or the one without an adapter. Errors: E_MODEL_NOT_FOUND, E_LOADING. */
  find(id: string = this.#id): ServedModel {
    this.describe(id);
    if (this.#served !== undefined) {
      return this.#adapted.find((model) => model.id === id) ?? this.#served;
    }
    const percent = Math.floor(this.#progress * 100);
    throw new ClawError("E_LOADING", `The model ${id} is loading; ${percent} % is done.`);
  }

  /** A model as `GET /v1/models/ID` shows it. Errors: E_MODEL_NOT_FOUND. */
  describe(id: string): object {
    const known = this.list().find((model) => model.id === id);
    if (known !== undefined) return known;
    throw new ClawError("E_MODEL_NOT_FOUND", `There is no model ${JSON.stringify(id)} here.`, {
      param: "model",
    });
  }

  /** The model, and after it those with an adapter, which name it as their parent. */
  list(): readonly { readonly id: string }[] {
    const described = (id: string): { readonly id: string } => {
      return { id, ...{ object: "model", created: this.#created, owned_by: "openclaw" } };
    };
    const parent = this.#id;
    return [
      described(this.#id),
      ...this.#adapters.map((name) => ({ ...described(adaptedId(this.#id, name)), parent })),
    ];
  }

  /** What the engine counted, once there is one. */
  metrics(): MetricsSnapshot | undefined {
    return this.#served?.metrics();
  }

  /** What `GET /health` says. */
  health(): { readonly ready: boolean; readonly body: object } {
    if (this.#served === undefined) {
      return { ready: false, body: { status: "loading", progress: this.#progress } };
    }
    const failure = this.#served.failure();
    if (failure !== undefined) return { ready: false, body: { status: "failed", error: failure.message } };
    const { recovering, ...load } = this.#served.load();
    // Requests are taken all the while: they wait, and none is lost.
    return { ready: true, body: { status: recovering ? "recovering" : "ok", ...load } };
  }
}
