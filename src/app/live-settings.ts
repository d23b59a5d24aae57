/** The settings of a server while it runs: from its file, its flags and /admin, and what a change of them does. */

import { asClawError } from "../base/mod.ts";
import {
  type Apply,
  Configuration,
  type Layers,
  readConfigFile,
  type ServeOptions,
  serveOptions,
} from "../config/mod.ts";
import {
  describeChange,
  type HashedKey,
  type KeyRing,
  type Log,
  readKeys,
  watchFile,
} from "../server/mod.ts";

export interface Sources {
  /** The configuration file, and what it said at the start; undefined: there is none. */
  readonly file: string | undefined;
  readonly layers: Omit<Layers<ServeOptions>, "admin">;
}

/** What settings act on. */
export interface Targets {
  readonly keys: KeyRing;
  /** The keys that no configuration takes away. */
  readonly ownKeys: readonly HashedKey[];
  readonly log: Log;
  /** Resolves when the model is loaded. */
  readonly loaded: () => Promise<unknown>;
  /** Has the engine go by other limits. */
  readonly configure: Apply<ServeOptions>;
}

export class LiveSettings {
  readonly configuration: Configuration<ServeOptions>;
  readonly file: string | undefined;
  readonly #targets: () => Targets;

  /** `targets` is asked for when settings change, never before. */
  constructor({ file, layers }: Sources, targets: () => Targets) {
    const apply: Apply<ServeOptions> = async (next, before) => {
      const { keys, ownKeys, log, configure } = targets();
      // What may be refused comes first, so that a change happens whole or not at all.
      const read = readKeys(next.apiKeys);
      await configure(next, before);
      keys.replace([...ownKeys, ...read]);
      log.level = next.logLevel;
    };
    this.configuration = new Configuration(serveOptions, layers, apply);
    this.file = file;
    this.#targets = targets;
  }

  get current(): ServeOptions {
    return this.configuration.settings;
  }

  /** Reads the file again; what is wrong with it is logged, and everything stays as it was. */
  async reload(): Promise<void> {
    const { file } = this;
    const { log, loaded } = this.#targets();
    if (file === undefined) return;
    try {
      await loaded();
      const change = await this.configuration.replace("file", readConfigFile(file));
      log.warn({ file, ...describeChange(change) }, "The configuration was read again.");
    } catch (thrown) {
      const { code, message, remedy } = asClawError(thrown);
      log.error(
        { file, code, reason: `${message} ${remedy}` },
        "The configuration is not taken; the old one stays.",
      );
    }
  }

  /** Reads the file again whenever it changes, until what this returns is called. */
  watch(): () => void {
    if (this.file === undefined) return () => {};
    return watchFile(this.file, {
      onChange: () => void this.reload(),
      onError: (error) => {
        const reason = error instanceof Error ? error.message : String(error);
        this.#targets().log.warn(
          { reason },
          "Changes of the configuration are not noticed; SIGHUP reads it again.",
        );
      },
    });
  }
}
