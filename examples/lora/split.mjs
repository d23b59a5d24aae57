/**
 * I/O: takes one document of a text and writes its beginning and its end as two texts: split.mjs TEXT NUMBER FOLDER. Documents are
 * divided by lines of <|endoftext|>; a book as Project Gutenberg publishes it is one document.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Of the document: what is trained on. */
const SHARE = 0.8;

const [source, number, folder] = process.argv.slice(2);
const document = plain(readFileSync(source, "utf8"))
  .split(/^<\|endoftext\|>$/m)
  [Number(number) - 1].trim();
// Between two paragraphs, so that no sentence is in both.
const end = document.indexOf("\n\n", Math.floor(SHARE * document.length));
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "train.txt"), document.slice(0, end));
writeFileSync(join(folder, "test.txt"), document.slice(end).trim());

/** A published book without its notices, and with a line for each paragraph and single spaces, as tales knows them; other texts as they are. */
function plain(text) {
  const [, book] =
    /^\*\*\* ?START OF .*$([\s\S]*)^\*\*\* ?END OF /m.exec(text.replaceAll("\r\n", "\n")) ?? [];
  return book === undefined
    ? text
    : book
        .replace(/(?<=\S)\n(?=\S)/g, " ")
        .replace(/ {2,}/g, " ")
        .replace(/\n{3,}/g, "\n\n");
}
