import { expect, test } from "vitest";
import { Configuration } from "../../src/config/mod.ts";
import { numberOption, type OptionTable } from "../../src/config/option.ts";

interface Settings {
  readonly live: number;
  readonly other: number;
  readonly fixed: number;
}

const option = (name: string, live: boolean): OptionTable<Settings>["live"] =>
  numberOption({ name, live, meaning: name, range: [0, 9], default: 0 });
const table: OptionTable<Settings> = {
  live: option("a.live", true),
  other: option("a.other", true),
  fixed: option("fixed", false),
};

test("flags go before the file, what was put last before both, and each value says where it came from", async () => {
  const configuration = new Configuration(
    table,
    { file: { live: 1, fixed: 1 }, flag: { live: 2 } },
    async () => {},
  );
  expect(configuration.settings).toEqual({ live: 2, other: 0, fixed: 1 });
  expect(configuration.report()).toMatchObject({
    "a.live": { value: 2, source: "flag", live: true },
    "a.other": { value: 0, source: "default" },
    fixed: { value: 1, source: "file", live: false },
  });
  await configuration.replace("admin", { live: 3 });
  expect(configuration.report()["a.live"]).toMatchObject({ value: 3, source: "admin" });
  await configuration.replace("file", { live: 4, other: 5 });
  expect(configuration.settings).toMatchObject({ live: 3, other: 5 });
  await configuration.replace("admin", {});
  expect(configuration.settings).toMatchObject({ live: 2, other: 5 });
});

test("what cannot change while the server runs keeps its value and says what a restart makes of it", async () => {
  const configuration = new Configuration(table, { file: {}, flag: {} }, async () => {});
  expect(await configuration.replace("file", { live: 1, fixed: 1 })).toEqual({
    applied: [{ name: "a.live", from: 0, to: 1 }],
    needRestart: [{ name: "fixed", from: 0, to: 1 }],
  });
  expect(configuration.settings).toEqual({ live: 1, other: 0, fixed: 0 });
  expect(configuration.report()["fixed"]).toMatchObject({ value: 0, afterRestart: 1 });
  expect(await configuration.replace("file", { live: 1, fixed: 1 })).toEqual({
    applied: [],
    needRestart: [{ name: "fixed", from: 0, to: 1 }],
  });
  await configuration.replace("file", {});
  expect(configuration.report()["fixed"]).not.toHaveProperty("afterRestart");
});

test("a change that cannot be applied leaves everything as it was; changes come one after another", async () => {
  const seen: string[] = [];
  const apply = async (next: Settings, before: Settings): Promise<void> => {
    seen.push(`${before.live} to ${next.live}`);
    await Promise.resolve();
    seen.push("done");
    if (next.live === 7) throw new Error("Not seven.");
  };
  const configuration = new Configuration(table, { file: { live: 1 }, flag: {} }, apply);
  const changes = [7, 2, 3].map((live) => configuration.replace("file", { live, other: live }));
  await expect(changes[0]).rejects.toThrow("Not seven.");
  await Promise.all(changes.slice(1));
  expect(seen).toEqual(["1 to 7", "done", "1 to 2", "done", "2 to 3", "done"]);
  await expect(configuration.replace("admin", { live: 7 })).rejects.toThrow("Not seven.");
  expect(configuration.settings).toEqual({ live: 3, other: 3, fixed: 0 });
  expect(configuration.report()["a.live"]).toMatchObject({ source: "file" });
});
