/**
 * The one table of errors. A code is a promise to scripts and clients: it names what went wrong, the HTTP status
 * it answers with, the command line's exit code (2: the request or the invocation is wrong, 1: the work failed),
 * and what the reader can do about it.
 */

interface ErrorRow {
  readonly status: number;
  readonly exit: 1 | 2;
  /** What to do, in one sentence; ends every message. */
  readonly remedy: string;
}

export type ErrorCode =
  | "E_USAGE"
  | "E_CONFIG"
  | "E_FILE"
  | "E_STATE_DIR"
  | "E_PORT_IN_USE"
  | "E_HOST"
  | "E_NATIVE"
  | "E_PEER"
  | "E_SERVER"
  | "E_NO_MODEL"
  | "E_GGUF"
  | "E_GGUF_VERSION"
  | "E_GGUF_LIMIT"
  | "E_GGUF_TYPE"
  | "E_ARCHITECTURE"
  | "E_MODEL_SHAPE"
  | "E_WEIGHTS"
  | "E_TOKENIZER"
  | "E_TEMPLATE"
  | "E_FORMAT"
  | "E_CORPUS"
  | "E_CHECKPOINT"
  | "E_ADAPTER"
  | "E_PLACEMENT"
  | "E_MEMORY"
  | "E_MEMORY_LOCK"
  | "E_AUTH"
  | "E_FORBIDDEN"
  | "E_TOKEN"
  | "E_TOKEN_KEY"
  | "E_TOKEN_EXPIRED"
  | "E_TOKEN_REVOKED"
  | "E_TOKEN_COST"
  | "E_TOKEN_BUDGET"
  | "E_TOKEN_RATE"
  | "E_REVOCATIONS"
  | "E_CAPABILITY"
  | "E_ORIGIN"
  | "E_NOT_FOUND"
  | "E_MODEL_NOT_FOUND"
  | "E_JSON"
  | "E_PARAMETER"
  | "E_UNSUPPORTED"
  | "E_BODY_TOO_LARGE"
  | "E_CONTEXT"
  | "E_STREAM"
  | "E_STANDBY"
  | "E_LOADING"
  | "E_OVERLOADED"
  | "E_DEADLINE"
  | "E_ENGINE_RESTARTED"
  | "E_NUMERIC"
  | "E_KEY"
  | "E_UNSEALED"
  | "E_SEAL"
  | "E_ALTERED"
  | "E_WEIGHTS_DAMAGED"
  | "E_NOTE"
  | "E_PROOF"
  | "E_LEDGER"
  | "E_LEDGER_UNSAFE"
  | "E_ENTRY"
  | "E_RECEIPT"
  | "E_FORGOTTEN"
  | "E_REPLAY"
  | "E_LINK"
  | "E_LINK_PEER"
  | "E_LINK_MEMORY"
  | "E_NODES"
  | "E_PLAN"
  | "E_CONTROL"
  | "E_CLUSTER_KEY"
  | "E_NODE"
  | "E_SLICE"
  | "E_CANCELLED"
  | "E_SHUTDOWN"
  | "E_INTERNAL";

