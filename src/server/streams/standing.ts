/** Whether this server may answer: where several stand ready for the same clients, one of them may. */

import type { StreamJournal } from "./journalling.ts";

/** A time in which it may. */
export interface Tenure {
  /** Aborted when it is over, with the error that clients are told. */
  readonly signal: AbortSignal;
  /** Where streams are kept for whoever comes next; undefined: nowhere. */
  readonly journal?: StreamJournal | undefined;
  /** Looked at before anything is delivered. Errors: E_STANDBY where it is over. */
  check(): void;
}

export interface Standing {
  /** Resolves when this server may answer and knows all streams that it has to go on with. Errors: E_STANDBY. */
  tenure(): Promise<Tenure>;
  /** Which server may, as far as this one knows; undefined: this one. */
  readonly standby: { readonly holder: string | undefined } | undefined;
}

export const always: Tenure = { signal: new AbortController().signal, check: () => {} };

/** A server that has nobody beside it. */
export const alone: Standing = { tenure: async () => always, standby: undefined };

/** Does the work of an answer; nothing comes of it where this server may no longer answer. Errors: E_STANDBY, those of `work`. */
export async function during<T>(tenure: Tenure, work: () => Promise<T>): Promise<T> {
  try {
    const result = await work();
    tenure.check();
    return result;
  } catch (error) {
    tenure.check();
    throw error;
  }
}
