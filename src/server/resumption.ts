/** Streams that their clients come back to, however they ask. */

import type { RequestAccount } from "./account.ts";
import { ownerOf } from "./completions.ts";
import type { KeptStream, KeptStreams, Standing, Tenure } from "./streams/mod.ts";
import type { TokenDoor } from "./token-door.ts";

export interface Resumption {
  readonly streams: KeptStreams;
  readonly standing: Standing;
  readonly door: TokenDoor | undefined;
  /** Of whoever asks. */
  readonly account: RequestAccount;
}

/** The last event that a client had before it lost its connection. */
export interface LastEvent {
  readonly stream: string;
  /** Undefined: the client has nothing yet. */
  readonly counts: readonly number[] | undefined;
}

interface FoundStream {
  readonly stream: KeptStream;
  readonly tenure: Tenure;
}

interface ResumedStream extends FoundStream {
  /** Events that the client has, of each answer so many. */
  readonly counts: readonly number[];
}

/** What a client goes on reading; undefined where nothing follows. Errors: E_PARAMETER, and as `findStream`. */
export async function resumeStream(
  { stream: id, counts }: LastEvent,
  resumption: Resumption,
): Promise<ResumedStream | undefined> {
  const { stream, tenure } = await findStream(id, resumption);
  const known = counts ?? stream.log.counts.map(() => 0);
  if (!stream.follows(known)) return undefined;
  resumption.streams.resumed();
  return { stream, tenure, counts: known };
}

/** The caller's stream of that id, where it may still have what it asked for. Errors: E_STREAM, E_STANDBY, and those of capability tokens. */
export async function findStream(
  id: string,
  { streams, standing, door, account }: Resumption,
): Promise<FoundStream> {
  const tenure = await standing.tenure();
  const stream = streams.find(id, ownerOf(account));
  account.stream = stream.id;
  await door?.readmit(account, stream);
  return { stream, tenure };
}
