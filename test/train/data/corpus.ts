/** I/O: texts for tests: the corpus of ../shared where it is there, and a small one made up here. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const shared: string = fileURLToPath(new URL("../../../../shared/corpus/", import.meta.url));
export const corpusMissing: boolean = !existsSync(shared);
export const corpusReason: string = corpusMissing ? " (skipped: ../shared is missing)" : "";
/** 1.5 MB of English, some documents. */
export const validPath: string = join(shared, "classics-valid.txt");

/** A fresh folder, removed when the process ends. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "train-data-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const words = "the fox ran over a hill and saw its own house, the moon; über 漢字 1234 'tis it's\n".split(
  /(?= )/,
);

/** Documents of words in an order that `seed` chooses, of the given numbers of words. */
export function smallDocuments(lengths: readonly number[], seed = 1): string[] {
  let state = seed;
  const word = (): string => {
    state = (state * 48_271) % 2_147_483_647;
    return words[state % words.length]!;
  };
  return lengths.map((length, i) => `Tale ${i}:${Array.from({ length }, word).join("")}.`);
}

/** Writes a corpus file; its path. */
export function writeCorpus(folder: string, documents: readonly string[]): string {
  const path = join(folder, "corpus.txt");
  writeFileSync(path, documents.join("\n<|endoftext|>\n"));
  return path;
}
