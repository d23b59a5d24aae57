/** What quantizing costs models with outlier channels and the widths of a model of a billion parameters. */

import { describe, expect, test } from "vitest";
import { claw } from "../cli/claw.ts";
import { peerInstalled } from "../peer.ts";

const missing = !peerInstalled();
const reason = missing ? " (skipped: no peer: npm ci --prefix tools/peer)" : "";

interface Report {
  readonly details: {
    readonly factors: readonly { readonly factor: number; readonly peer: number; readonly ratio: number }[];
    readonly quantized: { readonly others: readonly unknown[] };
  };
}

describe.skipIf(missing)(`outliers of 16 and 64 times the median, 1B widths, 2 layers${reason}`, () => {
  test.each([
    ["i8", "Q8_0", [1, 0.7]],
    ["i4", "Q4_0", [1, 1]],
  ] as const)(
    "%s beside llama.cpp's %s: how far each takes a model from its half floats",
    async (format, _, limits) => {
      const model = ["--preset", "llama-1b", "--layers", "2", "--seeds", "1"];
      const args = ["bench", "divergence", ...model, "--format", format, "--peer", "llama.cpp", "--json"];
      const { status, stdout, stderr } = await claw(args);
      expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
      const { details } = JSON.parse(stdout) as Report;
      console.info(`${format}: ${JSON.stringify(details.factors)}`);
      expect(details.factors.map(({ factor }) => factor)).toEqual([16, 64]);
      expect(details.factors.every(({ peer }) => peer > 1e-5)).toBe(true);
      expect(details.quantized.others).toEqual([]);
      for (const [i, { ratio }] of details.factors.entries())
        expect(ratio).toBeLessThanOrEqual(limits[i] as number);
    },
    240_000,
  );
});
