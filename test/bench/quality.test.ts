import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { meanDivergence } from "../../src/bench/quality/distributions.ts";
import { claw, makeFolder, makeTinyModel } from "../cli/claw.ts";
import { peerInstalled } from "../peer.ts";

const folder = makeFolder();
const model = makeTinyModel(folder);
const peer = peerInstalled();
const noPeer = peer ? "" : " (skipped: no peer: npm ci --prefix tools/peer)";

interface Report {
  readonly ours: number;
  readonly peer: number | null;
  readonly ratio: number | null;
  readonly details: Readonly<Record<string, unknown>>;
}

async function measured(args: readonly string[]): Promise<Report> {
  const { status, stdout, stderr } = await claw(["bench", ...args, "--json"]);
  expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
  return JSON.parse(stdout) as Report;
}

test("divergence is that of the softmax of each row, averaged", () => {
  const rows = (...values: number[][]): Float32Array[] => values.map((row) => Float32Array.from(row));
  expect(meanDivergence(rows([1, 2, 3]), rows([11, 12, 13]))).toBeCloseTo(0, 6);
  const ln = Math.log;
  // KL of (1/2, 1/2) from (1/4, 3/4), and of a row from itself.
  const base = rows([0, 0], [1, 2]);
  const other = rows([ln(1), ln(3)], [1, 2]);
  expect(meanDivergence(base, other)).toBeCloseTo((0.5 * ln(2) + 0.5 * ln(2 / 3)) / 2, 6);
});

const divergence = ["divergence", "--preset", "llama-tiny", "--layers", "2"];

describe("claw bench divergence", () => {
  test("takes the median of the seeds at both factors, and the worse factor counts", async () => {
    const report = await measured([...divergence, "--seeds", "3"]);
    const factors = report.details["factors"] as {
      factor: number;
      ours: number;
      seeds: { ours: number }[];
    }[];
    expect(factors.map(({ factor }) => factor)).toEqual([16, 64]);
    for (const { ours, seeds } of factors) {
      const each = seeds.map((seed) => seed.ours).toSorted((a, b) => a - b);
      expect(ours).toBe(each[1]);
      expect(new Set(each).size).toBe(3);
      expect(each[0]).toBeGreaterThan(0);
    }
    expect(report.ours).toBe(Math.max(...factors.map(({ ours }) => ours)));
    expect(report).toMatchObject({ peer: null, ratio: null, details: { layers: 2 } });
  });

  test("four bits diverge further than eight", async () => {
    const one = [...divergence, "--seeds", "1", "--outlier-factor", "16"];
    const [eight, four] = [
      await measured([...one, "--format", "i8"]),
      await measured([...one, "--format", "i4"]),
    ];
    expect(four.ours).toBeGreaterThan(10 * eight.ours);
  });
});

describe.skipIf(!peer)(`beside llama.cpp${noPeer}`, () => {
  test.each(["i8", "i4"])("divergence, %s", async (format) => {
    const one = [...divergence, "--seeds", "1"];
    const report = await measured([...one, "--format", format, "--peer", "llama.cpp"]);
    expect(report.peer).toBeGreaterThan(0);
    expect(report.ratio).toBeCloseTo(report.ours / (report.peer ?? 0), 9);
    const factors = report.details["factors"] as { ratio: number }[];
    expect(report.ratio).toBe(Math.max(...factors.map(({ ratio }) => ratio)));
  });

  test("perplexity names the matrices that llama.cpp kept in another type", async () => {
    const text = join(folder, "text.txt");
    writeFileSync(text, "It was the best of times, it was the worst of times. ".repeat(40));
    const args = ["perplexity", "--model", model, "--text", text, "--window", "64", "--peer", "llama.cpp"];
    const pure = await measured([...args, "--format", "i4"]);
    const usual = await measured([...args, "--format", "i4", "--mixture", "usual"]);
    expect(pure.ratio).toBeCloseTo(pure.ours / (pure.peer ?? 0), 9);
    expect(pure.ours).toBe(usual.ours);
    expect(pure.details["quantized"]).toMatchObject({ type: "q4_0", mixture: "pure", others: [] });
    expect(usual.details["quantized"]).toMatchObject({
      mixture: "usual",
      others: [{ name: "token_embd.weight", type: "q8_0" }],
    });
    const { base } = pure.details as { base: { ours: number; peer: number } };
    expect(base.ours / base.peer).toBeCloseTo(1, 3);
  });
});

test.each([
  [["divergence", "--format", "f16"], "one of i8, i4 was expected"],
  [["divergence", "--outlier-factor", "0.5"], "a number from 1 to 10000"],
  [["perplexity", "--model", "x"], "--text FILE"],
])("claw bench %j is refused", async (args, complaint) => {
  const { status, stdout, stderr } = await claw(["bench", ...args]);
  expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
  expect(stderr).toContain(complaint);
});