const table: Readonly<Record<ErrorCode, ErrorRow>> = {
  // the invocation and the machine
  E_USAGE: { status: 400, exit: 2, remedy: "Run the command with --help for its options." },
  E_CONFIG: {
    status: 400,
    exit: 2,
    remedy: "Correct it; `claw config schema` has every option, `claw config check FILE` looks at a file.",
  },
  E_FILE: { status: 500, exit: 1, remedy: "Check that the path exists and that this user may access it." },
  E_STATE_DIR: {
    status: 500,
    exit: 1,
    remedy: "Make the folder writable, or set XDG_STATE_HOME to one that is.",
  },
  E_PORT_IN_USE: {
    status: 500,
    exit: 1,
    remedy: "Stop the other server or choose another port with --port.",
  },
  E_HOST: { status: 500, exit: 2, remedy: "Listen on 127.0.0.1, or keep authentication on." },
  E_NATIVE: {
    status: 500,
    exit: 1,
    remedy: "Run `npm run build:native`, or start with --device reference.",
  },
  E_PEER: {
    status: 500,
    exit: 1,
    remedy: "Run `npm ci --prefix tools/peer`; the peer also needs git and a C++ compiler.",
  },
  E_SERVER: {
    status: 500,
    exit: 1,
    remedy: "Start `claw serve` with the same options, or look at the log of the server that was named.",
  },
  // models
  E_NO_MODEL: { status: 404, exit: 2, remedy: "Give a GGUF file with --model FILE, or put one in models/." },
  E_GGUF: {
    status: 422,
    exit: 1,
    remedy: "Fetch or convert the model again; the file is damaged or not GGUF.",
  },
  E_GGUF_VERSION: {
    status: 422,
    exit: 1,
    remedy: "Convert the model to GGUF version 2 or 3, little endian.",
  },
  E_GGUF_LIMIT: { status: 422, exit: 1, remedy: "The file claims more than any real model needs; check it." },
  E_GGUF_TYPE: { status: 422, exit: 1, remedy: "Convert the model to F32, F16, BF16, Q8_0 or Q4_0." },
  E_ARCHITECTURE: { status: 422, exit: 1, remedy: "Use a model of a supported architecture." },
  E_MODEL_SHAPE: {
    status: 422,
    exit: 1,
    remedy: "Convert the model again; its tensors contradict its header.",
  },
  E_WEIGHTS: { status: 422, exit: 1, remedy: "Convert the model again, or choose another --format." },
  E_TOKENIZER: { status: 422, exit: 1, remedy: "Convert the model again with its tokenizer included." },
  E_TEMPLATE: { status: 422, exit: 1, remedy: "Check the messages, or use /v1/completions instead." },
  E_FORMAT: { status: 400, exit: 2, remedy: "Choose f16, i8 or i4." },
  E_PLACEMENT: {
    status: 422,
    exit: 2,
    remedy: "Choose a degree that the model has segments for, or split its layers into stages instead.",
  },
  E_MEMORY: { status: 503, exit: 1, remedy: "Lower --context or --max-batch, or use a smaller --format." },
  // training
  E_CORPUS: {
    status: 422,
    exit: 1,
    remedy: "Give other text: UTF-8, documents separated as docs/reference/training.md says.",
  },
  E_CHECKPOINT: {
    status: 422,
    exit: 1,
    remedy: "Name the folder of a run of this configuration, or begin a new one.",
  },
  E_ADAPTER: {
    status: 422,
    exit: 1,
    remedy:
      "Fetch or write the adapter again: adapter_model.safetensors and adapter_config.json, in PEFT's format.",
  },
  // seals
  E_KEY: {
    status: 422,
    exit: 1,
    remedy:
      "Name a P-256 or P-384 key in PEM: a private one with mode 0600, a public one that only its owner can write.",
  },
  E_UNSEALED: {
    status: 422,
    exit: 1,
    remedy: "Seal it with `claw model seal`, or name its bundle with --bundle.",
  },
  E_SEAL: {
    status: 422,
    exit: 1,
    remedy: "Do not trust it; ask who sealed the model for the bundle and the public key again.",
  },
  E_ALTERED: {
    status: 422,
    exit: 1,
    remedy: "Do not use it; fetch the model again from who sealed it.",
  },
  E_WEIGHTS_DAMAGED: {
    status: 503,
    exit: 1,
    remedy:
      "Start the server again, and test this machine's memory; answers since the last pass may be wrong.",
  },
  // ledger
  E_NOTE: {
    status: 422,
    exit: 1,
    remedy: "Do not trust it; fetch it again, or ask for the right public keys.",
  },
  E_PROOF: { status: 422, exit: 1, remedy: "Do not trust it; fetch the proof again from the log." },
  E_LEDGER: {
    status: 503,
    exit: 1,
    remedy:
      "Check the ledger's folder (free space, permissions, whether its files were altered) and its database, if it has one.",
  },
  E_LEDGER_UNSAFE: {
    status: 503,
    exit: 1,
    remedy:
      "Turn fsync, full_page_writes and synchronous_commit on: for the server, the database and the role.",
  },
  E_ENTRY: {
    status: 422,
    exit: 1,
    remedy: "Do not trust it; entries are canonical JSON, as docs/reference/ledger.md describes.",
  },
  E_FORGOTTEN: {
    status: 410,
    exit: 1,
    remedy: "It was removed with `claw audit forget` or had its time; the log and its receipt remain.",
  },
  E_REPLAY: {
    status: 500,
    exit: 1,
    remedy: "Keep ledger and model as they are and report it: the answer was not computed as recorded.",
  },
  E_RECEIPT: { status: 422, exit: 1, remedy: "Do not trust it; fetch the receipt again from the server." },
  // clusters
  E_NODES: {
    status: 422,
    exit: 1,
    remedy: "Describe nodes as docs/reference/cluster.md says; `claw node measure --json` writes one.",
  },
  E_PLAN: {
    status: 422,
    exit: 1,
    remedy: "Add nodes or memory, lower --context or --rows, choose a smaller --format, or drop constraints.",
  },
  E_CONTROL: {
    status: 503,
    exit: 1,
    remedy: "Check that the NATS server runs with JetStream and can be reached; what was asked may be done.",
  },
  E_CLUSTER_KEY: {
    status: 500,
    exit: 1,
    remedy:
      "Make a secret with `claw cluster keygen FILE`, one for all nodes; secrets, keys and credentials are for their owner alone (chmod 600).",
  },
  E_NODE: {
    status: 409,
    exit: 1,
    remedy: "See `claw cluster status` for the nodes there are, and for what each of them says.",
  },
  E_SLICE: {
    status: 503,
    exit: 1,
    remedy:
      "Give the node more disk (`claw node join --fetch-bytes`) or the model file itself; see whether nodes that have it are reached.",
  },
  E_MEMORY_LOCK: {
    status: 503,
    exit: 1,
    remedy: "Raise the limit (`ulimit -l`, or LimitMEMLOCK of a service), or start without --lock-memory.",
  },
  // links between nodes
  E_LINK: {
    status: 503,
    exit: 1,
    remedy:
      "See whether the other node runs and is reached at that address; its log says why it ended a link.",
  },
  E_LINK_PEER: {
    status: 502,
    exit: 1,
    remedy:
      "Run one version with one cluster secret on all nodes; drain a node that breaks the rules all the same.",
  },
  E_LINK_MEMORY: {
    status: 503,
    exit: 1,
    remedy: "Give the service or container more memory; what nodes of one host share counts, too.",
  },
  // requests
  E_AUTH: { status: 401, exit: 2, remedy: "Send the API key as `Authorization: Bearer KEY`." },
  E_FORBIDDEN: {
    status: 403,
    exit: 2,
    remedy: "Use a key with the scope, from a machine that may.",
  },
  E_TOKEN: {
    status: 401,
    exit: 2,
    remedy: "Send the whole token as it was minted here; if its root key was removed, ask for a new one.",
  },
  E_TOKEN_KEY: {
    status: 500,
    exit: 1,
    remedy:
      "Make a root key with `claw token keys rotate`, readable by its owner alone; look at the file named.",
  },
  E_TOKEN_EXPIRED: { status: 401, exit: 2, remedy: "Ask for a new token, and check the clock." },
  E_TOKEN_REVOKED: { status: 401, exit: 2, remedy: "Ask whoever gave you the token." },
  E_TOKEN_COST: { status: 403, exit: 2, remedy: "Use a token with fewer and simpler blocks." },
  E_TOKEN_BUDGET: { status: 429, exit: 2, remedy: "Ask for a token with a larger budget." },
  E_TOKEN_RATE: { status: 429, exit: 1, remedy: "Try again later." },
  E_REVOCATIONS: {
    status: 507,
    exit: 1,
    remedy: "Take ids of expired tokens out of the file, or end all tokens with `claw token keys remove`.",
  },
  E_CAPABILITY: {
    status: 403,
    exit: 2,
    remedy: "Ask for a token that allows it; `claw token inspect` shows what this one says.",
  },
  E_ORIGIN: {
    status: 403,
    exit: 2,
    remedy: "Call the server by its own address, and not from a page of another.",
  },
  E_NOT_FOUND: { status: 404, exit: 2, remedy: "See the API reference for the paths this server answers." },
  E_MODEL_NOT_FOUND: { status: 404, exit: 2, remedy: "Ask GET /v1/models for the models served here." },
  E_JSON: { status: 400, exit: 2, remedy: "Send a JSON object with content-type application/json." },
  E_PARAMETER: { status: 400, exit: 2, remedy: "Correct the parameter; the API reference lists its values." },
  E_UNSUPPORTED: { status: 400, exit: 2, remedy: "Leave the parameter out; it is not supported here." },
  E_BODY_TOO_LARGE: { status: 413, exit: 2, remedy: "Send a smaller request." },
  E_CONTEXT: {
    status: 400,
    exit: 2,
    remedy: "Shorten the prompt or start the server with a larger --context.",
  },
  E_STREAM: {
    status: 404,
    exit: 1,
    remedy: "Send the request again; streams are kept for a while, and for whoever opened them.",
  },
  E_STANDBY: { status: 503, exit: 1, remedy: "Ask the server that holds the lease; a stream goes on there." },
  E_LOADING: { status: 503, exit: 1, remedy: "Try again when GET /health answers 200." },
  E_OVERLOADED: { status: 429, exit: 1, remedy: "Try again later." },
  E_DEADLINE: { status: 504, exit: 1, remedy: "Allow more time, or try again when the server is less busy." },
  E_ENGINE_RESTARTED: {
    status: 503,
    exit: 1,
    remedy: "Send the request again; if it ends like this once more, report it.",
  },
  E_NUMERIC: { status: 500, exit: 1, remedy: "Try another prompt or a higher-precision --format." },
  E_CANCELLED: { status: 499, exit: 1, remedy: "Send the request again." },
  E_SHUTDOWN: { status: 503, exit: 1, remedy: "Try again when the server has restarted." },
  E_INTERNAL: { status: 500, exit: 1, remedy: "Report this with the message and what was being done." },
};

/** Every code with its row, for the documentation test. */
export const errorTable: Readonly<Record<ErrorCode, ErrorRow>> = table;

interface ClawErrorOptions {
  readonly cause?: unknown;
  /** The request parameter at fault, for OpenAI's `param` field. */
  readonly param?: string;
  /** When to try again, as far as can be told; HTTP's `retry-after`. */
  readonly retryAfterSeconds?: number | undefined;
}

/** An error a user may see: a code of the table, a message in sentence case that names the value at fault. */
export class ClawError extends Error {
  readonly code: ErrorCode;
  readonly param: string | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode, message: string, options: ClawErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "ClawError";
    this.code = code;
    this.param = options.param;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }

  get status(): number {
    return table[this.code].status;
  }

  get exitCode(): 1 | 2 {
    return table[this.code].exit;
  }

  get remedy(): string {
    return table[this.code].remedy;
  }
}

/** Any thrown value as a ClawError; what is not one yet becomes E_INTERNAL with the original as its cause. */
export function asClawError(thrown: unknown): ClawError {
  if (thrown instanceof ClawError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new ClawError("E_INTERNAL", message, { cause: thrown });
}
