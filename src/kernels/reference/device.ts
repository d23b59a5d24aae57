/**
 * I/O: reads tensor bytes from files.
 *
 * The reference device: walks the tape one operation and one row at a time, in TypeScript. It defines the bits every
 * other device must give, and it serves (slowly) where no native core could be built.
 */

import { closeSync, openSync, readSync } from "node:fs";
import { assert, at, ClawError } from "../../base/mod.ts";
import { dequantize, sourceByteLength } from "../../tensor/mod.ts";
import type {
  Device,
  DeviceMemory,
  Executable,
  KvShape,
  MatrixSource,
  MatrixSpec,
  Program,
  RankLink,
  StepLimits,
} from "../contract.ts";
import { ReferenceKv } from "./attention.ts";
import { ReferenceExecutable, type ReferenceStore } from "./executable.ts";
import { type ReferenceMatrix, sealMatrix } from "./weights.ts";

export class ReferenceDevice implements Device, ReferenceStore {
  readonly name = "reference";
  readonly threads = 1;
  readonly matrices: ReferenceMatrix[] = [];
  readonly vectors: Float32Array[] = [];
  kv: ReferenceKv | undefined;
  #bufferBytes = 0;

  async loadMatrix(spec: MatrixSpec, source: MatrixSource): Promise<number> {
    const rowBytes = sourceByteLength(source.type, spec.columns);
    const row = new Float32Array(spec.columns);
    const bytes = openRows(source.data, rowBytes);
    try {
      const matrix = sealMatrix(spec, (index) => {
        dequantize(source.type, bytes.row(index), row);
        return row;
      });
      return this.matrices.push(matrix) - 1;
    } finally {
      bytes.close();
    }
  }

  loadVector(values: Float32Array): number {
    return this.vectors.push(values.slice()) - 1;
  }

  allocateKv(shape: KvShape): void {
    this.kv = new ReferenceKv(shape);
  }

  get kvPageBytes(): number {
    return this.kv === undefined ? 0 : this.kv.page(0).reduce((sum, part) => sum + part.byteLength, 0);
  }

  copyPage(from: number, to: number): void {
    const kv = this.requireKv();
    const parts = kv.page(from);
    for (const [i, part] of kv.page(to).entries()) part.set(at(parts, i));
  }

  readPage(page: number, bytes: Uint8Array): void {
    assert(bytes.byteLength === this.kvPageBytes, "A KV page has another size.");
    let offset = 0;
    for (const part of this.requireKv().heads(page)) {
      bytes.set(bytesOf(part), offset);
      offset += part.byteLength;
    }
  }

  writePage(page: number, bytes: Uint8Array): void {
    assert(bytes.byteLength === this.kvPageBytes, "A KV page has another size.");
    let offset = 0;
    for (const part of this.requireKv().heads(page)) {
      bytesOf(part).set(bytes.subarray(offset, offset + part.byteLength));
      offset += part.byteLength;
    }
  }

  discardPage(page: number): void {
    this.requireKv().clear(page);
  }

  prepare(program: Program, limits: StepLimits, links: readonly RankLink[] = []): Executable {
    const executable = new ReferenceExecutable(this, program, { limits, links });
    this.#bufferBytes += executable.bytes;
    return executable;
  }

  memory(): DeviceMemory {
    const matrixBytes = this.matrices.reduce((sum, m) => sum + m.values.byteLength + m.scales.byteLength, 0);
    const vectorBytes = this.vectors.reduce((sum, v) => sum + v.byteLength, 0);
    const kv = this.kvPageBytes * (this.kv?.shape.pages ?? 0);
    return { weights: matrixBytes + vectorBytes, kv, buffers: this.#bufferBytes };
  }

  close(): void {
    this.matrices.length = 0;
    this.vectors.length = 0;
    this.kv = undefined;
  }

  matrix(id: number): ReferenceMatrix {
    return at(this.matrices, id);
  }

  vector(id: number): Float32Array {
    return at(this.vectors, id);
  }

  requireKv(): ReferenceKv {
    assert(this.kv !== undefined, "The KV cache is allocated before a program that uses it runs.");
    return this.kv;
  }
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

interface RowReader {
  row(index: number): Uint8Array;
  close(): void;
}

function openRows(data: MatrixSource["data"], rowBytes: number): RowReader {
  if (data instanceof Uint8Array) {
    return {
      row: (index) => data.subarray(index * rowBytes, (index + 1) * rowBytes),
      close: () => undefined,
    };
  }
  const descriptor = openSync(data.file, "r");
  const buffer = new Uint8Array(rowBytes);
  const row = (index: number): Uint8Array => {
    const read = readSync(descriptor, buffer, 0, rowBytes, data.offset + index * rowBytes);
    if (read !== rowBytes) throw new ClawError("E_FILE", `Reading row ${index} of ${data.file} ended early.`);
    return buffer;
  };
  return { row, close: () => closeSync(descriptor) };
}
