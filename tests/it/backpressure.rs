//! Clients that do not read: nobody waits for ever, memory is bounded, and the server ends well.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::client::{Client, call, program};
use crate::folder::Folder;
use crate::peer::PATIENCE;

const CALLS: u64 = 60_000;

/// A server process whose pipes are read and written by the test itself.
struct Piped(Child);

impl Piped {
    fn start(arguments: &[&str], output: Stdio) -> Self {
        Self(
            program(arguments)
                .stdin(Stdio::piped())
                .stdout(output)
                .stderr(Stdio::piped())
                .spawn()
                .expect("the server was built and starts"),
        )
    }

    fn input(&mut self) -> ChildStdin {
        self.0.stdin.take().expect("it is a pipe, and taken once")
    }

    fn output(&mut self) -> BufReader<std::process::ChildStdout> {
        BufReader::new(self.0.stdout.take().expect("it is a pipe, and taken once"))
    }

    /// The most memory that the process has had, in bytes.
    fn peak_memory(&self) -> u64 {
        memory(self.0.id(), "VmHWM:")
    }

    /// Waits for the end; the exit code and what was logged.
    fn wait(mut self) -> (ExitStatus, String) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.0.try_wait().expect("the process is ours to wait for") {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "the server does not end");
            std::thread::yield_now();
        };
        let mut log = String::new();
        self.0.stderr.take().expect("it is a pipe").read_to_string(&mut log).expect("logs are UTF-8");
        (status, log)
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        // A process that has ended cannot be killed again, which is no harm.
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

/// A line of `/proc/PID/status` in bytes.
pub fn memory(pid: u32, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let value = status.lines().find_map(|text| text.strip_prefix(line)).expect("the line is there");
    value.trim().trim_end_matches(" kB").parse::<u64>().expect("it is a number") << 10
}

