//! Throughput of one connection whose caller does not wait for each reply.

use crate::Effort;
use crate::calls::{Call, Calls, STORAGE, key, value};
use crate::peer::Peer;
use crate::raw::Raw;
use crate::table::Table;

const KEYS: usize = 1000;

const WINDOWS: [usize; 2] = [64, 1024];

/// Throughput with 64 and with 1024 calls in flight.
pub fn run(effort: Effort) -> Table {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let mut table = Table::new("Pipelined calls of one connection, best round", "floor");
    let rounds = effort.rounds(12);
    session(&mut table, rounds, dir.path());
    persistent_sets(&mut table, rounds, dir.path());
    persistent_gets(&mut table, rounds, dir.path());
    table
}

/// Runs every subject once a round and gives the best of each: other work on the machine can only slow a round
/// down.
fn best<const N: usize>(rounds: usize, mut subject: impl FnMut(usize) -> f64) -> [f64; N] {
    let mut figures: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    for _ in 0..rounds {
        for (which, figures) in figures.iter_mut().enumerate() {
            figures.push(subject(which) / 1000.0);
        }
    }
    figures.map(|figures| figures.into_iter().fold(0.0, f64::max))
}

fn server(dir: &std::path::Path, persistent: bool, origin: &str, calls: &mut Calls) -> Peer {
    let mut server = Peer::server(dir);
    server.open(persistent, origin, STORAGE);
    let fill: Vec<Call> = (0..KEYS).map(|n| calls.set(STORAGE, &key(n), &value(n, 0))).collect();
    server.pipeline(&fill, 64);
    server
}

fn session(table: &mut Table, rounds: usize, dir: &std::path::Path) {
    const COUNT: usize = 40_000;
    let mut calls = Calls::new();
    let mut server = server(dir, false, "https://mixed.example", &mut calls);
    let raw = Raw::memory(KEYS);
    let mut version = 0;
    let [raw, one, two] = best(rounds, |which| {
        if which == 0 {
            return raw.mixed(COUNT);
        }
        let mixed: Vec<Call> = (0..COUNT)
            .map(|n| {
                let item = n / 2 % KEYS;
                if n % 2 == 0 {
                    version += 1;
                    calls.set(STORAGE, &key(item), &value(item, version))
                } else {
                    calls.get(STORAGE, &key(item), Some(&value(item, version)))
                }
            })
            .collect();
        server.pipeline(&mixed, WINDOWS[which - 1])
    });
    for (window, rate) in WINDOWS.into_iter().zip([one, two]) {
        let what = format!("session, half getItem half setItem, {window} in flight");
        table.bound(&what, rate, "k/s", "≥ 450 k/s", rate >= 450.0);
        table.at_least(&format!("{what}; floor: rusqlite in process, one transaction"), raw, rate, "k/s", 0.4);
    }
}

fn persistent_sets(table: &mut Table, rounds: usize, dir: &std::path::Path) {
    const COUNT: usize = 20_000;
    let mut calls = Calls::new();
    let mut server = server(dir, true, "https://sets.example", &mut calls);
    let raw = Raw::file(&dir.join("raw.sqlite"), KEYS);
    let mut version = 0;
    let [raw, one, two] = best(rounds, |which| {
        if which == 0 {
            return raw.sets(COUNT, 64);
        }
        version += 1;
        let sets: Vec<Call> = (0..COUNT).map(|n| calls.set(STORAGE, &key(n % KEYS), &value(n % KEYS, version * COUNT + n))).collect();
        server.pipeline(&sets, WINDOWS[which - 1])
    });
    let what = |window| format!("persistent setItem, {window} in flight; floor: rusqlite in process, 64 a transaction");
    table.at_least(&what(WINDOWS[0]), raw, one, "k/s", 0.55);
    table.at_least(&what(WINDOWS[1]), raw, two, "k/s", 0.55);
}

/// The floor is the same server with calls that alternate between two bottles, which makes it use a read
/// transaction for each.
fn persistent_gets(table: &mut Table, rounds: usize, dir: &std::path::Path) {
    const COUNT: usize = 40_000;
    const OTHER: u32 = STORAGE + 1;
    let mut calls = Calls::new();
    let mut server = server(dir, true, "https://gets.example", &mut calls);
    server.open(true, "https://gets-2.example", OTHER);
    let fill: Vec<Call> = (0..KEYS).map(|n| calls.set(OTHER, &key(n), &value(n, 0))).collect();
    server.pipeline(&fill, 64);
    let [alone, one, two] = best(rounds, |which| {
        let storage = |n: usize| if which == 0 && n % 2 == 1 { OTHER } else { STORAGE };
        let gets: Vec<Call> = (0..COUNT).map(|n| calls.get(storage(n), &key(n % KEYS), Some(&value(n % KEYS, 0)))).collect();
        server.pipeline(&gets, if which == 2 { WINDOWS[1] } else { WINDOWS[0] })
    });
    let what = |window| format!("persistent getItem, {window} in flight; floor: a read transaction a call");
    table.at_least(&what(WINDOWS[0]), alone, one, "k/s", 2.5);
    table.at_least(&what(WINDOWS[1]), alone, two, "k/s", 2.5);
}
