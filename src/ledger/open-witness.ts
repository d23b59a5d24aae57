/** A witness with its keys and its state on a disk. */

import { ClawError } from "../base/mod.ts";
import type { NoteKeyType, NoteVerifier } from "../crypto/mod.ts";
import type { Disk } from "./disk/mod.ts";
import { readKey, readOrMakeKey, signingKey } from "./signing-keys.ts";
import { Witness } from "./witness.ts";

interface WitnessSetup {
  readonly name: string;
  readonly keys: readonly { readonly type: NoteKeyType; readonly path: string }[];
  /** Public keys by log origin. */
  readonly logs: ReadonlyMap<string, readonly NoteVerifier[]>;
  /** Seconds since 1970. */
  readonly now: () => number;
}

interface OpenWitness {
  readonly witness: Witness;
  readonly disk: Disk;
  readonly vkeys: readonly string[];
}

/**
 * Opens the witness, which nobody else may use meanwhile. Keys are made only where nothing was cosigned yet: a witness that
 * lost its key is another witness. Errors: E_LEDGER.
 */
export async function openWitness(disk: Disk, { name, keys, logs, now }: WitnessSetup): Promise<OpenWitness> {
  await disk.hold();
  const started = (await disk.list(".")).some((file) => file.endsWith(".checkpoint"));
  const time = steady(now);
  const signers = keys.map(({ type, path }) =>
    signingKey(started ? readKey(path, type) : readOrMakeKey(path, type), { name, type, now: time }),
  );
  return { witness: new Witness({ disk, signers, logs }), disk, vkeys: signers.map(({ vkey }) => vkey) };
}

/** A clock that was set back does not date a cosignature before an earlier one of this process; one far off is refused. */
function steady(now: () => number): () => number {
  let last = 0;
  return () => {
    const time = now();
    if (!(time > 0 && Number.isSafeInteger(time))) {
      throw new ClawError(
        "E_LEDGER",
        `The clock says ${time} seconds since 1970; set it before anything is cosigned.`,
      );
    }
    last = Math.max(last, time);
    return last;
  };
}
