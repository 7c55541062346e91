//! Eight processes that write one bottle.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::Effort;
use crate::calls::{Call, Calls, STORAGE, value};
use crate::peer::Peer;
use crate::table::{Table, percentile};

const WRITERS: usize = 8;

const ORIGIN: &str = "https://contention.example";

/// The longest wait, and whether what was acknowledged is there.
pub fn run(effort: Effort) -> Table {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let time = Duration::from_secs(if effort.quick { 2 } else { 10 });
    let mut table = Table::new("Eight processes writing one bottle", "");
    let written: Vec<Vec<f64>> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|writer| (writer, dir.path())).collect();
        let running: Vec<_> = writers.into_iter().map(|(writer, dir)| scope.spawn(move || write(writer, dir, time))).collect();
        running.into_iter().map(|writer| writer.join().expect("no call failed")).collect()
    });
    let total: usize = written.iter().map(Vec::len).sum();
    let fewest = written.iter().map(Vec::len).min().unwrap_or_default();
    let mut waits: Vec<f64> = written.iter().flatten().map(|micros| micros / 1e3).collect();
    let longest = percentile(&mut waits, 100);
    table.bound("longest wait of a call", longest, "ms", "≤ 1000 ms", longest <= 1000.0);
    table.note("p99 of a call", percentile(&mut waits, 99), "ms");
    table.note("setItem calls acknowledged, none failed", total as f64, "");
    table.note("of them by the writer that got the fewest turns", fewest as f64, "");

    // Every get is compared with the value that was acknowledged.
    let mut reader = Peer::server(dir.path());
    reader.open(true, ORIGIN, STORAGE);
    let mut calls = Calls::new();
    let gets: Vec<Call> = written
        .iter()
        .enumerate()
        .flat_map(|(writer, calls)| (0..calls.len()).map(move |n| (writer, n)))
        .map(|(writer, n)| calls.get(STORAGE, &key(writer, n), Some(&value(writer, n))))
        .collect();
    reader.pipeline(&gets, 256);
    table.bound("acknowledged writes that are there", gets.len() as f64, "", &format!("= {total}"), gets.len() == total);
    table
}

/// Writes new items one by one; the time that each took.
fn write(writer: usize, dir: &Path, time: Duration) -> Vec<f64> {
    let mut server = Peer::server(dir);
    server.open(true, ORIGIN, STORAGE);
    let mut calls = Calls::new();
    let began = Instant::now();
    let mut waits = Vec::new();
    while began.elapsed() < time {
        waits.push(server.round_trip(&calls.set(STORAGE, &key(writer, waits.len()), &value(writer, waits.len()))));
    }
    waits
}

fn key(writer: usize, n: usize) -> String {
    format!("writer-{writer}-{n:07}")
}
