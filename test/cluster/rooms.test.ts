/** Memory for messages under way. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { Rooms } from "../../src/cluster/shards/rooms.ts";

test("rooms are never more than allowed, nobody's twice, and go to who asked first", async () => {
  let [waits, reuses] = [0, 0];
  const property = fc.asyncProperty(
    fc.integer({ min: 1, max: 4 }),
    fc.array(fc.boolean(), { maxLength: 40 }),
    async (most, takes) => {
      const rooms = new Rooms(8, most);
      const seen = new Set<Uint8Array>();
      const held: Uint8Array[] = [];
      const got: number[] = [];
      let asked = 0;
      for (const take of takes) {
        const room = take ? undefined : held.shift();
        if (room !== undefined) rooms.give(room);
        if (take) {
          const number = asked++;
          if (held.length === most) waits++;
          void rooms.take().then((given) => {
            expect(held).not.toContain(given);
            if (seen.has(given)) reuses++;
            seen.add(given);
            held.push(given);
            got.push(number);
          });
        }
        await new Promise(setImmediate);
      }
      expect(seen.size).toBeLessThanOrEqual(most);
      expect(got).toEqual(Array.from({ length: got.length }, (_, i) => i));
      while (held.length > 0) {
        rooms.give(held.shift() as Uint8Array);
        await new Promise(setImmediate);
      }
      expect(got).toHaveLength(asked);
    },
  );
  await fc.assert(property, { numRuns: 200, seed: 9 });
  expect(waits).toBeGreaterThan(100);
  expect(reuses).toBeGreaterThan(100);
});
