/** What quantizing costs models with outlier channels and the widths of a model of a billion parameters. */

import { describe, expect, test } from "vitest";
import { claw } from "../cli/claw.ts";
import { peerInstalled } from "../peer.ts";

const missing = !peerInstalled();
const reason = missing ? " (skipped: no peer: npm ci --prefix tools/peer)" : "";

interface Report {
  readonly ratio: number;
  readonly details: {
    readonly factors: readonly { readonly factor: number; readonly peer: number; readonly ratio: number }[];
    readonly quantized: { readonly others: readonly unknown[] };
  };
}

describe.skipIf(missing)(`outliers of 16 and 64 times the median, 1B widths, 2 layers${reason}`, () => {
  test.each([
    ["i8", "Q8_0"],
    ["i4", "Q4_0"],
  ])(
    "%s diverges from f16 no more than llama.cpp's %s from its F16",
    async (format) => {
      const model = ["--preset", "llama-1b", "--layers", "2", "--seeds", "1"];
      const args = ["bench", "divergence", ...model, "--format", format, "--peer", "llama.cpp", "--json"];
      const { status, stdout, stderr } = await claw(args);
      expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
      const { ratio, details } = JSON.parse(stdout) as Report;
      console.info(`${format}: ${JSON.stringify(details.factors)}`);
      expect(details.factors.map(({ factor }) => factor)).toEqual([16, 64]);
      expect(details.factors.every(({ peer }) => peer > 1e-5)).toBe(true);
      expect(details.quantized.others).toEqual([]);
      expect(ratio).toBeLessThanOrEqual(1);
    },
    240_000,
  );
});
