import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { commandNames, loadCommand } from "../../src/cli/commands/mod.ts";
import { openModel } from "../../src/model/mod.ts";
import { claw, exitOf, makeFolder, makeTinyModel, repository, start } from "./claw.ts";

const folder = makeFolder();
const prompt = "Once upon a time";
let model: string;

beforeAll(() => {
  model = makeTinyModel(folder);
});

const own = (): string[] => ["--model", model, "--device", "reference", "--format", "f16"];
describe("help", () => {
  test("names every command, with and without --help", async () => {
    const shown = await claw(["--help"]);
    expect(shown).toMatchObject({ status: 0, stderr: "" });
    for (const name of commandNames) expect(shown.stdout).toContain(`  ${name} `);
    expect(commandNames.length).toBeGreaterThan(40);
    expect(await claw([])).toEqual(shown);
    expect(await claw(["model", "--help"])).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("--preset"),
    });
  });

  test.each(commandNames)("%s --help", async (name) => {
    const command = await loadCommand(name);
    expect(command.name).toBe(name);
    const help = await command.invoke(["--help"]);
    expect(help).toMatch(new RegExp(`^Usage: claw ${name}.*\n`));
    expect(help).toMatch(/\n {2}--\S+/);
  });

  test.each(["bench", "bench serve", "doctor"])("%s --help, typed", async (name) => {
    const help = await (await loadCommand(name)).invoke(["--help"]);
    expect(await claw([...name.split(" "), "--help"])).toEqual({ status: 0, stdout: help, stderr: "" });
  });

  test("the version is that of package.json", async () => {
    const { version } = JSON.parse(readFileSync(join(repository, "package.json"), "utf8")) as {
      version: string;
    };
    for (const args of [["version"], ["--version"]]) {
      expect(await claw(args)).toEqual({ status: 0, stdout: `${version}\n`, stderr: "" });
    }
  });
});

