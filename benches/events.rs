//! How late storage events are between processes, and what listeners cost those who write.
//!
//! `cargo bench --bench events` takes about a minute and prints tables. Costs are measured in turns, a round of
//! each case after the other, so that what else the machine does falls on all of them; compare them within one
//! run only.

#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "figures are rounded for people")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_webstorage-server");

/// A server and its two pipes. It is killed with this.
struct Server {
    process: Child,
    input: ChildStdin,
    output: Option<BufReader<ChildStdout>>,
    line: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

impl Server {
    fn start(dir: &Path) -> Self {
        let mut command = Command::new(PROGRAM);
        command.arg("--storage-dir").arg(dir).env_remove("WEBSTORAGE_DIR").env_remove("RUST_LOG");
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the server was built");
        let input = process.stdin.take().expect("it is piped");
        let output = process.stdout.take().map(BufReader::new);
        Server { process, input, output, line: String::new() }
    }

    /// Starts a server that has the area of an origin open as handle 1.
    fn open(dir: &Path, origin: &str) -> Self {
        let mut server = Self::start(dir);
        server.call("storage/open", &format!(r#"[true,"{origin}"]"#));
        server
    }

    /// The same, listening; what it is told is read by a thread that says when each line came.
    fn listening(dir: &Path, origin: &str) -> (Self, Receiver<(Instant, String)>) {
        let mut server = Self::open(dir, origin);
        server.call("storage/subscribe", "[1]");
        let (told, heard) = channel();
        let output = server.output.take().expect("nobody else reads");
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if told.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        (server, heard)
    }

    fn send(&mut self, method: &str, params: &str) {
        let call = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        self.input.write_all(format!("{call}\n").as_bytes()).expect("the server reads");
    }

    fn reply(&mut self) {
        self.line.clear();
        let output = self.output.as_mut().expect("a listener is not called");
        output.read_line(&mut self.line).expect("the server writes lines");
        assert!(self.line.contains("\"result\""), "{}", self.line);
    }

    fn call(&mut self, method: &str, params: &str) {
        self.send(method, params);
        self.reply();
    }

    /// Processor time of all its threads.
    fn cpu(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.id()));
        let Ok(tasks) = tasks else { return Duration::ZERO };
        let times = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok());
        Duration::from_nanos(times.filter_map(|times| times.split(' ').next()?.parse::<u64>().ok()).sum())
    }
}

fn percentile(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}

