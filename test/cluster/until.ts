import { setTimeout as sleep } from "node:timers/promises";

/** Resolves when the condition holds; throws when it still does not after a time in which any machine gets there. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 45_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`Waited in vain for ${condition}.`);
    await sleep(20);
  }
}
