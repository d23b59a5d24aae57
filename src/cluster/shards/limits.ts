/** Bounds of the cluster; each keeps one rank from taking what others need. */

/** Far more ranks than any placement has: every layer in a stage of its own, split into every segment. */
export const RANKS_MAX = 65_536;

/** Rows of a micro-batch unless told otherwise: with fewer, a stage reads its weights for too little work. */
export const MICRO_BATCH_ROWS = 64;

/**
 * Sequences of a decoding step at least where another stage works at another step meanwhile. Stages of one machine share its memory:
 * two steps of four sequences read all weights twice, which takes as long as one step of eight that leaves a stage idle
 * (`claw bench shard`).
 */
export const LANE_SEQUENCES = 8;

/** Micro-batches at most: with four for each stage, the stages work for at least four fifths of the time that a step takes. */
export const MICRO_BATCHES_PER_STAGE = 4;

/** What a rank may say of an error, or of itself when it is ready. */
export const REPORT_BYTES_MAX: number = 64 * 1024;

/** Of a rank's answer at once: the next message may always be so long. */
export const PIECE_BYTES: number = 1024 * 1024;

/** Parts of KV pages on their way to a rank: it takes a few, that the link never waits for this process. */
export const PARTS_UNDER_WAY_MAX = 16;

/** What a rank may be told about its placement: every range of every rank of the largest there can be. */
export const TASK_BYTES_MAX: number = 4 * 1024 * 1024;

/** What a rank's process may be told on its standard input, and what it may say of itself when it joins. */
export const TERMS_BYTES_MAX: number = 16 * 1024;
export const HELLO_BYTES_MAX: number = 16 * 1024;

/** How long a message of a handshake between ranks may take: machines where several start at once are slow. */
export const HANDSHAKE_MS = 30_000;

/** How long ranks may take to start and find each other; loading is not counted. */
export const JOIN_MS = 60_000;

/** How often a rank says that it is there, and how often that is looked at. */
export const BEAT_MS = 100;
export const LOOK_MS = 50;

/**
 * A rank is lost when its silence is that improbable (`FailureDetector.phi`), so many times the longest lately, and longer than a
 * busy machine keeps anybody waiting.
 */
export const SUSPICION = 8;
export const SILENCE_RATIO = 1.5;
export const SILENCE_MS_MIN = 300;

/**
 * A step is lost, though all ranks are heard of, that takes so many times as long as the slowest of its size, and so much longer.
 * The first of a size may take minutes.
 */
export const STEP_PATIENCE = 10;
export const STEP_SLACK_MS = 10_000;
export const STEP_MS_MAX = 120_000;

/** Away for less, a process is only busy, which its ranks are, too. */
export const AWAY_MS_MIN = 250;

/** How long those that run have the machine for themselves before a spare is started. */
export const SPARE_PAUSE_MS = 1000;

/** Attempts to start one, before there is none until ranks are started the next time. */
export const SPARE_ATTEMPTS_MAX = 5;

/** How long a rank that was told to end may take until it is killed. */
export const END_MS = 30_000;