describe("a wrong invocation is one line with a remedy, and exit code 2", () => {
  test.each([
    [["srve"], "did you mean serve?"],
    [["model", "inspet"], "did you mean model inspect?"],
    [["run", "--formt", "f16", "x"], "did you mean --format?"],
    [["run", "--nonsense", "x"], "There is no option --nonsense."],
    [["run", "--format", "f15", "x"], "one of f16, i8, i4 was expected."],
    [["run", "--max-tokens", "0", "x"], "a whole number from 1 on was expected."],
    [["run", "--temperature"], "--temperature needs a value."],
    [["run", "--json=yes", "x"], "--json takes no value"],
    [["run"], "claw run needs PROMPT."],
    [["run", "one", "two"], 'does not take "two".'],
    [["tokenize", "--file", "a", "b"], "not both"],
    [["perplexity"], "--text FILE"],
    [["model", "synth"], "--preset NAME"],
    [["model", "synth", "--preset", "llama-tiny", "--out", "x", "--outlier-factor", "16"], "with --outliers"],
    [["serve", "--port", "65536"], "from 0 to 65535"],
    [["serve", "--model", "x", "--host", "0.0.0.0", "--no-auth"], "127.0.0.1"],
  ])("%j", async (args, said) => {
    const { status, stdout, stderr } = await claw(args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toContain(said);
    expect(stderr).toMatch(/^claw: [^\n]+\.\n$/);
  });
});

describe("a file that is no model is exit code 1, without a stack unless it is asked for", () => {
  test.each([
    ["a missing file", "missing.gguf", undefined],
    ["not GGUF", "text.gguf", "this is no model"],
    ["cut off", "short.gguf", "GGUF\u0003"],
  ])("%s", async (_, name, content) => {
    const file = join(folder, name);
    if (content !== undefined) writeFileSync(file, content);
    for (const args of [
      ["run", "--model", file, "x"],
      ["model", "inspect", file],
      ["tokenize", "--model", file, "x"],
    ]) {
      const { status, stdout, stderr } = await claw(args);
      expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
      expect(stderr).toMatch(/^claw: [^\n]+\.\n$/);
    }
    const debug = await claw(["model", "inspect", file], { env: { CLAW_DEBUG: "1" } });
    expect(debug.stderr).toContain("    at ");
  });
});

describe("run", () => {
  test("prints the continuation and nothing else; the same seed prints it again, any device and split too", async () => {
    const args = ["run", ...own(), "--max-tokens", "24", "--seed", "6", prompt];
    const plain = await claw(args);
    expect(plain).toMatchObject({ status: 0, stderr: "" });
    expect(plain.stdout.endsWith("\n")).toBe(true);
    const json = await claw([...args, "--json"]);
    const object = JSON.parse(json.stdout) as { text: string; tokens: number[]; prompt_tokens: number[] };
    expect(`${object.text}\n`).toBe(plain.stdout);
    const { tokenizer } = openModel(model);
    expect(object).toMatchObject({
      finish: "length",
      seed: 6,
      format: "f16",
      timings: { load_ms: expect.any(Number) },
    });
    expect(object.prompt_tokens).toEqual([...tokenizer.encode(prompt, { addSpecial: true })]);
    expect(object.tokens).toHaveLength(24);
    expect(tokenizer.decode(object.tokens)).toBe(object.text);
    expect(await claw([...args, "--tensor-parallelism-degree", "2"])).toEqual(plain);
    expect(await claw([...args, "--device", "auto"])).toMatchObject({ status: 0, stdout: plain.stdout });
  });

  test("a prompt beyond the context is refused with its length", async () => {
    const { status, stdout, stderr } = await claw(["run", ...own(), "word ".repeat(2000)]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toContain("the context holds 1024");
  });
});

describe("chat", () => {
  test("answers lines from a pipe, one after another, also when the last one has no end", async () => {
    const args = ["chat", ...own(), "--max-tokens", "8", "--temperature", "0"];
    const both = await claw(args, { input: "Hello\n\nAgain" });
    expect(both).toMatchObject({ status: 0, stderr: "" });
    const one = await claw(args, { input: "Hello\n/exit\nAgain\n" });
    expect(both.stdout.startsWith(one.stdout)).toBe(true);
    expect(both.stdout.length).toBeGreaterThan(one.stdout.length);
    const cleared = await claw(args, { input: "Hello\n/clear\nHello\n" });
    expect(cleared.stdout).toBe(one.stdout + one.stdout);
  });
});

describe("interrupting a chat", () => {
  test("stops the reading of a long prompt before its answer begins, and the chat goes on", async () => {
    const args = ["chat", ...own(), "--max-tokens", "4", "--temperature", "0", "--threads", "1"];
    const first = await claw(args, { input: "Hello\n" });
    expect(first.stdout.trim()).not.toBe("");
    const child = start(args);
    const exit = exitOf(child);
    let said = "";
    child.stdout?.on("data", (part: Buffer) => {
      said += part.toString();
    });
    const heard = async (text: string): Promise<void> => {
      while (said !== text && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 5));
    };
    child.stdin?.write("Hello\n");
    await heard(first.stdout);
    // Nearly a whole context of single characters takes a second or more to read.
    child.stdin?.write(`${"q".repeat(900)}\n`);
    await new Promise((resolve) => setTimeout(resolve, 400));
    child.kill("SIGINT");
    await heard(`${first.stdout}\n`);
    expect(said).toBe(`${first.stdout}\n`);
    // What was stopped is forgotten: the next line is answered as if it had followed the first.
    child.stdin?.end("Again\n");
    expect(await exit).toBe(0);
    const both = await claw(args, { input: "Hello\nAgain\n" });
    expect(said).toBe(both.stdout.replace(first.stdout, `${first.stdout}\n`));
  });
});

describe("tokenize", () => {
  test("ids and pieces of a text or a file, with and without special tokens", async () => {
    const { tokenizer } = openModel(model);
    const text = "Größe <s> 1\n";
    const file = join(folder, "text.txt");
    writeFileSync(file, text);
    const ids = [...tokenizer.encode(text, { addSpecial: true, parseSpecial: true })];
    const plain = [...tokenizer.encode(text)];
    expect(ids).not.toEqual(plain);
    const json = await claw(["tokenize", "--model", model, "--json", text]);
    expect(JSON.parse(json.stdout)).toEqual({ ids, pieces: ids.map((id) => tokenizer.tokenText(id)) });
    const lines = await claw(["tokenize", "--model", model, "--no-special", "--file", file]);
    expect(
      lines.stdout
        .split("\n")
        .slice(0, -1)
        .map((line) => Number(line.split("\t")[0])),
    ).toEqual(plain);
  });
});

describe("model", () => {
  test("synth writes what inspect reads", async () => {
    const out = join(folder, "synthetic.gguf");
    const args = ["model", "synth", "--preset", "llama-tiny", "--type", "q8_0", "--outliers", "--seed", "3"];
    expect(await claw([...args, "--out", out])).toEqual({ status: 0, stdout: "", stderr: "" });
    const { stdout } = await claw(["model", "inspect", out, "--json"]);
    const report = JSON.parse(stdout) as { tensors: { type: string }[]; tensor_bytes: number; bytes: number };
    expect(report).toMatchObject({
      version: 3,
      runnable: true,
      architecture: { architecture: "llama", name: "llama-tiny", layers: 3, vocabulary: 512 },
      tokenizer: { kind: "spm", tokens: 512, bos: 1, adds_bos: true, end_tokens: [2] },
      chat_template: null,
      metadata: { "general.name": "llama-tiny", "tokenizer.ggml.tokens": "512 of string" },
    });
    expect(report.tensors.some(({ type }) => type === "Q8_0")).toBe(true);
    expect(report.tensor_bytes).toBeLessThan(report.bytes);
    const shown = await claw(["model", "inspect", out]);
    expect(shown.stdout).toContain("llama-tiny");
    expect(shown.stdout).toContain("token_embd.weight");
  });

  test("synth takes fewer layers, and one factor for all outliers", async () => {
    const out = join(folder, "thin.gguf");
    const args = ["model", "synth", "--preset", "llama-tiny", "--layers", "1", "--outliers"];
    expect(await claw([...args, "--outlier-factor", "16", "--out", out])).toMatchObject({ status: 0 });
    const { stdout } = await claw(["model", "inspect", out, "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({ runnable: true, architecture: { layers: 1 } });
    const wider = join(folder, "wider.gguf");
    expect(await claw([...args, "--outlier-factor", "17", "--out", wider])).toMatchObject({ status: 0 });
    expect(readFileSync(wider).equals(readFileSync(out))).toBe(false);
  });
});

describe("perplexity", () => {
  const window = 64;

  /** The definition, in other words: probabilities of the rows written, by plain summation. */
  function expected(
    file: string,
    tokens: readonly number[],
    vocabulary: number,
  ): { nll: number; rows: number } {
    const bytes = readFileSync(file);
    const logits = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    const scored = tokens.flatMap((token, position) => {
      const place = position % window;
      const whole = Math.floor(position / window) < Math.floor(tokens.length / window);
      return whole && place > window / 2 ? [token] : [];
    });
    expect(logits.length).toBe(scored.length * vocabulary);
    let nll = 0;
    for (const [row, token] of scored.entries()) {
      const values = [...logits.subarray(row * vocabulary, (row + 1) * vocabulary)];
      const sum = values.reduce((total, logit) => total + Math.exp(logit), 0);
      nll -= Math.log(Math.exp(values[token] ?? Number.NaN) / sum);
    }
    return { nll, rows: scored.length };
  }

  test("is that of the logits it writes, at the positions llama.cpp scores", async () => {
    const { tokenizer, description } = openModel(model);
    const text = join(folder, "story.txt");
    const logits = join(folder, "logits.f32");
    writeFileSync(
      text,
      "It was a bright cold day in April, and the clocks were striking thirteen. ".repeat(5),
    );
    const tokens = [...tokenizer.encode(readFileSync(text, "utf8"), { addSpecial: true })];
    expect(tokens.length % window).toBeGreaterThan(0);
    const args = ["perplexity", ...own(), "--text", text, "--window", String(window), "--json"];
    const { stdout, status, stderr } = await claw([...args, "--logits", logits]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const { nll, rows } = expected(logits, tokens, description.vocabulary);
    const windows = Math.floor(tokens.length / window);
    expect(windows).toBeGreaterThan(1);
    const result = JSON.parse(stdout) as { nll: number; perplexity: number };
    expect(result).toMatchObject({ windows, count: rows, window, tokens: tokens.length, format: "f16" });
    expect(result.nll).toBeCloseTo(nll, 6);
    expect(result.perplexity).toBeCloseTo(Math.exp(nll / rows), 6);
  });

  test("a text shorter than a window, or a window beyond the context, is refused", async () => {
    const text = join(folder, "short.txt");
    writeFileSync(text, "Too short.");
    const short = await claw(["perplexity", ...own(), "--text", text]);
    expect(short).toMatchObject({ status: 2, stderr: expect.stringContaining("one window needs 512") });
    const wide = await claw(["perplexity", ...own(), "--text", text, "--window", "4096"]);
    expect(wide).toMatchObject({ status: 2, stderr: expect.stringContaining("1024") });
    // What cannot be measured leaves the file for the logits as it was.
    const logits = join(folder, "kept.f32");
    writeFileSync(logits, "kept");
    const refused = [
      ["--text", text],
      ["--text", text, "--window", "4096"],
      ["--text", text, "--tensor-parallelism-degree", "64"],
    ];
    for (const args of refused) {
      const { status } = await claw(["perplexity", ...own(), ...args, "--logits", logits]);
      expect(status).toBeGreaterThan(0);
      expect(readFileSync(logits, "utf8")).toBe("kept");
    }
  });
});

describe("doctor", () => {
  test("shows the machine, for people and for scripts", async () => {
    const state = join(folder, "state");
    const { status, stdout } = await claw(["doctor", "--json"], { env: { XDG_STATE_HOME: state } });
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      machine: {
        node: process.version,
        cpu: { model: expect.any(String) },
        memory: { total: expect.any(Number) },
      },
      folders: { state: join(state, "openclaw") },
      advice: expect.any(Array),
    });
    const shown = await claw(["doctor"]);
    for (const row of ["Processor", "Memory", "NUMA", "Huge pages", "GPUs", "KVM", "Native core", "g++"]) {
      expect(shown.stdout).toContain(row);
    }
  });

  test("says how to get what is missing", async () => {
    const bin = join(folder, "bin");
    const { mkdirSync, symlinkSync } = await import("node:fs");
    mkdirSync(bin);
    for (const name of ["sh", "readlink"]) symlinkSync(`/bin/${name}`, join(bin, name));
    const { stdout } = await claw(["doctor"], { env: { PATH: bin } });
    expect(stdout).toContain("apt-get install g++");
    expect(stdout).toContain("apt-get install curl");
  });
});
