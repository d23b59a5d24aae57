/** What a trained model is measured against. */

export { ByteGrams } from "./kneser-ney.ts";
