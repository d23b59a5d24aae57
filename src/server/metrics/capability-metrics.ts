/** What is counted of capability tokens, as metrics. */

import type { Registry } from "prom-client";
import type { CapabilityCounts } from "../../capability/mod.ts";
import { counted } from "./engine-metrics.ts";

export function addCapabilityMetrics(registry: Registry, counts: CapabilityCounts): void {
  counted(registry, {
    name: "claw:capability_authorizations_total",
    help: "Operations that capability tokens allowed.",
    values: () => ({ "": counts.allowed }),
  });
  counted(registry, {
    name: "claw:capability_denials_total",
    help: "Operations that capability tokens did not allow, by the error's code.",
    label: "code",
    values: () => ({ ...counts.denied }),
  });
  counted(registry, {
    name: "claw:capability_cache_hits_total",
    help: "Decisions on capability tokens that were remembered.",
    values: () => ({ "": counts.cacheHits }),
  });
  counted(registry, {
    name: "claw:capability_watchdog_kills_total",
    help: "Workers that were ended because a capability token took too long.",
    values: () => ({ "": counts.watchdogKills }),
  });
}
