export { openJournal, openNatsJournal } from "./nats-journal.ts";
