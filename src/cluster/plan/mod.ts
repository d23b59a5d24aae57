export {
  type ClusterDescription,
  type LinkDescription,
  type NodeDescription,
  nodeSchema,
  parseCluster,
  parseNode,
} from "./description.ts";
export { ROWS_MAX } from "./limits.ts";
export { type ModelCosts, modelCosts } from "./model-costs.ts";
export { placementOf, rankNodes } from "./placement.ts";
export type { Plan, PlanRank, PlanStage, Range } from "./plan.ts";
export { keepOrPlan, type PlanConstraints, type Planned, planCluster, predictPlan } from "./planner.ts";
export { PlannerThread } from "./planner-thread.ts";
