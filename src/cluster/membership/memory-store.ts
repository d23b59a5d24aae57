/** The control plane of a single process. */

import type { ControlStore, Entry, Write, WriteOutcome } from "./store.ts";

export class MemoryStore implements ControlStore {
  readonly #entries = new Map<string, Entry>();
  readonly #listeners = new Set<(entry: Entry) => void>();
  #revision = 0;

  async write({ key, value, expected }: Write): Promise<WriteOutcome> {
    const current = this.#entries.get(key)?.revision ?? 0;
    if (current !== expected) return { kind: "conflict" };
    const entry: Entry = { key, value: value?.slice(), revision: ++this.#revision };
    if (value === undefined) this.#entries.delete(key);
    else this.#entries.set(key, entry);
    // Not within the writer's own call: a listener may write.
    for (const listener of this.#listeners) queueMicrotask(() => this.#tell(listener, entry));
    return { kind: "done", revision: entry.revision };
  }

  async read(key: string): Promise<Entry | undefined> {
    return this.#entries.get(key);
  }

  async watch(listener: (entry: Entry) => void): Promise<() => void> {
    this.#listeners.add(listener);
    for (const entry of this.#entries.values()) queueMicrotask(() => this.#tell(listener, entry));
    return () => void this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#listeners.clear();
  }

  #tell(listener: (entry: Entry) => void, entry: Entry): void {
    if (this.#listeners.has(listener)) listener(entry);
  }
}
