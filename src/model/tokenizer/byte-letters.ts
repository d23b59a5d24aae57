/**
 * The printable alphabet of byte-level BPE: one letter per byte. Bytes that Latin-1 prints stand for
 * themselves; the others take the letters from U+0100 on, in order. Source: Radford et al., GPT-2, 2019 (the
 * published encoder's table).
 */
const letters: readonly string[] = makeLetters();

const bytesByLetter: ReadonlyMap<string, number> = new Map(letters.map((letter, byte) => [letter, byte]));

function makeLetters(): string[] {
  const isPrinted = (byte: number): boolean =>
    (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad && byte <= 0xff);
  let spare = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrinted(byte) ? byte : spare++));
}

/** The spelling of bytes in a byte-level vocabulary. */
export function spellBytes(bytes: Uint8Array): string {
  let spelling = "";
  for (const byte of bytes) spelling += letters[byte]!;
  return spelling;
}

/** The bytes of a spelling. A character outside the alphabet stands for its own UTF-8 bytes. */
export function readSpelling(spelling: string): Uint8Array {
  const bytes: number[] = [];
  for (const letter of spelling) {
    const byte = bytesByLetter.get(letter);
    if (byte !== undefined) bytes.push(byte);
    else bytes.push(...new TextEncoder().encode(letter));
  }
  return Uint8Array.from(bytes);
}
