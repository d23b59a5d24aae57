/** Requests whose streams other servers have to be able to go on with. */

import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ClawError } from "../../src/base/mod.ts";
import { EngineMetrics, type TokenEvent } from "../../src/engine/mod.ts";
import { openModel } from "../../src/model/mod.ts";
import type { Completions, Response } from "../../src/server/completions.ts";
import { completion } from "../../src/server/kinds.ts";
import { ServedModels } from "../../src/server/mod.ts";
import type { StreamJournal, Tenure } from "../../src/server/streams/mod.ts";
import { always } from "../../src/server/streams/standing.ts";
import { bareCompletions, makeAsker } from "./bare.ts";
import { makeHome, makeTinyModel, removeHome } from "./service.ts";

let home: string;
/** What the engine is asked for now. */
let running = 0;

beforeAll(() => {
  home = makeHome();
  makeTinyModel(home);
});

afterAll(() => removeHome(home));

const TOKENS = 20;

function makeCompletions(): Completions {
  const opened = openModel(join(home, "tiny.gguf"));
  opened.close();
  const models = new ServedModels("m", 0);
  models.ready({
    ...opened,
    ...{ id: "m", context: 64, textBytesMax: 64, fingerprint: "none" },
    generator: {
      async *generate() {
        running++;
        try {
          for (let i = 0; i < TOKENS; i++) {
            const finish = i === TOKENS - 1 ? "length" : undefined;
            yield { token: 300 + i, logprob: undefined, top: [], finish } satisfies TokenEvent;
          }
        } finally {
          running--;
        }
      },
    },
    load: () => ({ running: 0, waiting: 0, recovering: false }),
    metrics: () => new EngineMetrics().read(),
    failure: () => undefined,
  });
  return bareCompletions(models);
}

interface Asked {
  readonly completions: Completions;
  readonly answered: Promise<Response>;
}

function ask(journal: Partial<StreamJournal>): Asked {
  const completions = makeCompletions();
  const nothing = async (): Promise<void> => {};
  const whole = { required: true, open: nothing, tokens: nothing, close: nothing, ...journal };
  const tenure: Tenure = { ...always, journal: whole };
  const body = { prompt: [1], max_tokens: TOKENS, stream: true, openclaw: { resumable: true } };
  return { completions, answered: completions.handle(completion, body, { ...makeAsker(), tenure }) };
}

async function eventsOf(answered: Promise<Response>): Promise<number> {
  const response = await answered;
  if (response.type !== "kept") throw new Error("The stream is not kept.");
  const { signal } = new AbortController();
  return (await Array.fromAsync(response.stream.read([0], { signal, tenure: always }))).length;
}

const down = async (): Promise<never> => {
  throw new ClawError("E_CONTROL", "The journal is down.");
};

test("nothing is answered before the stream's opening is durable", async () => {
  const opening = Promise.withResolvers<void>();
  const { answered } = ask({ open: () => opening.promise });
  let early = true;
  void answered.then(() => {
    early = false;
  });
  await sleep(50);
  expect(early).toBe(true);
  opening.resolve();
  expect(await eventsOf(answered)).toBeGreaterThan(TOKENS / 2);
});

test("where the journal has to take a stream and does not, it is refused with a time to come back, and ends", async () => {
  const { answered, completions } = ask({ open: down });
  await expect(answered).rejects.toMatchObject({ code: "E_CONTROL", status: 503, retryAfterSeconds: 2 });
  await sleep(1);
  expect(running).toBe(0);
  expect(completions.journalCounts).toMatchObject({ streams: 0, failures: 1, unjournalled: 0 });
});

test("where it need not, the stream goes on and is counted", async () => {
  const { answered, completions } = ask({ required: false, open: down });
  expect(await eventsOf(answered)).toBeGreaterThan(TOKENS / 2);
  expect(completions.journalCounts).toMatchObject({ streams: 0, unjournalled: 1 });
});

test.each([
  ["refuses", down],
  ["does not answer", () => new Promise<never>(() => {})],
])("a journal that %s tokens stops no stream", async (_, tokens) => {
  const { answered, completions } = ask({ tokens });
  expect(await eventsOf(answered)).toBeGreaterThan(TOKENS / 2);
  expect(completions.journalCounts).toMatchObject({ streams: 1, behind: TOKENS });
});
