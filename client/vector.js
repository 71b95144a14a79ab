// How two position vectors compare: as via_state/live/protocol/vector.py does, and tests/live/vectors.json says.
export const SAME = 0, BEHIND = 1, OTHER = 2, AHEAD = 3;
const keys = (vector) => Object.keys(vector), has = Object.hasOwn;

function order([epoch, offset, record], [herEpoch, herOffset, herRecord]) {
  const begun = (epoch || offset) && (herEpoch || herOffset);
  if ((begun && epoch !== herEpoch) || (record === "-") !== (herRecord === "-")) return OTHER;
  return offset < herOffset ? BEHIND : offset > herOffset ? AHEAD : record === herRecord ? SAME : OTHER;
}

/** What is shown, seen from what is here; where keys differ, the highest counts. */
export const compare = (shown, here) =>
  Math.max(SAME, ...keys({ ...shown, ...here }).map((key) => (has(shown, key) && has(here, key) ? order(shown[key], here[key]) : OTHER)));

/** Whether what is shown holds all that is wanted. */
export const covers = (shown, wanted) =>
  keys(wanted).every((key) => shown[key]?.[0] === wanted[key][0] && shown[key][1] >= wanted[key][1]);
