import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { nodeSchema } from "../../src/cluster/mod.ts";
import { nativeAvailable } from "../../src/kernels/mod.ts";
import { claw, makeFolder, makeTinyModel } from "./claw.ts";

const folder = makeFolder();
const nodesFile = join(folder, "nodes.json");
const node = (name: string, memoryBytes: number) => ({
  ...{ name, memoryBytes, kvBytesPerSecond: 2e10, layerSeconds: 1e-5 },
  formats: { i8: { bytesPerSecond: 5e10, multiplyAddsPerSecond: 5e11 } },
});
const network = { latencySeconds: 1e-2, bytesPerSecond: 1.25e8 };
writeFileSync(
  nodesFile,
  JSON.stringify({ nodes: [node("a", 45e9), node("b", 45e9), node("c", 1e9)], network }),
);

describe("claw cluster plan", () => {
  test("a known shape, as an object and for people", async () => {
    const args = ["cluster", "plan", "--nodes", nodesFile, "--preset", "llama-70b"];
    const { status, stdout } = await claw([...args, "--json"]);
    expect(status).toBe(0);
    const { plan, prediction, unused, optimal } = JSON.parse(stdout);
    expect(
      plan.stages.map(({ ranks }: { ranks: { node: string }[] }) => ranks.map((rank) => rank.node)),
    ).toEqual([...[["a"], ["b"]]]);
    expect([unused, optimal]).toEqual([["c"], true]);
    expect(prediction.tokensPerSecond).toBeGreaterThan(0.5);
    const shown = await claw(args);
    expect(shown.stdout).toMatch(/Left out +c\n/);
    expect(shown.stdout).toMatch(/Predicted +0\.6\d+ tokens\/s/);
  });

  test("a model file; a prescribed degree; one that does not fit; a wrong description", async () => {
    const model = makeTinyModel(folder);
    const base = ["cluster", "plan", "--nodes", nodesFile, "--context", "64"];
    const alone = await claw([...base, "--model", model, "--json"]);
    expect(JSON.parse(alone.stdout).plan.stages).toHaveLength(1);
    const prescribed = [...base, "--model", model, "--tensor-parallelism-degree", "2", "--json"];
    expect(JSON.parse((await claw(prescribed)).stdout).plan.stages[0].ranks).toHaveLength(2);
    const large = await claw([...base, "--preset", "llama-70b", "--rows", "4096", "--context", "8192"]);
    expect(large.status).toBe(1);
    expect(large.stderr).toMatch(/It would with \d+ bytes more on every node\. Add nodes or memory/);
    writeFileSync(join(folder, "wrong.json"), "{}");
    const wrong = await claw(["cluster", "plan", "--nodes", join(folder, "wrong.json"), "--model", model]);
    expect([wrong.status, wrong.stderr]).toEqual([1, expect.stringContaining("wrong at nodes")]);
  });
});

test.skipIf(!nativeAvailable())(
  `claw node measure${nativeAvailable() ? "" : " (skipped: no native core)"} describes a node that can be planned with`,
  async () => {
    const env = { XDG_CACHE_HOME: join(folder, "cache") };
    const args = ["node", "measure", "--preset", "llama-tiny", "--rounds", "1", "--threads", "1", "--json"];
    const { status, stdout, stderr } = await claw(args, { env });
    expect(stderr).toBe("");
    expect(status).toBe(0);
    const measured = nodeSchema.parse(JSON.parse(stdout));
    expect(Object.keys(measured.formats).sort()).toEqual(["f16", "i4", "i8"]);
    writeFileSync(join(folder, "own.json"), JSON.stringify({ nodes: [measured] }));
    const own = ["cluster", "plan", "--nodes", join(folder, "own.json"), "--preset", "llama-tiny", "--json"];
    const planned = JSON.parse((await claw([...own, "--context", "64"])).stdout);
    expect(planned.plan.output).toBe(measured.name);
    expect(planned.prediction.secondsPerToken).toBeGreaterThan(0);
  },
);
