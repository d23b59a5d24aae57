/** Somebody between two nodes, who reads all that passes and changes a frame of data. */

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import type { LinkAddress } from "../../../src/kernels/mod.ts";

const HEADER_BYTES = 32;
const TAG_BYTES = 16;
const DATA = 1;

/** What becomes of the frame of data with a number, counted in its direction. */
export type Change = (frame: Buffer) => readonly Buffer[];

export class Wire {
  readonly #server: Server;
  readonly #sockets: Socket[] = [];
  readonly #passed: Buffer[] = [];
  changed = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Listens before `target`; of what goes there, changes the data frame of this number. */
  static async open(target: LinkAddress, number: number, change: Change): Promise<Wire> {
    const server = createServer();
    const wire = new Wire(server);
    server.on("connection", (near) => {
      const far = connect(target.port, target.host);
      wire.#join(near, far, (frame, index) => {
        if (index !== number) return [frame];
        wire.changed++;
        return change(frame);
      });
      wire.#join(far, near, (frame) => [frame]);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return wire;
  }

  get address(): LinkAddress {
    return { driver: "tcp", host: "127.0.0.1", port: (this.#server.address() as AddressInfo).port };
  }

  /** Everything that passed. */
  get passed(): Buffer {
    return Buffer.concat(this.#passed);
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #join(from: Socket, to: Socket, change: (frame: Buffer, index: number) => readonly Buffer[]): void {
    let held = Buffer.alloc(0);
    let data = 0;
    this.#sockets.push(from);
    from.on("data", (bytes) => {
      this.#passed.push(bytes);
      held = Buffer.concat([held, bytes]);
      for (let frame = takeFrame(held); frame !== undefined; frame = takeFrame(held)) {
        held = held.subarray(frame.length);
        const isData = frame.readUInt16LE(6) === DATA;
        for (const part of change(frame, isData ? data++ : -1)) to.write(part);
      }
    });
    from.on("error", () => {});
    from.on("close", () => to.end());
  }
}

/** The frame that the bytes begin with, if it is whole. What is sealed has a tag: everything but the handshake. */
function takeFrame(bytes: Buffer): Buffer | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  const sealed = bytes.readUInt16LE(6) === DATA ? TAG_BYTES : 0;
  const length = HEADER_BYTES + bytes.readUInt32LE(24) + sealed;
  return bytes.length < length ? undefined : bytes.subarray(0, length);
}
