/**
 * How a link begins: two messages of a Noise handshake that carry what each side says of itself, then a message that proves the
 * session's key. A link over UCX is changed to it after that. docs/reference/links.md has the bytes.
 */

import { timingSafeEqual } from "node:crypto";
import { z } from "zod";
import { ClawError } from "../../base/mod.ts";
import { concat, fromUtf8, utf8 } from "../../crypto/mod.ts";
import {
  LINK_FRAME_VERSION,
  LINK_HELLO_BYTES_MAX,
  LINK_MESSAGE_BYTES_MAX,
  type Link,
  type Patience,
} from "../../kernels/mod.ts";
import { HANDSHAKE_MS, NODE_NAME_MAX } from "./limits.ts";
import { NoiseHandshake, type NoiseKeys } from "./noise.ts";

export interface LinkSettings {
  /** Of the cluster: SECRET_BYTES bytes that all its nodes have. */
  readonly secret: Uint8Array;
  /** This node's name. */
  readonly node: string;
  /** Of the plan that this node works for; peers of another one are refused. */
  readonly epoch: number;
  /** Undefined: LINK_MESSAGE_BYTES_MAX. The smaller one of both sides holds. */
  readonly messageBytesMax?: number | undefined;
  /** How long each message may take; undefined: HANDSHAKE_MS. */
  readonly handshakeMs?: number | undefined;
}

/** A link that is open, to a node that has the cluster's secret. */
export interface PeerLink {
  readonly link: Link;
  /** The other node's name. */
  readonly peer: string;
  readonly messageBytesMax: number;
}

/** Of the handshake and of all that is agreed in it; goes before each message in the clear. */
const VERSION = LINK_FRAME_VERSION;
const VERSION_BYTES = 2;
const PROLOGUE = utf8(`openclaw link ${VERSION}`);
const SPIN_MICROS = 50;

const introductionShape = z.strictObject({
  node: z.string().min(1).max(NODE_NAME_MAX),
  epoch: z.int().nonnegative(),
  messageBytesMax: z.int().positive().max(LINK_MESSAGE_BYTES_MAX),
});
type Introduction = z.infer<typeof introductionShape>;

/** The side that asked for the link. Errors: those of a link; E_LINK_PEER where secret, version or epoch differ. */
export function introduce(link: Link, settings: LinkSettings): Promise<PeerLink> {
  return orClose(link, async () => {
    const noise = new NoiseHandshake(PROLOGUE, settings.secret);
    await say(link, noise.write(encode(settings)), settings);
    const peer = decode(noise.readAnswer(await hear(link, settings)));
    const opened = open(link, { settings, peer, keys: noise.split(), asked: true });
    await link.send(noise.split().confirmation, patience(settings));
    return changed(opened, settings);
  });
}

/** The side that was asked. Errors: the same. */
export function welcome(link: Link, settings: LinkSettings): Promise<PeerLink> {
  return orClose(link, async () => {
    const noise = new NoiseHandshake(PROLOGUE, settings.secret);
    const question = await hear(link, settings);
    const peer = decode(noise.read(question));
    await say(link, noise.writeAnswer(encode(settings), question), settings);
    const opened = open(link, { settings, peer, keys: noise.split(), asked: false });
    const { confirmation } = noise.split();
    const proof = new Uint8Array(confirmation.length);
    const bytes = await link.receive(proof, patience(settings));
    if (bytes !== proof.length || !timingSafeEqual(proof, confirmation)) {
      throw new ClawError("E_LINK_PEER", "A peer's handshake was not its own.");
    }
    return changed(opened, settings);
  });
}

async function changed(opened: PeerLink, settings: LinkSettings): Promise<PeerLink> {
  if (opened.link.driver === "ucx") await opened.link.change(patience(settings));
  return opened;
}

interface Agreement {
  readonly settings: LinkSettings;
  readonly peer: Introduction;
  readonly keys: NoiseKeys;
  /** Whether this side asked for the link. */
  readonly asked: boolean;
}

function open(link: Link, { settings, peer, keys, asked }: Agreement): PeerLink {
  if (peer.epoch !== settings.epoch) {
    const message = `Node ${peer.node} is at epoch ${peer.epoch} of the cluster's plan, this node at ${settings.epoch}.`;
    throw new ClawError("E_LINK_PEER", message);
  }
  const messageBytesMax = Math.min(peer.messageBytesMax, ownMax(settings));
  const [own, theirs] = asked ? [keys.initiator, keys.responder] : [keys.responder, keys.initiator];
  link.open({
    epoch: settings.epoch,
    messageBytesMax,
    keys: link.driver === "shared" ? new Uint8Array() : concat(own, theirs),
  });
  return { link, peer: peer.node, messageBytesMax };
}

async function orClose(link: Link, handshake: () => Promise<PeerLink>): Promise<PeerLink> {
  try {
    return await handshake();
  } catch (error) {
    await link.close("handshake");
    throw error;
  }
}

function say(link: Link, message: Uint8Array, settings: LinkSettings): Promise<void> {
  return link.send(concat(Uint8Array.of(VERSION & 0xff, VERSION >> 8), message), patience(settings));
}

async function hear(link: Link, settings: LinkSettings): Promise<Uint8Array> {
  const into = new Uint8Array(LINK_HELLO_BYTES_MAX);
  const message = into.subarray(0, await link.receive(into, patience(settings)));
  const [low = 0, high = 0] = message;
  const version = low + 256 * high;
  if (message.length < VERSION_BYTES || version !== VERSION) {
    throw new ClawError("E_LINK_PEER", `A peer speaks version ${version} of links, this node ${VERSION}.`);
  }
  return message.subarray(VERSION_BYTES);
}

function encode(settings: LinkSettings): Uint8Array {
  const { node, epoch } = settings;
  const introduction: Introduction = { node, epoch, messageBytesMax: ownMax(settings) };
  return utf8(JSON.stringify(introduction));
}

function decode(bytes: Uint8Array): Introduction {
  try {
    return introductionShape.parse(JSON.parse(fromUtf8(bytes)));
  } catch (error) {
    throw new ClawError("E_LINK_PEER", "A peer's introduction is not what nodes say.", { cause: error });
  }
}

const ownMax = (settings: LinkSettings): number => settings.messageBytesMax ?? LINK_MESSAGE_BYTES_MAX;

function patience({ handshakeMs = HANDSHAKE_MS }: LinkSettings): Patience {
  return { spinMicros: SPIN_MICROS, limitMs: handshakeMs };
}
