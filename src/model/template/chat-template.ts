import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";
import { ClawError } from "../../base/mod.ts";
import type { TextPiece, Tokenizer } from "../tokenizer/mod.ts";
import { formatDate } from "./date.ts";
import { createGuard } from "./guard.ts";
import { rangeNumbersMax, renderedLengthMax, templateLengthMax } from "./limits.ts";
import { type ChatMessage, templateError } from "./messages.ts";
import { renderPlain } from "./plain.ts";

/** A stretch of a rendered chat; only in special ones do spelled-out control tokens count as such. */
export type TemplatePiece = TextPiece;

export interface RenderOptions {
  /** Ends with the beginning of the assistant's next message. */
  readonly addGenerationPrompt: boolean;
  /** What `strftime_now` formats, in UTC; without it the function is undefined to the template. */
  readonly now?: Date;
  /** JSON-like data for the template. Default: none. */
  readonly tools?: unknown;
}

export interface ChatTemplate {
  /** Whether the template came with the model or is the plain transcript. */
  readonly source: "model" | "plain";
  /**
   * The chat as text for `encodePieces`. Throws E_TEMPLATE, with the template's own words where it refuses
   * the messages.
   */
  render(messages: readonly ChatMessage[], options: RenderOptions): readonly TemplatePiece[];
}

export interface ChatTemplateOptions {
  /** Jinja source, `tokenizer.chat_template` of the file; `undefined` gives the plain transcript. */
  readonly template: string | undefined;
  readonly bosToken: string;
  readonly eosToken: string;
  /** The tokenizer's `controlSpellings`: what messages must not be able to forge. */
  readonly controlSpellings: readonly string[];
}

/** Throws E_TEMPLATE when the source is too long or not Jinja. */
export function createChatTemplate(options: ChatTemplateOptions): ChatTemplate {
  const { template, controlSpellings } = options;
  const draw = template === undefined ? drawPlain : compile(template, options);
  return {
    source: template === undefined ? "plain" : "model",
    render: (messages, { tools = null, ...rest }) => {
      const guard = createGuard(controlSpellings, [template, messages, tools]);
      const marked = guard.protect({ messages, tools }) as Chat;
      const rendered = draw(marked, rest);
      if (rendered.length > renderedLengthMax) {
        throw templateError(
          `Rendering a chat: ${rendered.length} characters are more than ${renderedLengthMax}.`,
        );
      }
      return guard.cut(rendered);
    },
  };
}

/**
 * The tokens of a rendered chat, to be continued: the tokenizer's beginning-of-sequence token first if it
 * adds one, but never twice when the template wrote it, and no end-of-sequence token.
 */
export function encodePieces(tokenizer: Tokenizer, pieces: readonly TemplatePiece[]): Int32Array {
  const ids = tokenizer.encode(pieces, { parseSpecial: true });
  const { bos, addBos } = tokenizer;
  if (!addBos || bos === undefined || ids[0] === bos) return ids;
  const longer = new Int32Array(ids.length + 1);
  longer[0] = bos;
  longer.set(ids, 1);
  return longer;
}

interface Chat {
  readonly messages: readonly ChatMessage[];
  readonly tools: unknown;
}

type Draw = (chat: Chat, options: Omit<RenderOptions, "tools">) => string;

const drawPlain: Draw = ({ messages }, { addGenerationPrompt }) => renderPlain(messages, addGenerationPrompt);

function compile(template: string, { bosToken, eosToken }: ChatTemplateOptions): Draw {
  const program = parseTemplate(template);
  return (chat, { addGenerationPrompt, now }) => {
    const scope = {
      ...chat,
      add_generation_prompt: addGenerationPrompt,
      bos_token: bosToken,
      eos_token: eosToken,
      ...(now === undefined ? {} : { strftime_now: (format: string) => formatDate(now, format) }),
    };
    try {
      const { value } = new Interpreter(createEnvironment(scope)).run(program);
      return String(value);
    } catch (thrown) {
      if (thrown instanceof ClawError) throw thrown;
      throw templateError(`Rendering a chat with the model's template: ${reasonOf(thrown)}`, thrown);
    }
  };
}

function parseTemplate(template: string): ReturnType<typeof parse> {
  if (template.length > templateLengthMax) {
    throw templateError(
      `Reading the chat template: ${template.length} characters are more than ${templateLengthMax}.`,
    );
  }
  try {
    return parse(tokenize(template, { lstrip_blocks: true, trim_blocks: true }));
  } catch (thrown) {
    throw templateError(`Reading the chat template: ${reasonOf(thrown)}`, thrown);
  }
}

/**
 * Jinja's names, without the library's own `strftime_now`, which reads the clock, and with a bounded `range`.
 */
function createEnvironment(scope: Readonly<Record<string, unknown>>): Environment {
  const environment = new Environment();
  const constants = { true: true, True: true, false: false, False: false, none: null, None: null };
  const functions = { raise_exception: refuse, range: createRange() };
  for (const [name, value] of Object.entries({ ...constants, ...functions, ...scope })) {
    environment.set(name, value);
  }
  return environment;
}

function refuse(reason: unknown): never {
  throw templateError(`The model's chat template refuses the messages: ${String(reason)}`);
}

/** Python's `range`, with `rangeNumbersMax` numbers to spend over all its calls. */
function createRange(): (first: number, second?: number, step?: number) => number[] {
  let left = rangeNumbersMax;
  return (first, second, step = 1) => {
    const [start, stop] = second === undefined ? [0, first] : [first, second];
    const length = Math.max(0, Math.ceil((stop - start) / step));
    if (!(length <= left)) throw templateError(`The chat template counts over more than ${rangeNumbersMax}.`);
    left -= length;
    return Array.from({ length }, (_, index) => start + index * step);
  };
}

function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
