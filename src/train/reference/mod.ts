export { referenceTraining } from "./trainer.ts";
