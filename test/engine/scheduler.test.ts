/** Who waits at the head of the queue, and what it costs. */

import { expect, test } from "vitest";
import { defaultSampling } from "../../src/engine/mod.ts";
import { Plan } from "../../src/engine/plan.ts";
import { prefixScope } from "../../src/engine/prefix-scope.ts";
import { Residency } from "../../src/engine/residency.ts";
import { Scheduler } from "../../src/engine/scheduler.ts";
import { Sequence } from "../../src/engine/sequence.ts";
import { KV_PAGE_TOKENS, type KvPages } from "../../src/kernels/mod.ts";

const kv: KvPages = {
  kvPageBytes: 1,
  copyPage: () => {},
  readPage: () => {},
  writePage: () => {},
  discardPage: () => {},
};

class CountingResidency extends Residency {
  tried = 0;

  override enter(sequence: Sequence, spare: number): boolean {
    this.tried++;
    return super.enter(sequence, spare);
  }
}

function sequence(id: number, promptTokens: number, first: number): Sequence {
  const prompt = Int32Array.from({ length: promptTokens }, (_, i) => first + i);
  const request = { prompt, maxTokens: 3 * KV_PAGE_TOKENS, sampling: defaultSampling, stopTokens: [] };
  return new Sequence(id, request, { scope: "", now: 0 });
}

function step(scheduler: Scheduler, residency: Residency): void {
  const plan = new Plan(4);
  scheduler.plan(0, plan);
  for (let index = 0; index < plan.length; index++) {
    const planned = plan.sequence(index);
    scheduler.fed(planned, plan.count(index));
    residency.settle(planned);
    if (plan.completes(index)) planned.append(1, 0);
  }
}

test("a request that found no room is tried again only when there is more, or more to share", () => {
  const options = { kv, pagesMax: 7, pages: 7, swapBytes: 0, prefixCache: true, clock: () => 0 };
  const residency = new CountingResidency(options);
  const limits = { batch: 4, batchMax: 4, rows: 256, prefillChunkTokens: 256 };
  const scheduler = new Scheduler(limits, residency);
  const first = sequence(0, 2 * KV_PAGE_TOKENS + 1, 0);
  const second = sequence(1, 4 * KV_PAGE_TOKENS, 1000);
  scheduler.add(first);
  step(scheduler, residency);
  scheduler.add(second);
  residency.tried = 0;
  // Two of these steps complete a page, which the request might have shared.
  for (let i = 0; i < 2 * KV_PAGE_TOKENS; i++) step(scheduler, residency);
  expect(scheduler.waiting).toBe(1);
  expect(residency.tried).toBeLessThanOrEqual(3);
  scheduler.remove(first);
  step(scheduler, residency);
  expect(scheduler.waiting).toBe(0);
  expect(second.cached).toBe(4 * KV_PAGE_TOKENS);
});

test("whoever may be why steps fail runs alone at once, though others decode and no step's time is known", () => {
  const options = { kv, pagesMax: 9, pages: 9, swapBytes: 0, prefixCache: false, clock: () => 0 };
  const residency = new Residency(options);
  const scheduler = new Scheduler(
    { batch: 4, batchMax: 4, rows: 64, prefillChunkTokens: 64, lanes: 2 },
    residency,
  );
  const [decodes, suspect] = [sequence(0, 3, 0), sequence(1, 20, 100)];
  scheduler.add(decodes);
  step(scheduler, residency);
  scheduler.add(suspect);
  suspect.failedSteps = 2;
  const plan = new Plan(4);
  scheduler.plan(0, plan);
  expect([plan.length, plan.sequence(0), plan.rows]).toEqual([1, suspect, 20]);
  // And beside nobody.
  suspect.stepping = true;
  scheduler.plan(0, new Plan(4), 1);
  const beside = new Plan(4);
  scheduler.plan(0, beside, 1);
  expect(beside.length).toBe(0);
});

test("trees are told apart by tenant, adapter and epochs, whatever those are called", () => {
  const origins = ["", "a", "b", '","', "null"].flatMap((tenant) =>
    [undefined, "", "a", "null"].flatMap((adapter) =>
      [[], [1], [1, 2], [12]].map((epochs) => ({ tenant, adapter, epochs })),
    ),
  );
  expect(new Set(origins.map((origin) => prefixScope(origin, false))).size).toBe(origins.length);
  const shared = new Set(origins.map((origin) => prefixScope(origin, true)));
  expect(shared.size).toBe(origins.length / 5);
});
