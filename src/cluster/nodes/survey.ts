/** I/O: a timer. A node's measurements of its links to the others: each pair is measured by the one whose name comes first. */

import { asClawError, type ClawError } from "../../base/mod.ts";
import type { Agent, NodeRecord } from "../membership/mod.ts";
import { SURVEY_LOOK_MS, SURVEY_RETRY_MS } from "./limits.ts";
import { type MeasuredLink, measureLink } from "./measure-link.ts";
import type { Asker } from "./request.ts";

export interface SurveyOptions {
  readonly agent: Agent;
  readonly asker: Asker;
  readonly clock: () => number;
  readonly onProblem: (node: string, problem: ClawError) => void;
}

interface Surveyed {
  readonly life: string;
  readonly link: MeasuredLink | undefined;
  /** When to try again. */
  readonly due: number;
}

export class Survey {
  readonly #options: SurveyOptions;
  /** By name. */
  readonly #surveyed = new Map<string, Surveyed>();
  readonly #timer: NodeJS.Timeout;
  #busy = false;

  constructor(options: SurveyOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.#look(), SURVEY_LOOK_MS);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Measures whoever is not measured, one after the other, and says it when that is all of them. */
  async #look(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    let changed = false;
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      changed = (await this.#measure(next)) || changed;
    }
    if (changed) this.#say();
    this.#busy = false;
  }

  #next(): NodeRecord | undefined {
    const { agent, asker, clock } = this.#options;
    return agent.status().peers.find(({ alive, node, life, record }) => {
      if (!alive || record.role !== "node" || record.address === null || node < asker.name) return false;
      const known = this.#surveyed.get(node);
      return known === undefined || known.life !== life || (known.link === undefined && clock() >= known.due);
    })?.record;
  }

  async #measure({ description, life, address }: NodeRecord): Promise<boolean> {
    const { asker, clock, onProblem } = this.#options;
    const { name } = description;
    if (address === null) return false;
    try {
      const link = await measureLink(address, asker);
      this.#surveyed.set(name, { life, link, due: Number.POSITIVE_INFINITY });
      return true;
    } catch (error) {
      const problem = asClawError(error);
      // It measures another link just now.
      const busy = problem.code === "E_NODE";
      this.#surveyed.set(name, {
        ...{ life, link: undefined },
        due: clock() + (busy ? SURVEY_LOOK_MS : SURVEY_RETRY_MS),
      });
      if (!busy) onProblem(name, problem);
      return false;
    }
  }

  #say(): void {
    const { agent, asker } = this.#options;
    const there = new Set(agent.status().peers.map(({ node, life }) => `${node} ${life}`));
    const links = [...this.#surveyed].flatMap(([node, { life, link }]) => {
      if (link === undefined || !there.has(`${node} ${life}`)) return [];
      return [{ between: [asker.name, node] as const, ...link }];
    });
    agent.say({ links });
  }
}
