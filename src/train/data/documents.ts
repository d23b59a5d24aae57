/** I/O: reads a corpus, document by document, in memory bounded by the longest one. */

import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { attempt } from "../../base/files/mod.ts";
import { ClawError } from "../../base/mod.ts";
import { CHUNK_BYTES, DOCUMENT_LENGTH_MAX } from "./limits.ts";

/** The line between two documents of a corpus, and the token that stands between them. */
export const END_OF_TEXT = "<|endoftext|>";

const mark = /^<\|endoftext\|>\r?\n/m;

/** Told how much of a file has been read, in bytes. */
export type ByteProgress = (bytesRead: number, bytesTotal: number) => void;

/**
 * The documents of a text file: what lies between lines that hold only END_OF_TEXT, without the line ends around it;
 * empty ones are left out. Errors: E_FILE; E_CORPUS for a text that is not UTF-8 or a document that is too long.
 */
export function* readDocuments(path: string, onProgress?: ByteProgress): Generator<string> {
  const pieces: string[] = [];
  let length = 0;
  const take = (): string => {
    const text = pieces.join("").replace(/^[\r\n]+|[\r\n]+$/g, "");
    pieces.length = 0;
    length = 0;
    return text;
  };
  for (const lines of readLines(path, onProgress)) {
    const [first = "", ...others] = lines.split(mark);
    pieces.push(first);
    length += first.length;
    for (const part of others) {
      const document = take();
      if (document !== "") yield document;
      pieces.push(part);
      length += part.length;
    }
    if (length > DOCUMENT_LENGTH_MAX) {
      const limit = `a document is longer than ${DOCUMENT_LENGTH_MAX} characters`;
      throw new ClawError("E_CORPUS", `Reading ${path}: ${limit}.`);
    }
  }
  const last = take();
  if (last !== "") yield last;
}

/** The text in runs of whole lines; the last line gets its end. */
function* readLines(path: string, onProgress: ByteProgress | undefined): Generator<string> {
  const descriptor = attempt(`Cannot read ${path}`, () => openSync(path, "r"));
  try {
    const total = attempt(`Cannot read ${path}`, () => fstatSync(descriptor).size);
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    const chunk = new Uint8Array(CHUNK_BYTES);
    let rest = "";
    let done = 0;
    for (;;) {
      const bytes = attempt(`Cannot read ${path}`, () => readSync(descriptor, chunk));
      if (bytes === 0) break;
      const text = rest + decode(path, () => decoder.decode(chunk.subarray(0, bytes), { stream: true }));
      const end = text.lastIndexOf("\n") + 1;
      if (end > 0) yield text.slice(0, end);
      rest = text.slice(end);
      if (rest.length > DOCUMENT_LENGTH_MAX) {
        throw new ClawError("E_CORPUS", `Reading ${path}: a line is longer than ${DOCUMENT_LENGTH_MAX}.`);
      }
      done += bytes;
      onProgress?.(done, total);
    }
    rest += decode(path, () => decoder.decode());
    if (rest !== "") yield `${rest}\n`;
  } finally {
    closeSync(descriptor);
  }
}

function decode(path: string, action: () => string): string {
  try {
    return action();
  } catch (error) {
    throw new ClawError("E_CORPUS", `Reading ${path}: it is not UTF-8.`, { cause: error });
  }
}
