/** One folder `native/arch/<name>/`, compiled with its own flags for machines whose `process.arch` is `arch`. */
export interface InstructionSet {
  readonly name: string;
  readonly arch: string;
  readonly flags: readonly string[];
}

export interface BuildOptions {
  /** The folder that holds `native/` and `node_modules/`; by default this repository. */
  readonly root?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Sanitizers for `-fsanitize=`; an instrumented addon goes to `native/build-asan/`. */
  readonly sanitize?: string;
  /** Another machine to compile for, named in tools/native/layout.mjs; its addon goes to `native/build-<name>/`. */
  readonly target?: "aarch64";
  /** Whether a compiler warning fails the build. */
  readonly strict?: boolean;
  /** The instruction sets to try; by default those of tools/native/layout.mjs. */
  readonly sets?: readonly InstructionSet[];
  /** The output folder relative to the root. */
  readonly out?: string;
}

export type BuildResult =
  | {
      readonly ok: true;
      /** Whether the addon that was there came from the same sources, flags and compiler. */
      readonly upToDate: boolean;
      /** The absolute path of `claw.node`. */
      readonly addon: string;
      /** How many files were compiled. */
      readonly compiled: number;
      /** The instruction sets built in, beside the scalar code. */
      readonly sets: readonly string[];
      /** Those left out because the compiler does not know their flags. */
      readonly dropped: readonly string[];
    }
  | {
      readonly ok: false;
      readonly reason: "no-compiler" | "failed";
      /** One sentence for a user. */
      readonly message: string;
      /** Everything the compiler said. */
      readonly detail: string;
    };

/** What to tell a user whose build failed: the package to install and what runs meanwhile. */
export const remedy: string;

/** Builds the addon unless it is up to date. Never throws and prints nothing. */
export function buildNative(options?: BuildOptions): Promise<BuildResult>;
