/** What is counted of simulated streams. */

export interface StreamCounts {
  /** Streams whose clients were told of them, and those that they had all of. */
  opened: number;
  whole: number;
  /** Those that their clients then ended; left for good; and came back to when they had been away for too long. */
  deleted: number;
  left: number;
  missed: number;
  /** Streams that ended on servers because nobody came back. */
  abandoned: number;
  /** Events that clients had. */
  events: number;
  /** Connections to streams that had one before; of them, those to a server that was behind its client. */
  resumed: number;
  behind: number;
  /** Events that such a client had, and that the server has, too. */
  passedOver: number;
  /** Refused: the server did not hold the lease, or the journal did not take the opening. */
  standby: number;
  unkept: number;
  /** Times that a server took the lease, streams of others that it went on with, and answers that a standby was told of. */
  takeovers: number;
  inherited: number;
  expected: number;
  drawn: number;
  /** Tokens that were drawn before, by whomever. */
  drawnAgain: number;
  /** Records of the journal: kept, taken away, refused for want of room, of an epoch that was over, and lost. */
  records: number;
  removedRecords: number;
  refusedRecords: number;
  lateRecords: number;
  forgottenRecords: number;
  /** Requests to it without an answer in time, and records that were not believed. */
  unanswered: number;
  dropped: number;
  /** Runtimes that were lost. */
  runtimes: number;
}

export function noStreams(): StreamCounts {
  return {
    ...{
      opened: 0,
      whole: 0,
      deleted: 0,
      left: 0,
      missed: 0,
      abandoned: 0,
      events: 0,
      resumed: 0,
      behind: 0,
      passedOver: 0,
      standby: 0,
      unkept: 0,
    },
    ...{ takeovers: 0, inherited: 0, expected: 0, drawn: 0, drawnAgain: 0, records: 0, removedRecords: 0 },
    ...{ refusedRecords: 0, lateRecords: 0, forgottenRecords: 0, unanswered: 0, dropped: 0, runtimes: 0 },
  };
}
