/** I/O: compares two files of raw f32 logits, row by row. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

const bytesPerLogit = 4;

/**
 * Kullback-Leibler divergence KL(base || other), in nats, of the softmax of each row.
 * Both files hold rows of `vocab` little-endian f32 logits. Returns the mean and largest over the rows and the share of
 * rows whose largest logit (the first, of equals) has the same index.
 */
export function divergence(basePath, otherPath, vocab) {
  const base = openSync(basePath, "r");
  const other = openSync(otherPath, "r");
  try {
    const rows = rowCount(base, other, vocab * bytesPerLogit);
    let sum = 0;
    let max = 0;
    let sameTop = 0;
    for (let row = 0; row < rows; row++) {
      const left = readRow(base, row, vocab);
      const right = readRow(other, row, vocab);
      const value = rowDivergence(left, right);
      if (!Number.isFinite(value)) throw new Error(`Row ${row} holds logits that are not finite.`);
      sum += value;
      max = Math.max(max, value);
      if (argmax(left) === argmax(right)) sameTop++;
    }
    return { rows, kl: sum / rows, klMax: max, sameTop: sameTop / rows };
  } finally {
    closeSync(base);
    closeSync(other);
  }
}

function rowCount(base, other, rowBytes) {
  const size = fstatSync(base).size;
  const otherSize = fstatSync(other).size;
  if (size !== otherSize) throw new Error(`The files differ in length: ${size} and ${otherSize} bytes.`);
  if (size === 0 || size % rowBytes !== 0) {
    throw new Error(
      `The files hold ${size} bytes, not one or more rows of ${rowBytes} bytes. Check --vocab.`,
    );
  }
  return size / rowBytes;
}

function readRow(file, row, vocab) {
  const bytes = new Uint8Array(vocab * bytesPerLogit);
  for (let done = 0; done < bytes.length; ) {
    const count = readSync(file, bytes, { offset: done, position: row * bytes.length + done });
    if (count === 0) throw new Error(`The file ended within row ${row}.`);
    done += count;
  }
  return new Float32Array(bytes.buffer);
}

/** Log of the sum of the exponentials, in double precision. */
function logSumExp(logits) {
  const largest = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  return largest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
}

function rowDivergence(base, other) {
  const baseTotal = logSumExp(base);
  const otherTotal = logSumExp(other);
  return base.reduce((sum, logit, token) => {
    const baseLog = logit - baseTotal;
    return sum + Math.exp(baseLog) * (baseLog - (other[token] - otherTotal));
  }, 0);
}

function argmax(logits) {
  return logits.reduce((best, logit, token) => (logit > logits[best] ? token : best), 0);
}
