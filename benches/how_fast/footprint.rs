//! Starting, memory, size, and what areas leave behind.

use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::Effort;
use crate::calls::{Call, Calls, STORAGE, key, open_params, value};
use crate::peer::Peer;
use crate::table::{Table, median};

/// Start to first reply, idle memory, and the size of the binary.
pub fn run(effort: Effort) -> Table {
    const MIB: f64 = 6.0;
    const MEGABYTES: f64 = 6.0;
    let dir = tempfile::tempdir().expect("a directory can be made");
    let mut table = Table::new("Footprint", "echo");
    let (mut echo, mut session, mut persistent) = (Vec::new(), Vec::new(), Vec::new());
    let first = Calls::new().call("open", &open_params(false, "https://start.example"), "\"\"");
    // The file is created here, which later starts need not do.
    let created = first_reply(dir.path(), true);
    for _ in 0..effort.rounds(40) {
        let began = Instant::now();
        Peer::echo(&first).exchange(&first);
        echo.push(began.elapsed().as_secs_f64() * 1e3);
        session.push(first_reply(dir.path(), false));
        persistent.push(first_reply(dir.path(), true));
    }
    let (echo, session, persistent) = (median(&mut echo), median(&mut session), median(&mut persistent));
    table.note("start of the echo to its first reply", echo, "ms");
    table.bound("start to the first reply, a session area opened", session, "ms", "≤ echo + 2 ms", session <= echo + 2.0);
    table.note("start to the first reply, a persistent area that exists opened", persistent, "ms");
    table.note("the same, the area created", created, "ms");

    for (area, is_persistent) in [("session", false), ("persistent", true)] {
        let mut server = Peer::server(dir.path());
        server.open(is_persistent, "https://start.example", STORAGE);
        let mut calls = Calls::new();
        let some: Vec<Call> = (0..1000).map(|n| calls.set(STORAGE, &key(n % 10), &value(n, n))).collect();
        server.pipeline(&some, 64);
        let resident = resident(&server);
        table.bound(&format!("resident memory, idle after 1,000 calls, {area} area"), resident, "MiB", "≤ 6 MiB", resident <= MIB);
    }
    let binary = fs::metadata(env!("CARGO_BIN_EXE_webstorage-server")).expect("the binary was built").len() as f64 / 1e6;
    table.bound("size of the binary", binary, "MB", "≤ 6 MB", binary <= MEGABYTES);
    table
}

/// Opens and closes many areas.
pub fn areas(effort: Effort) -> Table {
    /// What memory may differ by without anything being left behind, in MiB: a heap is never quite the same.
    const SLACK: f64 = 0.5;
    let dir = tempfile::tempdir().expect("a directory can be made");
    let count = if effort.quick { 1000 } else { 10_000 };
    let mut table = Table::new("Areas opened, used and closed", "after the first tenth");
    // The files of persistent areas stay, so few origins are opened over and over.
    for (name, persistent, origins) in [("session areas", false, count), ("persistent areas, of 50 origins", true, 50)] {
        let mut server = Peer::server(dir.path());
        let mut calls = Calls::new();
        let mut before = (0.0, 0);
        for handle in 1..=count {
            let origin = format!("https://area-{}.example", handle % origins);
            let storage = u32::try_from(handle).expect("there are not that many handles");
            let opened =
                format!(r#"{{"storage":{storage},"persistent":{persistent},"origin":"{origin}","length":0,"usage":0,"quota":10485760}}"#);
            let used = [
                // With the usual quota: an area that was given its own is remembered with it.
                calls.call("open", &format!(r#"{{"persistent":{persistent},"origin":"{origin}"}}"#), &opened),
                calls.set(storage, "a", &value(handle, handle)),
                calls.remove(storage, "a"),
                calls.call("close", &format!(r#"{{"storage":{storage}}}"#), "null"),
            ];
            server.pipeline(&used, 1);
            if handle == count / 10 {
                before = (resident(&server), descriptors(&server));
            }
        }
        let after = (resident(&server), descriptors(&server));
        let what = format!("{count} {name}");
        table.bound(&format!("{what}: memory grew by"), after.0 - before.0, "MiB", "≤ 0.5 MiB", after.0 - before.0 <= SLACK);
        table.bound(&format!("{what}: descriptors that are open"), after.1 as f64, "", &format!("≤ {}", before.1), after.1 <= before.1);
    }
    table
}

/// From the start of the server to the reply to its first call, in milliseconds.
fn first_reply(dir: &Path, persistent: bool) -> f64 {
    let began = Instant::now();
    let mut server = Peer::server(dir);
    server.open(persistent, "https://start.example", STORAGE);
    began.elapsed().as_secs_f64() * 1e3
}

/// Resident memory in MiB.
fn resident(peer: &Peer) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", peer.id())).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the system tells the resident memory");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("it is a number") / 1024.0
}

fn descriptors(peer: &Peer) -> usize {
    fs::read_dir(format!("/proc/{}/fd", peer.id())).expect("the process runs").count()
}
