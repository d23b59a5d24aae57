/** I/O: links between processes of one machine, over Unix sockets. Each message follows its length, 32 bits little-endian. */

import { connect, createServer, type Server, type Socket } from "node:net";
import { ClawError } from "../../base/mod.ts";
import type { RankLink } from "../../kernels/mod.ts";
import { lengthError } from "./memory-link.ts";

const LENGTH_BYTES = 4;

export class SocketLink implements RankLink {
  readonly #socket: Socket;
  /** Who it leads to, for errors. */
  readonly #name: string;
  #receiving: Promise<void> = Promise.resolve();
  #failure: ClawError | undefined;

  constructor(socket: Socket, name: string) {
    this.#socket = socket;
    this.#name = name;
    const fail = (why: string): void => {
      this.#failure ??= new ClawError("E_LINK", `The link to ${name} ${why}.`);
    };
    socket.on("error", (error) => fail(`broke: ${error.message}`));
    socket.on("end", () => fail("ended"));
    socket.on("close", () => fail("is closed"));
  }

  send(bytes: Uint8Array): Promise<void> {
    const length = new Uint8Array(LENGTH_BYTES);
    new DataView(length.buffer).setUint32(0, bytes.byteLength, true);
    return new Promise((resolve, reject) => {
      this.#socket.cork();
      this.#socket.write(length);
      this.#socket.write(bytes, (error) => (error ? reject(this.#error(error)) : resolve()));
      this.#socket.uncork();
    });
  }

  receive(into: Uint8Array): Promise<void> {
    const received = this.#receiving.then(() => this.#receive(into));
    // Whoever waits for this message hears of its failure; the next one meets it again.
    this.#receiving = received.catch(() => undefined);
    return received;
  }

  close(): void {
    this.#socket.destroy();
  }

  async #receive(into: Uint8Array): Promise<void> {
    const length = (await this.#read(LENGTH_BYTES)).readUInt32LE();
    if (length !== into.byteLength) throw lengthError(length, into.byteLength);
    if (length > 0) into.set(await this.#read(length));
  }

  async #read(bytes: number): Promise<Buffer> {
    for (;;) {
      // At its end a stream hands out what is left, however little that is.
      const chunk = this.#socket.read(bytes) as Buffer | null;
      if (chunk !== null && chunk.byteLength === bytes) return chunk;
      if (chunk !== null || this.#socket.destroyed || this.#socket.readableEnded) throw this.#error();
      await this.#readable();
    }
  }

  #readable(): Promise<void> {
    return new Promise((resolve) => {
      const settle = (): void => {
        for (const event of ["readable", "end", "close"]) this.#socket.off(event, settle);
        resolve();
      };
      for (const event of ["readable", "end", "close"]) this.#socket.once(event, settle);
    });
  }

  #error(cause?: Error): ClawError {
    if (this.#failure !== undefined) return this.#failure;
    const why = cause === undefined ? "ended" : `broke: ${cause.message}`;
    return new ClawError("E_LINK", `The link to ${this.#name} ${why}.`, { cause });
  }
}

/** Waits for links at the path of a socket. */
export class SocketListener {
  readonly #server: Server;
  readonly #arrived: Socket[] = [];
  readonly #waiting: ((socket: Socket) => void)[] = [];

  /** E_FILE when there can be no socket. */
  static async open(path: string): Promise<SocketListener> {
    const server = createServer();
    const listener = new SocketListener(server);
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause) =>
        reject(new ClawError("E_FILE", `Cannot listen at ${path}: ${cause.message}.`, { cause })),
      );
      server.listen(path, resolve);
    });
    return listener;
  }

  private constructor(server: Server) {
    this.#server = server;
    server.on("connection", (socket) => {
      const waiting = this.#waiting.shift();
      if (waiting === undefined) this.#arrived.push(socket);
      else waiting(socket);
    });
  }

  /** The next link; its name is not known before it says who it is. */
  async accept(): Promise<SocketLink> {
    const arrived = this.#arrived.shift();
    const socket = arrived ?? (await new Promise<Socket>((resolve) => this.#waiting.push(resolve)));
    return new SocketLink(socket, "a process that has not said who it is");
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#arrived.splice(0)) socket.destroy();
  }
}

/** Connects to a listener. E_LINK when nobody listens. */
export function connectSocket(path: string, name: string): Promise<SocketLink> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("error", (cause) => {
      reject(new ClawError("E_LINK", `Cannot reach ${name} at ${path}: ${cause.message}.`, { cause }));
    });
    socket.once("connect", () => resolve(new SocketLink(socket, name)));
  });
}
