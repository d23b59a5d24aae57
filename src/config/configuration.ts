/** The settings a server runs with, where each came from, and what becomes of a change. */

import { isDeepStrictEqual } from "node:util";
import { defaultsOf } from "./flags.ts";
import { entriesOf, type Option, type OptionTable } from "./option.ts";

/** Where settings come from, each over those before it; `admin` is what PUT /admin/config said last. */
const layerNames = ["file", "flag", "admin"] as const;
export type LayerName = (typeof layerNames)[number];

export type Layers<S> = { readonly [Name in LayerName]: Partial<S> };

/** A setting that changed, by its name in the configuration file. */
interface Change {
  readonly name: string;
  readonly from: unknown;
  readonly to: unknown;
}

/** What became of new settings. */
export interface ChangeReport {
  readonly applied: readonly Change[];
  /** Settings that a running server keeps; a restart takes them. */
  readonly needRestart: readonly Change[];
}

/** Makes settings take effect, all of them or, throwing, none. */
export type Apply<S> = (settings: S, before: S) => Promise<void>;

interface OptionReport {
  readonly value: unknown;
  readonly source: LayerName | "default";
  readonly unit?: string;
  readonly meaning: string;
  readonly live: boolean;
  /** What a restart would make of it, where that is something else. */
  readonly afterRestart?: unknown;
}

export class Configuration<S extends object> {
  readonly #table: OptionTable<S>;
  readonly #apply: Apply<S>;
  #layers: Layers<S>;
  #running: S;
  /** Changes come one after another, whoever asks for them. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(table: OptionTable<S>, layers: Omit<Layers<S>, "admin">, apply: Apply<S>) {
    this.#table = table;
    this.#layers = { ...layers, admin: {} };
    this.#apply = apply;
    this.#running = combine(table, this.#layers);
  }

  /** The settings in force. */
  get settings(): S {
    return this.#running;
  }

  /** Puts `values` in a layer's place. Errors: those of `apply`; then everything stays as it was. */
  replace(layer: LayerName, values: Partial<S>): Promise<ChangeReport> {
    const change = this.#turn.then(() => this.#replace({ ...this.#layers, [layer]: values }));
    this.#turn = change.catch(() => {});
    return change;
  }

  async #replace(layers: Layers<S>): Promise<ChangeReport> {
    const wanted = combine(this.#table, layers);
    const differing = entriesOf(this.#table).filter(([setting]) => {
      return !isDeepStrictEqual(settingOf(wanted, setting), settingOf(this.#running, setting));
    });
    const live = differing.filter(([, option]) => option.live);
    const next = {
      ...this.#running,
      ...Object.fromEntries(live.map(([name]) => [name, settingOf(wanted, name)])),
    };
    await this.#apply(next, this.#running);
    const changeOf = ([setting, option]: readonly [string, Option<unknown>]): Change => ({
      name: option.name ?? setting,
      from: shown(settingOf(this.#running, setting)),
      to: shown(settingOf(wanted, setting)),
    });
    const report = {
      applied: live.map(changeOf),
      needRestart: differing.filter(([, option]) => !option.live).map(changeOf),
    };
    this.#running = next;
    this.#layers = layers;
    return report;
  }

  /** Every option that has a name, by that name. */
  report(): Readonly<Record<string, OptionReport>> {
    const wanted = combine(this.#table, this.#layers);
    const rows = entriesOf(this.#table).flatMap(([setting, option]) => {
      return option.name === undefined
        ? []
        : [[option.name, this.#optionReport(setting, option, wanted)] as const];
    });
    return Object.fromEntries(rows);
  }

  #optionReport(setting: string, { unit, meaning, live }: Option<unknown>, wanted: S): OptionReport {
    const value = settingOf(this.#running, setting);
    const later = settingOf(wanted, setting);
    const source = layerNames.findLast((name) => Object.hasOwn(this.#layers[name], setting)) ?? "default";
    return {
      value: shown(value),
      source,
      ...(unit === undefined ? {} : { unit }),
      meaning,
      live,
      ...(isDeepStrictEqual(value, later) ? {} : { afterRestart: shown(later) }),
    };
  }
}

function combine<S>(table: OptionTable<S>, { file, flag, admin }: Layers<S>): S {
  return { ...defaultsOf(table), ...file, ...flag, ...admin };
}

function settingOf(settings: object, setting: string): unknown {
  return Reflect.get(settings, setting);
}

/** For JSON, where undefined has no place. */
function shown(value: unknown): unknown {
  return value ?? null;
}
