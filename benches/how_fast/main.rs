//! How fast the server is, as ratios to floors that are measured in the same run.
//!
//! `cargo bench` runs everything and prints one table for each part; `cargo bench -- round-trip growth` runs
//! the parts of those names, `--quick` runs with fewer rounds, and `--check` makes a missed target an exit
//! code of 1. Every reply is compared with the one that is expected, so nothing here measures errors.

#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "figures are rounded for people")]

mod calls;
mod contention;
mod footprint;
mod growth;
mod peer;
mod pipelined;
mod raw;
mod round_trip;
mod table;

use std::process::ExitCode;
use std::time::Instant;

use table::Table;

/// How much is measured.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Whether figures may be coarse.
    pub quick: bool,
}

impl Effort {
    /// `usual` rounds, or a quarter of them.
    #[must_use]
    pub fn rounds(self, usual: usize) -> usize {
        if self.quick { usual.div_ceil(4) } else { usual }
    }
}

type Part = (&'static str, fn(Effort) -> Table);

const PARTS: [Part; 10] = [
    ("round-trip", round_trip::pinned),
    ("unpinned", round_trip::unpinned),
    ("large", round_trip::large),
    ("pipelined", pipelined::run),
    ("growth-session", |effort| growth::run(effort, false)),
    ("growth-persistent", |effort| growth::run(effort, true)),
    ("removing", growth::removing),
    ("footprint", footprint::run),
    ("areas", footprint::areas),
    ("contention", contention::run),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == peer::ECHO) {
        peer::echo(&arguments[1..]);
        return ExitCode::SUCCESS;
    }
    let effort = Effort { quick: arguments.iter().any(|argument| argument == "--quick") };
    let names: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let chosen = |part: &str| names.is_empty() || names.iter().any(|name| part.starts_with(name.as_str()));
    if let Some(unknown) = names.iter().find(|name| !PARTS.iter().any(|(part, _)| part.starts_with(name.as_str()))) {
        let parts: Vec<_> = PARTS.iter().map(|(part, _)| *part).collect();
        eprintln!("there is no part {unknown:?}; the parts are {}", parts.join(", "));
        return ExitCode::FAILURE;
    }
    let began = Instant::now();
    let mut missed = 0;
    println!("Load of the machine (1, 5, 15 minutes) at the start: {}", load());
    for (name, run) in PARTS {
        if chosen(name) {
            let table = run(effort);
            println!("\n{table}");
            missed += table.missed();
        }
    }
    println!("\nTook {:.0} s; load at the end: {}; {missed} targets missed.", began.elapsed().as_secs_f64(), load());
    if missed > 0 && arguments.iter().any(|argument| argument == "--check") { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
