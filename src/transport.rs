//! Transports: stdin and stdout, a socket that the client listens on, or a socket that this process listens on.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::connection::Connection;
use crate::frame::Decoder;
use crate::input::Input;
use crate::output::Output;
use crate::peer::{DRAIN_TIME, End, Peer, Stop, next_connection_number};
use crate::server::Server;
use crate::wait::Wait;

/// How the client is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Standard input and output.
    Stdio,
    /// A Unix-domain socket on which the client listens.
    Pipe(PathBuf),
    /// A TCP port of this machine on which the client listens.
    Socket(u16),
    /// A Unix-domain socket on which this process accepts any number of connections.
    Listen(PathBuf),
}

/// The connections of this process that have not ended.
#[derive(Default)]
pub struct Connections {
    live: Mutex<HashMap<u64, Live>>,
    ended: Condvar,
}

struct Live {
    stop: Arc<Stop>,
    connection: Arc<Mutex<Connection>>,
    output: Output,
}

impl Connections {
    /// Ends every connection: what they have read is answered and stored. Their clients get [`DRAIN_TIME`] to read the
    /// answers; a call that waits for another process is waited for besides.
    pub fn stop(&self) {
        let deadline = Instant::now() + DRAIN_TIME;
        // All of them together, however many of their bottles others have locked.
        let wait = Wait::at_most(DRAIN_TIME / 2);
        let mut waiting = Vec::new();
        let mut live = self.live.lock();
        live.retain(|_, live| {
            if !live.stop.stop() {
                return true;
            }
            waiting.push((Arc::clone(&live.connection), live.output.clone()));
            false
        });
        drop(live);
        for (connection, output) in waiting {
            connection.lock().end(&wait);
            output.drain(Some(deadline));
        }
        let mut live = self.live.lock();
        while !live.is_empty() {
            if self.ended.wait_until(&mut live, deadline).timed_out() {
                tracing::warn!(connections = live.len(), "some connections are still busy; what they acknowledged is stored");
                return;
            }
        }
    }

    fn serve(&self, server: &Arc<Server>, input: OwnedFd, output: OwnedFd, any_header: bool) -> End {
        let number = next_connection_number();
        let output = Output::new(output, number, server.wire_log.clone());
        let mut peer = Peer::new(server, output.clone(), number);
        let live = Live { stop: peer.stopper(), connection: peer.connection(), output };
        self.live.lock().insert(number, live);
        let end = peer.serve(Input::new(input), Decoder::new(server.max_message_size, any_header));
        if self.live.lock().remove(&number).is_none() {
            // Another thread has ended this connection and will end the process.
            loop {
                std::thread::park();
            }
        }
        peer.connection().lock().end(&Wait::at_most(server.busy_timeout));
        drop(peer);
        self.ended.notify_all();
        end
    }
}

/// Serves until the client ends it, or for [`Transport::Listen`] for ever.
///
/// # Errors
/// When the client cannot be reached, or the socket not be created.
pub fn run(transport: &Transport, server: &Arc<Server>, connections: &Arc<Connections>) -> io::Result<End> {
    match transport {
        Transport::Stdio => {
            let (input, output) = take_stdio()?;
            Ok(connections.serve(server, input, output, true))
        }
        Transport::Pipe(path) => {
            let stream =
                UnixStream::connect(path).map_err(|error| explain(&error, &format!("cannot connect to the socket {}", path.display())))?;
            Ok(connections.serve(server, stream.try_clone()?.into(), stream.into(), false))
        }
        Transport::Socket(port) => {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, *port))
                .map_err(|error| explain(&error, &format!("cannot connect to port {port} of this machine")))?;
            stream.set_nodelay(true)?;
            Ok(connections.serve(server, stream.try_clone()?.into(), stream.into(), false))
        }
        Transport::Listen(path) => {
            let listener = listen(path)?;
            accept(&listener, server, connections)
        }
    }
}

/// Takes standard input and output for messages, and lets whatever else writes to standard output write to
/// standard error, so that no stray line can break the stream.
fn take_stdio() -> io::Result<(OwnedFd, OwnedFd)> {
    let input = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let output = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok((input, output))
}

/// Creates a socket that only this user can connect to.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let refused = |what: String| io::Error::other(what);
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let metadata = fs::metadata(dir)?;
    if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.permissions().mode() & 0o077 != 0 {
        return Err(refused(format!(
            "{} must be a directory of this user that nobody else can access (chmod 700), because whoever reaches the socket can read all storage",
            dir.display()
        )));
    }
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(refused(format!("{} exists and is no socket; it was left alone", path.display())));
        }
        Ok(_) if UnixStream::connect(path).is_ok() => return Err(refused(format!("another server listens on {}", path.display()))),
        // The socket of a server that has died.
        Ok(_) => fs::remove_file(path)?,
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(|error| explain(&error, &format!("cannot listen on {}", path.display())))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn accept(listener: &UnixListener, server: &Arc<Server>, connections: &Arc<Connections>) -> io::Result<End> {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                // Too many open files, most likely: those of ended connections come back.
                tracing::warn!(%error, "a connection could not be accepted");
                std::thread::sleep(std::time::Duration::from_millis(100));
                continue;
            }
        };
        if !is_same_user(&stream) {
            tracing::warn!("a connection of another user was refused");
            continue;
        }
        let (server, connections) = (Arc::clone(server), Arc::clone(connections));
        let spawned = std::thread::Builder::new().name("connection".to_owned()).spawn(move || match stream.try_clone() {
            Ok(input) => {
                connections.serve(&server, input.into(), stream.into(), false);
            }
            Err(error) => tracing::warn!(%error, "a connection could not be served"),
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "no thread for a connection; it was closed");
        }
    }
}

#[cfg(target_os = "linux")]
fn is_same_user(stream: impl AsFd) -> bool {
    rustix::net::sockopt::socket_peercred(stream).is_ok_and(|peer| peer.uid == rustix::process::geteuid())
}

/// Elsewhere the directory's permissions alone keep others out.
#[cfg(not(target_os = "linux"))]
fn is_same_user(_stream: impl AsFd) -> bool {
    true
}

fn explain(error: &io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
