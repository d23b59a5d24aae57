/** I/O: takes one document of a corpus and writes its beginning and its end as two texts: split.mjs CORPUS NUMBER FOLDER. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Of the document: what is trained on. */
const SHARE = 0.8;

const [corpus, number, folder] = process.argv.slice(2);
const document = readFileSync(corpus, "utf8")
  .split(/^<\|endoftext\|>$/m)
  [Number(number) - 1].trim();
// Between two paragraphs, so that no sentence is in both.
const end = document.indexOf("\n\n", Math.floor(SHARE * document.length));
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "train.txt"), document.slice(0, end));
writeFileSync(join(folder, "test.txt"), document.slice(end).trim());
