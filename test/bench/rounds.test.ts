import { expect, test } from "vitest";
import { recordSection } from "../../src/bench/record.ts";
import type { BenchReport } from "../../src/bench/report.ts";
import { interleave, median, medians } from "../../src/bench/rounds.ts";

test("rounds take turns, change who begins, and the first of each does not count", async () => {
  const order: string[] = [];
  const round = (name: string) => async (): Promise<Record<"time", number>> => {
    order.push(name);
    return { time: order.length };
  };
  const times = await interleave(3, round("ours"), round("peer"));
  expect(order).toEqual(["ours", "peer", "peer", "ours", "ours", "peer", "peer", "ours"]);
  expect(times).toEqual({ ours: { time: [4, 5, 8] }, peer: { time: [3, 6, 7] } });
  expect(medians(times.ours)).toEqual({ time: 5 });
  expect((await interleave(2, round("ours"), undefined)).peer).toBeUndefined();
});

test("the median is the middle one", () => {
  expect(median([3])).toBe(3);
  expect(median([9, 1, 5])).toBe(5);
  expect(median([4, 1, 3, 2])).toBe(2);
});

test("a recorded section replaces the one of the same kind, format and model, and no other", () => {
  const report = (bench: string): BenchReport =>
    ({ bench, format: "i8", model: { preset: "llama-tiny", file: "f" } }) as BenchReport;
  const told = (figure: string) => ({
    date: "2000-01-01T00:00:00Z",
    machine: "a machine",
    commandLine: "./claw bench",
    figures: [["Ours", figure]] as const,
  });
  const first = recordSection("", report("decode"), told("1"));
  expect(first).toMatch(/^# Benchmarks\n[\s\S]*\n## decode i8 llama-tiny\n[\s\S]*\| Ours \| 1 \|\n$/);
  const second = recordSection(first, report("batch"), told("2"));
  const third = recordSection(second, report("decode"), told("3"));
  expect(third).toBe(second.replace("| Ours | 1 |", "| Ours | 3 |"));
  expect(third.match(/^## .*$/gm)).toEqual(["## decode i8 llama-tiny", "## batch i8 llama-tiny"]);
});
