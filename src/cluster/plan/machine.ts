/** A cluster as numbers, by index: what the search reads in its inner loops. */

import { at, ClawError } from "../../base/mod.ts";
import type { WeightFormat } from "../../kernels/mod.ts";
import type { ClusterDescription, FormatSpeed, LinkSpeed, NodeDescription } from "./description.ts";

export interface Machine {
  readonly name: string;
  readonly memoryBytes: number;
  readonly speed: FormatSpeed;
  readonly kvBytesPerSecond: number;
  readonly layerSeconds: number;
}

/** The nodes measured in a format, by name, and the links between them. */
export class Machines {
  readonly list: readonly Machine[];
  readonly #links: readonly (readonly LinkSpeed[])[];
  readonly #twins: readonly (number | undefined)[];

  private constructor(list: readonly Machine[], links: readonly (readonly LinkSpeed[])[]) {
    this.list = list;
    this.#links = links;
    this.#twins = list.map((_, node) => this.#twinOf(node));
  }

  /** E_NODES where no node was measured in the format. */
  static of({ nodes, links, network = NO_LINK }: ClusterDescription, format: WeightFormat): Machines {
    const list = nodes
      .flatMap((node) => machineOf(node, format))
      // By code units: the same on every machine, whatever its language.
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    if (list.length === 0) {
      throw new ClawError("E_NODES", `None of the ${nodes.length} nodes was measured with ${format}.`);
    }
    const speeds = new Map(
      links.flatMap((link) =>
        [link.between, link.between.toReversed()].map((pair) => [pair.join(" "), link]),
      ),
    );
    const rows = list.map(({ name }) => list.map((other) => speeds.get(`${name} ${other.name}`) ?? network));
    return new Machines(list, rows);
  }

  /** The same with so many more bytes of memory in each. */
  withMemory(bytes: number): Machines {
    const list = this.list.map((machine) => ({ ...machine, memoryBytes: machine.memoryBytes + bytes }));
    return new Machines(list, this.#links);
  }

  at(index: number): Machine {
    return at(this.list, index);
  }

  indexOf(name: string): number {
    return this.list.findIndex((machine) => machine.name === name);
  }

  /** The last node before this one that differs by nothing but its name: exchanging the two changes no plan's speed. */
  twinBefore(node: number): number | undefined {
    return this.#twins[node];
  }

  link(a: number, b: number): LinkSpeed {
    return at(at(this.#links, a), b);
  }

  #twinOf(node: number): number | undefined {
    for (let other = node - 1; other >= 0; other--) if (this.#alike(node, other)) return other;
    return undefined;
  }

  #alike(a: number, b: number): boolean {
    const nameless = (node: number): string => JSON.stringify({ ...this.at(node), name: "" });
    if (nameless(a) !== nameless(b)) return false;
    return this.list.every((_, third) => {
      if (third === a || third === b) return true;
      const [near, far] = [this.link(a, third), this.link(b, third)];
      return near.latencySeconds === far.latencySeconds && near.bytesPerSecond === far.bytesPerSecond;
    });
  }
}

const NO_LINK: LinkSpeed = { latencySeconds: Number.POSITIVE_INFINITY, bytesPerSecond: 1 };

function machineOf(node: NodeDescription, format: WeightFormat): Machine[] {
  const { name, memoryBytes, kvBytesPerSecond, layerSeconds } = node;
  const speed = node.formats[format];
  return speed === undefined ? [] : [{ name, memoryBytes, speed, kvBytesPerSecond, layerSeconds }];
}
