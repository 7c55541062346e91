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
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FlockOperation, flock};

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
    /// The socket on which this process listens.
    socket: Mutex<Option<Socket>>,
}

/// A socket that this process has created.
struct Socket {
    path: PathBuf,
    /// Its device and inode: another process can have put its own socket in this place.
    identity: (u64, u64),
}

struct Live {
    stop: Arc<Stop>,
    connection: Arc<Mutex<Connection>>,
    output: Output,
    /// The same file as the connection's input.
    input: OwnedFd,
}

/// For how long after the end of the client's process its input is read to its end.
const READ_OUT_TIME: Duration = Duration::from_secs(10);

/// How often and how many times in a row a connection must be found without input before none is expected any more.
const READ_OUT_INTERVAL: Duration = Duration::from_millis(10);
const READ_OUT_LOOKS: u32 = 20;

impl Live {
    /// Whether it waits, and nothing has come that it could read, not even the end.
    fn is_idle(&self) -> bool {
        let mut ready = [PollFd::new(&self.input, PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        self.stop.is_waiting() && rustix::event::poll(&mut ready, Some(&now)) == Ok(0)
    }
}

impl Connections {
    /// Waits, for a bounded time, until what the client's process has written before it ended is read and handled. A
    /// connection whose input ends with that process ends by itself.
    pub fn read_out(&self) {
        let deadline = Instant::now() + READ_OUT_TIME;
        let mut looks = 0;
        while looks < READ_OUT_LOOKS && Instant::now() < deadline {
            looks = if self.live.lock().values().all(Live::is_idle) { looks + 1 } else { 0 };
            std::thread::sleep(READ_OUT_INTERVAL);
        }
    }

    /// Removes the socket that this process has created, unless another one is in its place.
    pub fn remove_socket(&self) {
        let Some(Socket { path, identity }) = self.socket.lock().take() else { return };
        let removed = lock_directory(directory_of(&path)).and_then(|_alone| {
            let there = fs::symlink_metadata(&path)?;
            if (there.dev(), there.ino()) == identity { fs::remove_file(&path) } else { Ok(()) }
        });
        if let Err(error) = removed {
            tracing::debug!(%error, "the socket could not be removed");
        }
    }

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

    fn serve(&self, server: &Arc<Server>, input: OwnedFd, output: OwnedFd, any_header: bool) -> io::Result<End> {
        let number = next_connection_number();
        let output = Output::new(output, number, server.wire_log.clone());
        let mut peer = Peer::new(server, output.clone(), number);
        let live = Live { stop: peer.stopper(), connection: peer.connection(), output, input: input.try_clone()? };
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
        Ok(end)
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
            connections.serve(server, input, output, true)
        }
        Transport::Pipe(path) => {
            let stream =
                UnixStream::connect(path).map_err(|error| explain(&error, &format!("cannot connect to the socket {}", path.display())))?;
            connections.serve(server, stream.try_clone()?.into(), stream.into(), false)
        }
        Transport::Socket(port) => {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, *port))
                .map_err(|error| explain(&error, &format!("cannot connect to port {port} of this machine")))?;
            stream.set_nodelay(true)?;
            connections.serve(server, stream.try_clone()?.into(), stream.into(), false)
        }
        Transport::Listen(path) => {
            let listener = listen(path, connections)?;
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
fn listen(path: &Path, connections: &Connections) -> io::Result<UnixListener> {
    let refused = |what: String| io::Error::other(what);
    let dir = directory_of(path);
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => tracing::info!(dir = %dir.display(), "the directory of the socket was created"),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(explain(&error, &format!("the directory {} of the socket cannot be created", dir.display()))),
    }
    let metadata = fs::metadata(dir)?;
    if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.permissions().mode() & 0o077 != 0 {
        return Err(refused(format!(
            "{} must be a directory of this user that nobody else can access (chmod 700), because whoever reaches the socket can read all storage",
            dir.display()
        )));
    }
    // Whoever replaces a socket that is left over, or removes its own, has the directory for itself meanwhile.
    let _alone = lock_directory(dir)?;
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
    let socket = fs::symlink_metadata(path)?;
    *connections.socket.lock() = Some(Socket { path: path.to_owned(), identity: (socket.dev(), socket.ino()) });
    Ok(listener)
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Locks a directory for whoever changes which socket is in it. Closing the file gives the lock back.
fn lock_directory(dir: &Path) -> io::Result<fs::File> {
    let file = fs::File::open(dir)?;
    flock(&file, FlockOperation::LockExclusive)
        .map_err(|error| explain(&error.into(), &format!("the directory {} cannot be locked", dir.display())))?;
    Ok(file)
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
        let spawned = std::thread::Builder::new().name("connection".to_owned()).spawn(move || {
            let outcome = stream.try_clone().and_then(|input| connections.serve(&server, input.into(), stream.into(), false));
            if let Err(error) = outcome {
                tracing::warn!(%error, "a connection could not be served");
            }
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
