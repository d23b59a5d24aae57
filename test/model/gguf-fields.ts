/**
 * A second, independent walk over a valid GGUF header that notes where each field lies, so that a test can change
 * one field and know what it is.
 */

export type FieldKind =
  | "magic"
  | "version"
  | "count"
  | "length"
  | "kind"
  | "rank"
  | "dimension"
  | "type"
  | "offset";

export interface Field {
  readonly kind: FieldKind;
  /** What it belongs to: a key, a tensor's name, or empty. */
  readonly owner: string;
  readonly start: number;
  readonly bytes: 4 | 8;
}

const valueBytes: Readonly<Record<number, number>> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8,
};
const STRING = 8;
const ARRAY = 9;

export function fieldsOf(file: Uint8Array): Field[] {
  return new Walk(file).all();
}

class Walk {
  readonly #fields: Field[] = [];
  readonly #file: Uint8Array;
  readonly #view: DataView;
  #position = 0;
  #owner = "";

  constructor(file: Uint8Array) {
    this.#file = file;
    this.#view = new DataView(file.buffer, file.byteOffset, file.length);
  }

  all(): Field[] {
    this.#word("magic");
    this.#word("version");
    const tensors = this.#long("count");
    const pairs = this.#long("count");
    for (let i = 0; i < pairs; i++) {
      this.#owner = this.#string();
      this.#value(this.#word("kind"));
    }
    for (let i = 0; i < tensors; i++) this.#tensor();
    return this.#fields;
  }

  #tensor(): void {
    this.#owner = this.#string();
    const rank = this.#word("rank");
    for (let i = 0; i < rank; i++) this.#long("dimension");
    this.#word("type");
    this.#long("offset");
  }

  #value(kind: number): void {
    if (kind === STRING) this.#string();
    else if (kind !== ARRAY) this.#position += valueBytes[kind] as number;
    else {
      const of = this.#word("kind");
      const length = this.#long("length");
      for (let i = 0; i < length; i++) this.#value(of);
    }
  }

  #string(): string {
    const length = this.#long("length");
    this.#position += length;
    return Buffer.from(this.#file.subarray(this.#position - length, this.#position)).toString();
  }

  #word(kind: FieldKind): number {
    const start = this.#note(kind, 4);
    return this.#view.getUint32(start, true);
  }

  #long(kind: FieldKind): number {
    const start = this.#note(kind, 8);
    return Number(this.#view.getBigUint64(start, true));
  }

  #note(kind: FieldKind, bytes: 4 | 8): number {
    const start = this.#position;
    this.#fields.push({ kind, owner: this.#owner, start, bytes });
    this.#position += bytes;
    return start;
  }
}
