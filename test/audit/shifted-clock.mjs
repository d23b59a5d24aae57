// Loaded before a server's own modules: its clock is set back by an hour at every SIGUSR2, and begins as far off as it is told.

const trueNow = Date.now;
let shift = Number(process.env.TEST_CLOCK_SHIFT_MS ?? 0);
Date.now = () => trueNow() + shift;
process.on("SIGUSR2", () => {
  shift -= 3_600_000;
});