/// Opens a session area and sets one item, then reads it so often.
fn conversation(value: usize, gets: u64) -> Vec<u8> {
    let mut text = call(1, "storage/open", "[false]");
    write!(text, "\n{}\n", call(2, "setItem", &format!(r#"[1,"k","{}"]"#, "v".repeat(value)))).expect("a string takes everything");
    for id in 3..gets + 3 {
        writeln!(text, "{}", call(id, "getItem", r#"[1,"k"]"#)).expect("a string takes everything");
    }
    text.into_bytes()
}

/// Reads the replies to all calls, in their order.
fn read_replies(output: &mut impl BufRead, gets: u64, value: usize) {
    let result = format!("\"{}\"", "v".repeat(value));
    let mut lines = output.lines().map(|line| line.expect("replies are UTF-8"));
    assert!(lines.next().expect("open is answered").starts_with(r#"{"jsonrpc":"2.0","id":1,"result":{"#));
    assert_eq!(lines.next().expect("setItem is answered"), r#"{"jsonrpc":"2.0","id":2,"result":null}"#);
    for id in 3..gets + 3 {
        let reply = lines.next().expect("every call is answered");
        assert!(reply == format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#), "{id}: {reply:.200}");
    }
}

/// The replies are few bytes, so that the server takes every call although nobody reads.
#[test]
fn every_call_is_taken_while_nobody_reads() {
    let mut server = Piped::start(&["--no-persistent"], Stdio::piped());
    let mut input = server.input();
    // This would never return if the server waited for its reader.
    input.write_all(&conversation(8, CALLS)).expect("the server reads");
    drop(input);
    let mut output = server.output();
    read_replies(&mut output, CALLS, 8);
    assert_eq!(output.read(&mut [0]).expect("it is a pipe"), 0, "nothing comes that was not asked for");
    let (status, log) = server.wait();
    assert_eq!((status.code(), log.as_str()), (Some(0), ""));
}

/// Named pipes, which a client that must not wait in its own language's event loop uses, need another way of writing
/// without waiting.
#[test]
#[cfg(target_os = "linux")]
fn named_pipes_are_as_good_as_others() {
    const VALUE: usize = 6000;
    let folder = Folder::new();
    fs::create_dir(folder.path()).expect("the name is free");
    let [calls, replies] = ["calls", "replies"].map(|name| folder.path().join(name));
    let [input, output] = [&calls, &replies].map(|path| {
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("the name is free");
        // Open in both directions, so that nobody waits for the other end to be opened.
        fs::File::options().read(true).write(true).open(path).expect("a pipe can be opened")
    });
    let stdio = |file: &fs::File| Stdio::from(file.try_clone().expect("descriptors are left"));
    let server = Piped(
        program(["--no-persistent"]).stdin(stdio(&input)).stdout(stdio(&output)).stderr(Stdio::piped()).spawn().expect("the server starts"),
    );
    let mut input = input;
    let mut output = BufReader::new(output);
    // A reader that keeps up is answered by the thread that reads the calls.
    let few = conversation(8, 100);
    for (call, id) in few.split_inclusive(|byte| *byte == b'\n').zip(1..) {
        input.write_all(call).expect("the server reads");
        let mut reply = String::new();
        output.read_line(&mut reply).expect("the server writes");
        assert!(reply.contains(&format!("\"id\":{id},\"result\":")), "{reply}");
    }
    let threads = fs::read_dir(format!("/proc/{}/task", server.0.id())).expect("the server runs");
    let names: Vec<String> =
        threads.map(|thread| fs::read_to_string(thread.expect("it can be listed").path().join("comm")).expect("it runs")).collect();
    assert!(!names.iter().any(|name| name.trim() == "output"), "{names:?}");
    // One that reads nothing for a while does not stop it.
    let calls: String = (0..1000)
        .map(|id| call(id, "setItem", &format!(r#"[1,"k","{}"]"#, "v".repeat(VALUE))) + "\n" + &call(id, "getItem", r#"[1,"k"]"#) + "\n")
        .collect();
    input.write_all(calls.as_bytes()).expect("the server reads");
    let expected = "v".repeat(VALUE);
    for id in 0..1000 {
        let mut reply = String::new();
        output.read_line(&mut reply).expect("the server writes");
        assert_eq!(reply, format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":null}}\n"));
        reply.clear();
        output.read_line(&mut reply).expect("the server writes");
        assert!(reply == format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":\"{expected}\"}}\n"), "{reply:.200}");
    }
    input
        .write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"shutdown\"}\n{\"jsonrpc\":\"2.0\",\"method\":\"exit\"}\n")
        .expect("the server reads");
    let (status, log) = server.wait();
    assert_eq!((status.code(), log.as_str()), (Some(0), ""));
}

/// The replies are many more bytes than may wait for a reader, so that the server stops reading until they go.
#[test]
fn what_waits_for_a_reader_is_bounded() {
    const VALUE: usize = 2048;
    let mut server = Piped::start(&["--no-persistent"], Stdio::piped());
    let mut input = server.input();
    let written = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&written);
    let calls = conversation(VALUE, CALLS);
    let all = calls.len();
    let writer = std::thread::spawn(move || {
        for chunk in calls.chunks(4096) {
            input.write_all(chunk).expect("the server reads again once somebody reads from it");
            counter.fetch_add(chunk.len(), Ordering::Relaxed);
        }
        input
    });
    // It takes at least as many calls as it has replies to keep, here a tenth of all, and has stopped reading when
    // no more can be written for a while. Looking too early would only make the test weaker.
    let mut last = (0, Instant::now());
    while last.0 < all / 10 || last.1.elapsed() < Duration::from_secs(1) {
        let now = written.load(Ordering::Relaxed);
        if now != last.0 {
            last = (now, Instant::now());
        }
        assert!(last.1.elapsed() < PATIENCE, "the server takes too few calls: {} bytes", last.0);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(last.0 < all, "the server took all calls and so must hold all replies");
    let mut output = server.output();
    read_replies(&mut output, CALLS, VALUE);
    let input = writer.join().expect("the writer has written all");
    let waiting = server.peak_memory();
    drop(input);
    assert_eq!(output.read(&mut [0]).expect("it is a pipe"), 0, "nothing comes that was not asked for");
    assert!(waiting < 80 << 20, "{waiting} bytes are held for a reader of {} bytes", CALLS * VALUE as u64);
    let (status, log) = server.wait();
    assert_eq!((status.code(), log.as_str()), (Some(0), ""));
}

#[test]
fn a_client_that_never_reads_and_closes() {
    let folder = Folder::new();
    let dir = folder.path().to_str().expect("temporary paths are UTF-8");
    let mut server = Piped::start(&["--storage-dir", dir], Stdio::piped());
    let mut input = server.input();
    let output = server.output();
    let mut calls = conversation(2048, 3000);
    let set = (5000..5100).map(|id| call(id, "setItem", &format!(r#"[2,"k{id}","v"]"#)));
    calls.extend([call(4999, "storage/open", "[true]")].into_iter().chain(set).flat_map(|call| (call + "\n").into_bytes()));
    input.write_all(&calls).expect("the server reads");
    let mut client = Client::start(folder.path());
    let storage = client.open("[true]").storage;
    let begun = Instant::now();
    while client.get("length", &format!("[{storage}]")) != "100" {
        assert!(begun.elapsed() < PATIENCE, "the calls of a client that reads nothing are not handled");
    }
    drop(output);
    drop(input);
    let (status, log) = server.wait();
    assert_eq!((status.code(), log.as_str()), (Some(0), ""), "a client may go when it wants");
    assert_eq!(client.get("length", &format!("[{storage}]")), "100");
    client.end();
}

/// The output is closed while the server waits for its next call: it learns of that when it answers.
#[test]
fn a_closed_output_ends_the_server() {
    let mut server = Piped::start(&["--no-persistent"], Stdio::piped());
    let mut input = server.input();
    let mut output = server.output();
    let mut line = String::new();
    writeln!(input, "{}", call(1, "storage/open", "[false]")).expect("the server reads");
    output.read_line(&mut line).expect("the server answers");
    drop(output);
    writeln!(input, "{}", call(2, "length", "[1]")).expect("the server reads");
    let (status, log) = server.wait();
    assert_eq!((status.code(), log.as_str()), (Some(0), ""));
    drop(input);
}

/// Replies that cannot be written are lost, which a script must be told by the exit code.
#[test]
fn a_full_output_is_a_failure() {
    for gets in [1, 20_000] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        let mut server = Piped::start(&["--no-persistent"], full.into());
        let mut input = server.input();
        // The server may end before it has read everything.
        let _taken = input.write_all(&conversation(64, gets));
        drop(input);
        let (status, log) = server.wait();
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains("output"), "the log says why: {log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// A connection that does not read holds nobody else up, not even on the same bottle.
#[test]
fn a_client_that_does_not_read_holds_no_other_up() {
    const CALLS: u64 = 400;
    let folder = Folder::new();
    let socket = folder.path().parent().expect("it is in a directory").join("private").join("socket");
    let mut command: Command = program(["--storage-dir".as_ref(), folder.path().as_os_str(), "--listen".as_ref(), socket.as_os_str()]);
    let mut server = Client::run(&mut command);
    let mut good = Client::connect(&socket);
    let storage = good.open("[true]").storage;
    good.get("setItem", &format!(r#"[{storage},"big","{}"]"#, "v".repeat(100_000)));
    // Its replies are more than may wait for a reader, so that the server stops reading its calls somewhere. The first
    // half may wait.
    let mut silent = std::os::unix::net::UnixStream::connect(&socket).expect("the server listens");
    let mut calls = call(1, "storage/open", "[true]") + "\n";
    for n in 0..CALLS {
        writeln!(calls, "{}", call(n, "getItem", r#"[1,"big"]"#)).expect("a string takes everything");
        writeln!(calls, "{}", call(n, "setItem", &format!(r#"[1,"silent{n}","v"]"#))).expect("a string takes everything");
    }
    silent.write_all(calls.as_bytes()).expect("few calls fit into the socket");
    let half = format!(r#"[{storage},"silent120"]"#);
    let begun = Instant::now();
    while good.get("getItem", &half) == "null" {
        assert!(begun.elapsed() < PATIENCE, "the calls of a client that reads nothing are not handled");
    }
    for n in 0..500 {
        good.get("setItem", &format!(r#"[{storage},"k{n}","v"]"#));
    }
    let last = format!(r#"[{storage},"silent{}"]"#, CALLS - 1);
    assert_eq!(good.get("getItem", &last), "null", "the server waits for the silent client");
    let replies = BufReader::new(&silent).lines().take(1 + 2 * usize::try_from(CALLS).expect("they are few"));
    replies.for_each(|reply| assert!(reply.expect("replies are UTF-8").contains("\"result\":")));
    assert_eq!(good.get("getItem", &last), "\"v\"");
    drop(silent);
    drop(good);
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
}
