export { workEpoch } from "./epoch.ts";
export { machineName, NODE_NAME } from "./name.ts";
export { ClusterNode, type ModelOnNode } from "./node.ts";
export { observeCluster } from "./observe.ts";
export { offersOf } from "./offers.ts";
export { openOnNodes } from "./remote-ranks.ts";
export { askNode } from "./request.ts";
export { ClusterServer, sourceModule } from "./server.ts";
