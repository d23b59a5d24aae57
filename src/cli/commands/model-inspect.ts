/** `claw model inspect`: what a model file says about itself. Only its header is read. */

import { asClawError } from "../../base/mod.ts";
import { switchOption, twoColumns } from "../../config/mod.ts";
import {
  type Gguf,
  type Metadata,
  type Model,
  openByteSource,
  openModel,
  readGguf,
} from "../../model/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { formatBytes, formatCount } from "../numbers.ts";
import { print, printJson } from "../terminal.ts";

interface InspectOptions {
  readonly json: boolean;
}

/** Longer lists and texts of the metadata are cut in the human-readable form. */
const SHOWN_LENGTH = 60;

export const modelInspect: Command = defineCommand<InspectOptions>({
  name: "model inspect",
  summary: "Shows a model file's metadata, architecture, tensors, tokenizer and chat template.",
  operands: "FILE",
  operandCount: [1, 1],
  options: { json: switchOption("json", "print an object") },
  run: ({ json }, [path = ""]) => {
    const source = openByteSource(path);
    try {
      const report = inspect(readGguf(source), { file: path, bytes: source.size, ...understand(path) });
      return json ? printJson(report) : print(describe(report));
    } finally {
      source.close();
    }
  },
});

interface Understanding {
  readonly model: Model | undefined;
  /** Why the file, though readable, cannot be run. */
  readonly problem: string | undefined;
}

function understand(path: string): Understanding {
  try {
    const model = openModel(path);
    model.close();
    return { model, problem: undefined };
  } catch (error) {
    const { message, remedy } = asClawError(error);
    return { model: undefined, problem: `${message} ${remedy}` };
  }
}

interface FileReport {
  readonly file: string;
  readonly bytes: number;
}

type Report = ReturnType<typeof inspect>;

function inspect(gguf: Gguf, { file, bytes, model, problem = "" }: FileReport & Understanding) {
  const tensors = [...gguf.tensors.values()].map(({ name, type, shape, byteLength }) => {
    return { name, type, shape, bytes: byteLength };
  });
  const elements = tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const tensorBytes = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  return {
    file,
    bytes,
    version: gguf.version,
    runnable: model !== undefined,
    ...(problem === "" ? {} : { problem }),
    architecture: model === undefined ? null : { ...model.description, rope: ropeOf(model) },
    parameters: elements,
    tensor_bytes: tensorBytes,
    tokenizer: model === undefined ? null : tokenizerOf(model),
    chat_template: gguf.metadata.optionalString("tokenizer.chat_template") ?? null,
    metadata: Object.fromEntries(metadataRows(gguf.metadata)),
    tensors,
  };
}

function ropeOf({ description }: Model): object {
  const { frequencyDivisors, ...rope } = description.rope;
  return { ...rope, scaledFrequencies: frequencyDivisors !== undefined };
}

function tokenizerOf({ tokenizer }: Model) {
  const { kind, vocabularySize, bos = null, eos = null, addBos, endTokens } = tokenizer;
  return { kind, tokens: vocabularySize, bos, eos, adds_bos: addBos, end_tokens: [...endTokens] };
}

/** Long integers as text, lists by their length: the vocabulary is no reading matter. */
function metadataRows(metadata: Metadata): [string, unknown][] {
  return [...metadata.entries()].map(([key, entry]) => {
    if (entry.type === "array") return [key, `${entry.value.length} of ${entry.of}`];
    return [key, typeof entry.value === "bigint" ? String(entry.value) : entry.value];
  });
}

function describe(report: Report): string {
  const { architecture: a, tokenizer: t, tensors } = report;
  const types = new Map<string, number>();
  for (const { type } of tensors) types.set(type, (types.get(type) ?? 0) + 1);
  const counts = [...types].map(([type, count]) => `${count} ${type}`).join(", ");
  const rows: [string, string][] = [
    ["File", `${report.file}, ${formatBytes(report.bytes)}, GGUF version ${report.version}`],
    [
      "Weights",
      `${formatCount(report.parameters)} in ${tensors.length} tensors (${counts}), ${formatBytes(report.tensor_bytes)}`,
    ],
    ...(a === null ? [] : architectureRows(a)),
    ...(t === null
      ? []
      : [
          [
            "Tokenizer",
            `${t.kind}, ${formatCount(t.tokens)} tokens, begins with ${t.adds_bos ? t.bos : "none"}, ends with ${t.end_tokens.join(", ")}`,
          ] as [string, string],
        ]),
    [
      "Chat template",
      report.chat_template === null
        ? "none; a plain transcript is used"
        : `${report.chat_template.length} characters`,
    ],
    ["Runs here", report.problem === undefined ? "yes" : `no: ${report.problem}`],
  ];
  const metadata = Object.entries(report.metadata).map(
    ([key, value]) => [key, shorten(String(value))] as const,
  );
  const sizes = tensors.map(({ name, type, shape, bytes }) => {
    return [name, `${type.padEnd(5)} ${shape.join(" x ").padEnd(16)} ${formatBytes(bytes)}`] as const;
  });
  const section = (title: string, lines: readonly (readonly [string, string])[]): string =>
    lines.length === 0 ? "" : `\n${title}:\n${twoColumns(lines)}\n`;
  return `${twoColumns(rows)}\n${section("Metadata", metadata)}${section("Tensors", sizes)}`;
}

function architectureRows(a: NonNullable<Report["architecture"]>): [string, string][] {
  const heads = `${a.heads} heads of ${a.headDim}, ${a.kvHeads} for keys and values`;
  return [
    ["Name", `${a.name}, ${a.architecture}`],
    ["Layers", `${a.layers}, width ${a.width}, feed-forward ${a.ffnWidth}, ${heads}`],
    ["Context", `${formatCount(a.context)} tokens, vocabulary ${formatCount(a.vocabulary)}`],
  ];
}

function shorten(text: string): string {
  const line = text.replaceAll("\n", "\\n");
  return line.length <= SHOWN_LENGTH ? line : `${line.slice(0, SHOWN_LENGTH)}…`;
}
