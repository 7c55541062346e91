//! What one call costs a caller that waits for each reply.

use std::time::{Duration, Instant};

use crate::Effort;
use crate::calls::{Call, Calls, STORAGE, key, value};
use crate::peer::{Peer, on_one_core};
use crate::raw::Raw;
use crate::table::{Table, median, percentile};

const KEYS: usize = 100;

const METHODS: [&str; 2] = ["setItem", "getItem"];

const AREAS: [&str; 2] = ["session", "persistent"];

/// The times of one kind of call to one process, in microseconds, a figure for each round.
#[derive(Default)]
struct Times {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Times {
    fn round(&mut self, times: impl Iterator<Item = f64>) {
        let mut times: Vec<f64> = times.collect();
        self.p50.push(percentile(&mut times, 50));
        self.p99.push(percentile(&mut times, 99));
    }
}

/// For each of [`METHODS`]: the echo with the same sizes, and each of [`AREAS`].
type Measured = [(Times, [Times; 2]); 2];

fn measure(rounds: usize, count: usize) -> Measured {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let mut calls = Calls::new();
    let mut echoes = [sets, gets].map(|make| Peer::echo(&make(&mut calls, KEYS, 0)[0]));
    let mut servers = [false, true].map(|persistent| {
        let mut server = Peer::server(dir.path());
        server.open(persistent, "https://round-trip.example", STORAGE);
        server
    });
    let mut measured = Measured::default();
    for round in 0..rounds {
        for (make, (echo, (floor, areas))) in [sets, gets].iter().zip(echoes.iter_mut().zip(&mut measured)) {
            let calls = make(&mut calls, count, round);
            floor.round(calls.iter().map(|call| echo.exchange(call)));
            for (server, area) in servers.iter_mut().zip(areas) {
                area.round(calls.iter().map(|call| server.round_trip(call)));
            }
        }
    }
    measured
}

fn sets(calls: &mut Calls, count: usize, round: usize) -> Vec<Call> {
    (0..count).map(|n| calls.set(STORAGE, &key(n % KEYS), &value(n % KEYS, round * count + n))).collect()
}

/// Gets of what the sets of this round have left.
fn gets(calls: &mut Calls, count: usize, round: usize) -> Vec<Call> {
    let last_version = |n: usize| round * count + (count - KEYS) + n % KEYS;
    (0..count).map(|n| calls.get(STORAGE, &key(n % KEYS), Some(&value(n % KEYS, last_version(n))))).collect()
}

/// Caller and server on one core, where no wake-up of another core hides the cost.
pub fn pinned(effort: Effort) -> Table {
    const TARGETS: [[f64; 2]; 2] = [[1.45, 3.20], [1.40, 1.70]];
    let (measured, raw, interruptions) = on_one_core(|| (measure(effort.rounds(24), 2000), raw_commit(effort.rounds(24)), interruptions()));
    let mut table = Table::new("Round trip, caller and server on one core", "echo");
    for (method, (echo, areas)) in measured.iter().enumerate() {
        for (area, times) in areas.iter().enumerate() {
            let what = format!("{} {}", AREAS[area], METHODS[method]);
            ratio(&mut table, &format!("{what}, p50"), &echo.p50, &times.p50, TARGETS[method][area]);
            ratio(&mut table, &format!("{what}, p99"), &echo.p99, &times.p99, 2.0);
        }
    }
    let [(echo, [_, persistent]), _] = measured;
    let floor = median(&mut echo.p50.clone()) + raw;
    table.compare(
        "persistent setItem, p50; floor: the echo, and a commit of rusqlite in process",
        floor,
        median(&mut persistent.p50.clone()),
        "µs",
    );
    table.note("interruptions of a loop that only reads the clock", interruptions.round(), "/s");
    table
}

/// What a commit of one item takes in process, in microseconds: the p50 of the median round.
fn raw_commit(rounds: usize) -> f64 {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let raw = Raw::file(&dir.path().join("raw.sqlite"), KEYS);
    let mut p50: Vec<f64> = (0..rounds).map(|_| percentile(&mut raw.commits(2000, 1), 50)).collect();
    median(&mut p50)
}

/// How often in a second something else has the core for longer than [`GAP`], while this does nothing but read the clock.
/// A call of ten microseconds meets that once in a hundred times where it happens a thousand times a second, and
/// what it costs is then the p99.
fn interruptions() -> f64 {
    const LASTING: Duration = Duration::from_millis(500);
    const GAP: Duration = Duration::from_micros(3);
    let start = Instant::now();
    let (mut last, mut count) = (start, 0_u32);
    while last - start < LASTING {
        let now = Instant::now();
        count += u32::from(now - last > GAP);
        last = now;
    }
    f64::from(count) / LASTING.as_secs_f64()
}

/// Adds the median of the rounds' ratios, because noise comes and goes over several rounds.
fn ratio(table: &mut Table, what: &str, floor: &[f64], measured: &[f64], target: f64) {
    let mut ratios: Vec<f64> = measured.iter().zip(floor).map(|(measured, floor)| measured / floor).collect();
    let floor = median(&mut floor.to_vec());
    table.at_most(what, floor, floor * median(&mut ratios), "µs", target);
}

/// Caller and server wherever the scheduler puts them, as hosts run them.
pub fn unpinned(effort: Effort) -> Table {
    const TARGET: f64 = 12.0;
    let mut measured = measure(effort.rounds(12), 2000);
    let mut table = Table::new("Round trip, not pinned, p50", "");
    for (method, (echo, areas)) in measured.iter_mut().enumerate() {
        for (area, times) in areas.iter_mut().enumerate() {
            let p50 = median(&mut times.p50);
            let what = format!("{} {}", AREAS[area], METHODS[method]);
            if area == 0 {
                table.bound(&what, p50, "µs", "≤ 12 µs", p50 <= TARGET);
            } else {
                table.note(&what, p50, "µs");
            }
        }
        table.note(&format!("echo with {}'s sizes, which sleeps between calls", METHODS[method]), median(&mut echo.p50), "µs");
    }
    table
}

/// Values of 1 MiB. Each takes long enough for other work on the machine to come in between, so the tenth of a
/// hundred times is taken, not the fiftieth.
pub fn large(effort: Effort) -> Table {
    const SIZE: usize = 1 << 20;
    let mut table = Table::new("Values of 1 MiB, the best tenth", "echo of the same bytes");
    for (place, pinned) in [("one core", true), ("not pinned", false)] {
        for (area, persistent) in [("session", false), ("persistent", true)] {
            let measure = || {
                let dir = tempfile::tempdir().expect("a directory can be made");
                let mut calls = Calls::new();
                let value = |n: usize| format!("{n:08}").repeat(SIZE / 8);
                let (set, get) = (calls.set(STORAGE, &key(0), &value(0)), calls.get(STORAGE, &key(0), Some(&value(0))));
                let mut echoes = [Peer::echo(&set), Peer::echo(&get)];
                let mut server = Peer::server(dir.path());
                server.open(persistent, "https://large.example", STORAGE);
                let mut times: [[Vec<f64>; 2]; 2] = std::array::from_fn(|_| std::array::from_fn(|_| Vec::new()));
                for n in 0..effort.rounds(80) {
                    let calls = [calls.set(STORAGE, &key(n % 2), &value(n)), calls.get(STORAGE, &key(n % 2), Some(&value(n)))];
                    for (method, call) in calls.iter().enumerate() {
                        times[method][0].push(echoes[method].exchange(call));
                        times[method][1].push(server.round_trip(call));
                    }
                }
                times
            };
            let times = if pinned { on_one_core(measure) } else { measure() };
            for (name, [mut echo, mut server]) in METHODS.into_iter().zip(times) {
                table.at_most(&format!("{area} {name}, {place}"), percentile(&mut echo, 10), percentile(&mut server, 10), "µs", 2.0);
            }
        }
    }
    table
}
