// The measurements, the same for every storage and in every runtime. Times are medians of batches, in
// nanoseconds for one operation.

const BUDGET = 120;

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

/** Runs batches of `size` operations until the time is up and gives the median time of one operation. */
function timed(size, batch) {
  const times = [];
  const end = performance.now() + BUDGET;
  for (let round = 0; round < 3 || (performance.now() < end && round < 10_000); round++) {
    const start = performance.now();
    batch(round);
    times.push(((performance.now() - start) * 1e6) / size);
  }
  return median(times);
}

let sink;

/** Measures a storage with a number of keys of 20 characters and values of about 100. */
export function measure(storage, count) {
  const keys = Array.from({ length: count }, (_, n) => `key-${n}`.padEnd(20, "."));
  // SQLite does not write what has not changed, so each round has values of its own.
  const values = Array.from({ length: 16 }, (_, n) => `${n}`.padEnd(100, "v"));
  const size = Math.min(count, 1000);
  const picked = Array.from({ length: size }, (_, n) => keys[(n * 7919) % count]);
  storage.clear();
  for (const key of keys) storage.setItem(key, values[0]);
  const results = {};
  results.getItem = timed(size, () => {
    for (let n = 0; n < size; n++) sink = storage.getItem(picked[n]);
  });
  results.setItem = timed(size, (round) => {
    for (let n = 0; n < size; n++) storage.setItem(picked[n], values[(round + n) & 15]);
  });
  results.length = timed(size, () => {
    for (let n = 0; n < size; n++) sink = storage.length;
  });
  results.key = timed(size, () => {
    for (let n = 0; n < size; n++) sink = storage.key(n);
  });
  results["key, anywhere"] = timed(100, () => {
    for (let n = 0; n < 100; n++) sink = storage.key((n * 7919) % count);
  });
  results["for in, each key"] = timed(count, () => {
    for (const key in storage) sink = key;
  });
  results["named get"] = timed(size, () => {
    for (let n = 0; n < size; n++) sink = storage[picked[n]];
  });
  results["add and remove"] = timed(size, () => {
    for (let n = 0; n < size; n++) {
      storage.setItem("another", values[0]);
      storage.removeItem("another");
    }
  });
  return results;
}