/// From the writer's reply to the listener's notification.
fn latency() {
    println!("\nfrom the writer's reply to the listener's notification, in µs (negative: before the reply)");
    println!("{:<44}{:>9}{:>9}{:>9}{:>9}", "", "min", "p50", "p99", "max");
    for (name, count, pause) in
        [("one change after the other", 3000, 0), ("a change every 5 ms", 1000, 5), ("a change every 300 ms", 30, 300)]
    {
        let dir = tempfile::tempdir().expect("the temporary directory is writable");
        let mut writer = Server::open(dir.path(), "http://latency.test");
        let (_listener, heard) = Server::listening(dir.path(), "http://latency.test");
        let mut late = Vec::new();
        for n in 0..count {
            writer.call("setItem", &format!(r#"[1,"key","value {n}"]"#));
            let replied = Instant::now();
            let (told, line) = heard.recv_timeout(Duration::from_secs(10)).expect("no event is lost");
            assert!(line.contains(&format!("\"value {n}\"")), "{line}");
            let after = told.saturating_duration_since(replied).as_secs_f64() - replied.saturating_duration_since(told).as_secs_f64();
            late.push(after * 1e6);
            std::thread::sleep(Duration::from_millis(pause));
        }
        late.sort_by(f64::total_cmp);
        let figures = [0.0, 0.5, 0.99, 1.0].map(|part| format!("{:>9.0}", percentile(&late, part)));
        println!("{name:<44}{}", figures.concat());
    }
}

/// A writer and those who listen to it.
struct Case {
    name: &'static str,
    writer: Server,
    _listeners: Vec<(Server, Receiver<(Instant, String)>)>,
    /// Wall and processor time for a change, round by round, in µs.
    lone: Vec<(f64, f64)>,
    pipelined: Vec<(f64, f64)>,
}

const ROUNDS: usize = 9;
const LONE: usize = 1500;
const PIPELINED: usize = 6000;
const IN_FLIGHT: usize = 200;

impl Case {
    fn new(dir: &Path, name: &'static str, origin: &str, listeners: usize, extra: &[(&str, &str)]) -> Self {
        let listeners = (0..listeners).map(|_| Server::listening(dir, origin)).collect();
        let mut writer = Server::open(dir, origin);
        for (method, params) in extra {
            writer.call(method, params);
        }
        // 1,000 items, so that the area is neither empty nor growing.
        for n in 0..1000 {
            writer.call("setItem", &format!(r#"[1,"key {n}","begin"]"#));
        }
        Case { name, writer, _listeners: listeners, lone: Vec::new(), pipelined: Vec::new() }
    }

    fn round(&mut self, round: usize) {
        let params =
            |n: usize| format!(r#"[1,"key {}","{round} {n} and so on, to make it sixty-four bytes or thereabouts"]"#, n * 7 % 1000);
        let measure = |writer: &mut Server, count: usize, work: &dyn Fn(&mut Server)| {
            let (cpu, begun) = (writer.cpu(), Instant::now());
            work(writer);
            let wall = begun.elapsed();
            let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
            (each(wall), each(writer.cpu().saturating_sub(cpu)))
        };
        self.lone.push(measure(&mut self.writer, LONE, &|writer| {
            for n in 0..LONE {
                writer.call("setItem", &params(n));
            }
        }));
        self.pipelined.push(measure(&mut self.writer, PIPELINED, &|writer| {
            for from in (0..PIPELINED).step_by(IN_FLIGHT) {
                let calls = (from..from + IN_FLIGHT).map(|n| {
                    let params = params(LONE + n);
                    format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"setItem\",\"params\":{params}}}\n")
                });
                writer.input.write_all(calls.collect::<String>().as_bytes()).expect("the server reads");
                (0..IN_FLIGHT).for_each(|_| writer.reply());
            }
        }));
    }
}

/// The median of one member of the pairs.
fn median(of: &[(f64, f64)], member: fn(&(f64, f64)) -> f64) -> f64 {
    let mut sorted: Vec<f64> = of.iter().map(member).collect();
    sorted.sort_by(f64::total_cmp);
    percentile(&sorted, 0.5)
}

/// What a change costs the writer.
fn cost() {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let dir = dir.path();
    let mut cases = vec![
        Case::new(dir, "never a listener", "http://never.test", 0, &[]),
        Case::new(dir, "never a listener, once more (the noise)", "http://again.test", 0, &[]),
        Case::new(
            dir,
            "another handle of the connection listens",
            "http://own.test",
            0,
            &[("storage/open", r#"[true,"http://own.test"]"#), ("storage/subscribe", r#"{"storage":2,"keys":["none of these"]}"#)],
        ),
        Case::new(dir, "1 other process listens", "http://one.test", 1, &[]),
        Case::new(dir, "8 other processes listen", "http://eight.test", 8, &[]),
    ];
    for round in 0..ROUNDS {
        for case in &mut cases {
            case.round(round);
        }
    }
    println!("\nwhat a setItem costs the writer, in µs, and as a ratio to the first line (medians of {ROUNDS} rounds)");
    println!("{:<44}{:>18}{:>18}{:>18}{:>18}", "", "lone, wall", "lone, processor", "pipelined, wall", "pipelined, proc.");
    let figures = |case: &Case| {
        [
            median(&case.lone, |pair| pair.0),
            median(&case.lone, |pair| pair.1),
            median(&case.pipelined, |pair| pair.0),
            median(&case.pipelined, |pair| pair.1),
        ]
    };
    let base = figures(&cases[0]);
    for case in &cases {
        let cells = figures(case).into_iter().zip(base).map(|(figure, base)| format!("{figure:>10.2} {:>6.2}×", figure / base));
        println!("{:<44}{}", case.name, cells.collect::<String>());
    }
}

/// What a listener costs while nothing happens.
fn idle() {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let (server, heard) = Server::listening(dir.path(), "http://idle.test");
    std::thread::sleep(Duration::from_secs(1));
    let (cpu, begun) = (server.cpu(), Instant::now());
    std::thread::sleep(Duration::from_secs(15));
    let share = server.cpu().saturating_sub(cpu).as_secs_f64() / begun.elapsed().as_secs_f64();
    assert!(heard.try_recv().is_err(), "nothing has happened");
    println!("\nan idle listener takes {:.4} % of a core", share * 100.0);
}

fn main() {
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    latency();
    cost();
    idle();
}
