export { FailureDetector } from "./detector.ts";
