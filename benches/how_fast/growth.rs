//! Whether the cost of a call grows with the number of keys.

use std::path::Path;

use crate::Effort;
use crate::calls::{Call, Calls, STORAGE, key, value};
use crate::peer::{Peer, on_one_core};
use crate::table::{Table, median};

const FEW: usize = 100;

const MANY: usize = 100_000;

/// Keys of one page.
const PAGE: usize = 20;

/// Calls of each kind in a round.
const CALLS: usize = 60;

const KINDS: [&str; 8] =
    ["getItem, hit", "getItem, miss", "setItem, new", "setItem, overwrite", "removeItem", "length", "key(i)", "keys, a page of 20"];

/// An area with so many items.
struct Filled {
    server: Peer,
    keys: usize,
    calls: Calls,
    /// Which version of its value each key has.
    versions: Vec<usize>,
}

impl Filled {
    fn new(dir: &Path, persistent: bool, keys: usize) -> Self {
        let mut server = Peer::server(dir);
        server.open(persistent, &format!("https://growth-{keys}.example"), STORAGE);
        let mut calls = Calls::new();
        let fill: Vec<Call> = (0..keys).map(|n| calls.set(STORAGE, &key(n), &value(n, 0))).collect();
        server.pipeline(&fill, 64);
        Filled { server, keys, calls, versions: vec![0; keys] }
    }

    /// The median time of each kind of call in microseconds: one caller that waits for each reply. Kinds that
    /// need the area to have its number of items come before those that change it, and those undo each other.
    fn round(&mut self, round: usize) -> [f64; KINDS.len()] {
        let Filled { server, keys, calls, versions } = self;
        let keys = *keys;
        // What was just written the server may have at hand, so other keys are read.
        let [picked, others] = [(); 2].map(|()| (0..CALLS).map(|_| fastrand::usize(..keys)).collect::<Vec<_>>());
        let mut time = |picked: &[usize], make: &mut dyn FnMut(usize, usize) -> Call| {
            let made: Vec<Call> = picked.iter().enumerate().map(|(n, pick)| make(n, *pick)).collect();
            let mut times: Vec<f64> = made.iter().map(|call| server.round_trip(call)).collect();
            median(&mut times)
        };
        // The versions of a key that is picked twice in a round must differ, and all must be known afterwards.
        for (n, pick) in picked.iter().enumerate() {
            versions[*pick] = 1 + round * CALLS + n;
        }
        let overwrite = time(&picked, &mut |n, pick| calls.set(STORAGE, &key(pick), &value(pick, 1 + round * CALLS + n)));
        let hit = time(&others, &mut |_, pick| calls.get(STORAGE, &key(pick), Some(&value(pick, versions[pick]))));
        let miss = time(&picked, &mut |_, pick| calls.get(STORAGE, &format!("{}x", key(pick)), None));
        let length = time(&picked, &mut |_, _| calls.length(STORAGE, keys));
        let nth = time(&picked, &mut |_, pick| calls.key(STORAGE, pick, Some(&key(pick))));
        let page = time(&picked, &mut |_, pick| {
            let after = pick.min(keys - PAGE - 1);
            let page: Vec<String> = (after + 1..=after + PAGE).map(key).collect();
            calls.keys(STORAGE, &key(after), &page)
        });
        let new = time(&picked, &mut |n, _| calls.set(STORAGE, &key(MANY + n), &value(n, round)));
        let remove = time(&picked, &mut |n, _| calls.remove(STORAGE, &key(MANY + n)));
        [hit, miss, new, overwrite, remove, length, nth, page]
    }
}

/// Every kind of call with few keys and with many.
pub fn run(effort: Effort, persistent: bool) -> Table {
    let title = if persistent { "Growth, persistent area" } else { "Growth, session area" };
    let mut table = Table::new(title, "with 100 keys");
    let dir = tempfile::tempdir().expect("a directory can be made");
    on_one_core(|| {
        let mut areas = [FEW, MANY].map(|keys| Filled::new(dir.path(), persistent, keys));
        let mut times: [[Vec<f64>; KINDS.len()]; 2] = std::array::from_fn(|_| std::array::from_fn(|_| Vec::new()));
        for round in 0..effort.rounds(60) {
            for (area, times) in areas.iter_mut().zip(&mut times) {
                for (time, times) in area.round(round).into_iter().zip(times) {
                    times.push(time);
                }
            }
        }
        let [few, many] = times.map(|kinds| kinds.map(|mut times| median(&mut times)));
        for (kind, (few, many)) in KINDS.into_iter().zip(few.into_iter().zip(many)) {
            table.at_most(&format!("{kind}; with 100,000 keys"), few, many, "µs", 1.5);
        }
    });
    table
}

/// Removing all items one by one, from the start and from the end: a tenth of the items must take a tenth of
/// the time.
pub fn removing(effort: Effort) -> Table {
    let many = if effort.quick { MANY / 5 } else { MANY };
    let mut table = Table::new("Removing all items by key(n) and removeItem", "a tenth of the items, a call");
    let dir = tempfile::tempdir().expect("a directory can be made");
    on_one_core(|| {
        for persistent in [false, true] {
            for from_end in [false, true] {
                let [few, all] = [many / 10, many].map(|keys| remove_all(dir.path(), persistent, from_end, keys));
                let area = if persistent { "persistent" } else { "session" };
                let end = if from_end { "from the end" } else { "key(0)" };
                table.at_most(&format!("{area}, {end}, {many} items, a call"), few, all, "µs", 1.5);
            }
        }
    });
    table
}

/// The mean time of one of the calls.
fn remove_all(dir: &Path, persistent: bool, from_end: bool, keys: usize) -> f64 {
    let Filled { mut server, mut calls, .. } = Filled::new(dir, persistent, keys);
    let mut spent = 0.0;
    for n in 0..keys {
        let (index, item) = if from_end { (keys - 1 - n, keys - 1 - n) } else { (0, n) };
        spent += server.round_trip(&calls.key(STORAGE, index, Some(&key(item))));
        spent += server.round_trip(&calls.remove(STORAGE, &key(item)));
    }
    server.round_trip(&calls.length(STORAGE, 0));
    spent / (2 * keys) as f64
}
