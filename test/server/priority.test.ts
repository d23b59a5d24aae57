import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { EngineMetrics, type GenerationRequest } from "../../src/engine/mod.ts";
import { openModel } from "../../src/model/mod.ts";
import { completion } from "../../src/server/kinds.ts";
import { ServedModels } from "../../src/server/mod.ts";
import { bareCompletions, makeAsker } from "./bare.ts";
import { makeHome, makeTinyModel, removeHome } from "./service.ts";

let home: string;

beforeAll(() => {
  home = makeHome();
  makeTinyModel(home);
});

afterAll(() => removeHome(home));

/** What the engine is asked when `tenant` asks with `priority`. */
async function asked(
  priority: number | undefined,
  priorityMin: number,
): Promise<GenerationRequest | undefined> {
  const opened = openModel(join(home, "tiny.gguf"));
  opened.close();
  let seen: GenerationRequest | undefined;
  const models = new ServedModels("m", 0);
  models.ready({
    ...opened,
    id: "m",
    context: 64,
    textBytesMax: 64,
    fingerprint: "none",
    generator: {
      async *generate(request) {
        seen = request;
        yield { token: 5, logprob: undefined, top: [], finish: "length" };
      },
    },
    load: () => ({ running: 0, waiting: 0, recovering: false }),
    metrics: () => new EngineMetrics().read(),
    failure: () => undefined,
  });
  const asker = makeAsker();
  asker.account.caller = { tenant: "team", scopes: ["inference"], priorityMin };
  const body = { prompt: [1], max_tokens: 1, ...(priority === undefined ? {} : { priority }) };
  await bareCompletions(models).handle(completion, body, { ...asker, timeoutMs: 7000 });
  return seen;
}

test.each([
  [undefined, 0, 0],
  [undefined, 5, -5],
  [5, 5, -5],
  [-3, -10, 3],
  [1000, 0, -1000],
])("a priority of %j where the key may ask for %i is %i in the engine", async (given, least, expected) => {
  expect(await asked(given, least)).toMatchObject({ tenant: "team", priority: expected, deadlineMs: 7000 });
});

test.each([
  [-1, 0],
  [4, 5],
  [-11, -10],
])("a priority of %i where the key may ask for %i is refused", async (given, least) => {
  await expect(asked(given, least)).rejects.toMatchObject({
    code: "E_PARAMETER",
    param: "priority",
    message: expect.stringContaining(`may ask for ${least} at least`),
  });
});

test("a priority is a whole number within bounds", async () => {
  for (const given of [0.5, 1001, -1001])
    await expect(asked(given, -1000)).rejects.toMatchObject({ param: "priority" });
});
