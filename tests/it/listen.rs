//! The socket of `--listen`: whose it is, and what is in its place.

use std::fs;
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::client::{Client, program};
use crate::peer::PATIENCE;

/// A server that listens, and is killed with the test.
struct Listening(Child);

impl Drop for Listening {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

impl Listening {
    fn start(socket: &Path) -> Self {
        let mut command = program(["--no-persistent".as_ref(), "--listen".as_ref(), socket.as_os_str()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Listening(command.spawn().expect("the server was built and starts"))
    }

    /// Waits for the end; the exit code and what was logged.
    fn wait(&mut self) -> (Option<i32>, String) {
        let begun = Instant::now();
        while self.is_running() {
            assert!(begun.elapsed() < PATIENCE, "the server does not end");
            std::thread::yield_now();
        }
        let mut log = String::new();
        self.0.stderr.take().expect("it is a pipe").read_to_string(&mut log).expect("logs are UTF-8");
        (self.0.wait().expect("the process is ours to wait for").code(), log)
    }

    fn is_running(&mut self) -> bool {
        self.0.try_wait().expect("the process is ours to wait for").is_none()
    }

    fn terminate(&self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).expect("the process is ours to signal");
    }
}

/// A directory that only this user can access.
fn private(dir: &tempfile::TempDir) -> PathBuf {
    let private = dir.path().join("private");
    fs::DirBuilder::new().mode(0o700).create(&private).expect("the name is free");
    private
}

/// A client of whoever listens, that gets its replies.
fn assert_answered(socket: &Path) {
    let mut client = Client::connect(socket);
    client.open("[false]");
}

#[test]
fn the_end_of_a_server_leaves_the_socket_of_its_successor() {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let socket = private(&dir).join("socket");
    let mut old = Listening::start(&socket);
    assert_answered(&socket);
    fs::remove_file(&socket).expect("the server has made it");
    let mut new = Listening::start(&socket);
    assert_answered(&socket);
    old.terminate();
    assert_eq!(old.wait(), (Some(0), String::new()));
    assert_answered(&socket);
    new.terminate();
    assert_eq!(new.wait(), (Some(0), String::new()));
    assert!(!socket.exists(), "a server removes its own socket");
}

#[test]
fn of_two_servers_beside_the_socket_of_a_dead_one_one_lives() {
    for _ in 0..8 {
        let dir = tempfile::tempdir().expect("the temporary directory is writable");
        let socket = private(&dir).join("socket");
        drop(UnixListener::bind(&socket).expect("the name is free"));
        let mut servers = [Listening::start(&socket), Listening::start(&socket)];
        let begun = Instant::now();
        let ended = loop {
            if let Some(ended) = servers.iter_mut().position(|server| !server.is_running()) {
                break ended;
            }
            assert!(begun.elapsed() < PATIENCE, "both servers live");
            std::thread::yield_now();
        };
        let (code, log) = servers[ended].wait();
        assert_eq!(code, Some(2), "{log}");
        assert!(log.contains("another server listens on") && log.contains("socket"), "{log}");
        assert_answered(&socket);
        assert!(servers[1 - ended].is_running());
    }
}

/// The socket's own directory is made, for this user only; a mistyped path makes nothing.
#[test]
fn a_directory_that_is_missing_further_up_is_an_error() {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let missing = dir.path().join("missing");
    let (code, log) = Listening::start(&missing.join("private").join("socket")).wait();
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("missing/private") && log.contains("cannot be created"), "{log}");
    assert!(!missing.exists());
}
