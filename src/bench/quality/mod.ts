export { type Agreement, continuations, measureAgreement, type Passage } from "./agreement.ts";
export { measureDivergence } from "./divergence.ts";
export { FACTORS_DEFAULT, LAYERS_DEFAULT, PERPLEXITY_WINDOW, SEEDS_DEFAULT } from "./limits.ts";
export { comparePerplexity } from "./perplexity.ts";
export type { LossyFormat, Mixture, QualityReport } from "./report.ts";
