/** The models a server answers for, loaded or on the way. */

import type { Recorder } from "../audit/mod.ts";
import { ClawError } from "../base/mod.ts";
import type { EngineLoad, MetricsSnapshot, TokenGenerator } from "../engine/mod.ts";
import type { ChatTemplate, Tokenizer } from "../model/mod.ts";

/** A model that can answer. */
export interface ServedModel {
  readonly id: string;
  /** By which capability tokens may name it beside its id, once that is known; undefined: by its id alone. */
  readonly root?: Promise<string | undefined> | undefined;
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

/** One model for now: first promised by its id, then there. */
export class ServedModels {
  readonly #id: string;
  /** Seconds since 1970. */
  readonly #created: number;
  #progress = 0;
  #served: ServedModel | undefined;

  constructor(id: string, created: number) {
    this.#id = id;
    this.#created = created;
  }

  /** Notes the fraction of the weights loaded. */
  advance(fraction: number): void {
    this.#progress = fraction;
  }

  ready(model: ServedModel): void {
    this.#served = model;
  }

  /** The model that a request names, or the only one. Errors: E_MODEL_NOT_FOUND, E_LOADING. */
  find(id: string = this.#id): ServedModel {
    this.describe(id);
    if (this.#served !== undefined) return this.#served;
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

  list(): readonly { readonly id: string }[] {
    const described = { id: this.#id, object: "model", created: this.#created, owned_by: "openclaw" };
    return [described];
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
    return { ready: true, body: { status: "ok", ...this.#served.load() } };
  }
}
