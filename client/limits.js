// How long everything waits, in milliseconds, and what else is counted. No import comes first: the bundler writes these where they are used.
export const FIRST = 500, LONGEST = 20000, QUIET = 60000, PATIENCE = 3000, GRACE = 1500, STABLE = 10000, SOCKETS_AGAIN = 20, ASLEEP = 4100;
export const LONGEST_HOLD = 2000, LONGEST_GHOST = 10000, RELOADS = 60000;
