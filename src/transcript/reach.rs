//! Reaching a server over each of its transports.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;

use super::process::{Connection, Framing, Process};
use super::run::Settings;
use super::{Host, Transport};

/// What starting a server needs: the command, and where its process goes.
type Start<'a> = (&'a mut Command, &'a mut Option<Process>);

/// A connection to the server of this name, which is started first if `start` says how.
pub(super) fn reach(host: &Host, settings: &Settings, server: &str, start: Option<Start<'_>>) -> Result<Connection, String> {
    let framing = settings.framing;
    let file = format!("server{server}.sock");
    // The server makes this directory, and nobody else may reach into it.
    let listening = host.directory.join("listening").join(&file);
    let Some((command, process)) = start else {
        return connect(host, &listening, framing);
    };
    match settings.transport {
        Transport::Stdio => {
            let connection = spawn(command, process)?.stdio(framing);
            connection.ok_or_else(|| "the server has no pipes".to_owned())
        }
        Transport::Listen => {
            spawn(command.arg("--listen").arg(&listening), process)?;
            connect(host, &listening, framing)
        }
        Transport::Pipe => {
            accept_pipe(host, host.directory.join(file), framing, |path| spawn(command.arg("--pipe").arg(path), process).map(|_| ()))
        }
        Transport::Socket => {
            let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(|fault| text(&fault))?;
            let port = listener.local_addr().map_err(|fault| text(&fault))?.port();
            spawn(command.arg(format!("--socket={port}")), process)?;
            let stream = within(host, move || listener.accept())?.0;
            stream.set_nodelay(true).map_err(|fault| text(&fault))?;
            let output = stream.try_clone().map_err(|fault| text(&fault))?;
            Ok(Connection::new(framing, stream, output, |output| {
                // Fails when the server has closed the connection first, which is no harm.
                let _closed = output.shutdown(std::net::Shutdown::Write);
            }))
        }
    }
}

fn spawn<'a>(command: &mut Command, process: &'a mut Option<Process>) -> Result<&'a mut Process, String> {
    let started = Process::start(command);
    let started = started.map_err(|fault| format!("the server does not start: {fault}"))?;
    Ok(process.insert(started))
}

fn text(fault: &std::io::Error) -> String {
    fault.to_string()
}

/// Waits for another process's connection as long as the host's patience lasts.
fn within<T: Send + 'static>(host: &Host, accept: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T, String> {
    let (accepted, waiting) = channel();
    thread::spawn(move || accepted.send(accept()));
    let connected = waiting.recv_timeout(host.patience);
    let connected = connected.map_err(|_| "the server does not connect".to_owned())?;
    connected.map_err(|fault| text(&fault))
}

#[cfg(unix)]
fn over_unix_socket(stream: std::os::unix::net::UnixStream, framing: Framing) -> Result<Connection, String> {
    let output = stream.try_clone().map_err(|fault| text(&fault))?;
    Ok(Connection::new(framing, stream, output, |output| {
        // Fails when the server has closed the connection first, which is no harm.
        let _closed = output.shutdown(std::net::Shutdown::Write);
    }))
}

#[cfg(unix)]
fn accept_pipe(
    host: &Host,
    path: PathBuf,
    framing: Framing,
    spawn: impl FnOnce(PathBuf) -> Result<(), String>,
) -> Result<Connection, String> {
    let listener = std::os::unix::net::UnixListener::bind(&path).map_err(|fault| text(&fault))?;
    spawn(path)?;
    over_unix_socket(within(host, move || listener.accept())?.0, framing)
}

#[cfg(unix)]
fn connect(host: &Host, path: &Path, framing: Framing) -> Result<Connection, String> {
    use std::time::{Duration, Instant};

    let deadline = Instant::now() + host.patience;
    loop {
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(stream) => return over_unix_socket(stream, framing),
            // Nothing tells that a socket has begun to listen, so it is tried again and again.
            Err(_) if Instant::now() < deadline => {
                thread::park_timeout(Duration::from_millis(2));
            }
            Err(fault) => return Err(format!("the server does not listen: {fault}")),
        }
    }
}

#[cfg(not(unix))]
fn accept_pipe(
    _host: &Host,
    path: PathBuf,
    _framing: Framing,
    _spawn: impl FnOnce(PathBuf) -> Result<(), String>,
) -> Result<Connection, String> {
    Err(format!("{} needs Unix-domain sockets", path.display()))
}

#[cfg(not(unix))]
fn connect(_host: &Host, path: &Path, _framing: Framing) -> Result<Connection, String> {
    Err(format!("{} needs Unix-domain sockets", path.display()))
}
