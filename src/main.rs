//! The `webstorage-server` binary: flags, logging, transport, exit code.

mod cli;

use std::io::IsTerminal;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, FromArgMatches, Parser};
use etcetera::BaseStrategy;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use webstorage_server::background;
use webstorage_server::connection::{Options, Persistence};
use webstorage_server::dom_string::IllFormed;
use webstorage_server::origin::Origin;
use webstorage_server::peer::End;
use webstorage_server::server::Server;
use webstorage_server::shed::own_files;
use webstorage_server::sqlite::{self, Durability};
use webstorage_server::transport::{self, Connections, Transport};
use webstorage_server::wire_log::WireLog;

/// The HTML standard's Web Storage for any host process, as a JSON-RPC 2.0 server.
///
/// Without a transport flag the server speaks on standard input and output: Content-Length headers before each
/// message, or one JSON message a line; the first byte decides.
#[derive(Parser, Debug)]
#[allow(clippy::doc_markdown, reason = "the comments are the text of --help, which has no markup")]
#[command(name = "webstorage-server", version, about, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Option<cli::Command>,

    #[command(flatten)]
    flags: Flags,
}

/// How to serve, and for commands that use storage how to use it.
#[derive(Args, Debug)]
#[allow(clippy::doc_markdown, reason = "the comments are the text of --help, which has no markup")]
#[allow(clippy::struct_excessive_bools, reason = "they are independent flags")]
struct Flags {
    /// Speak on standard input and output (the default; accepted because LSP clients pass it)
    #[arg(long)]
    stdio: bool,
    /// Connect to the Unix-domain socket PATH, on which the client listens
    #[arg(long, value_name = "PATH")]
    pipe: Option<PathBuf>,
    /// Connect to the TCP port PORT of this machine, on which the client listens
    #[arg(long, value_name = "PORT", alias = "port")]
    socket: Option<u16>,
    /// Accept connections on the Unix-domain socket PATH, in a directory that only you can access
    #[arg(long, value_name = "PATH")]
    listen: Option<PathBuf>,
    /// End when the process PID has ended
    #[arg(long = "clientProcessId", value_name = "PID", alias = "client-process-id")]
    client_process_id: Option<i32>,

    /// The directory of persistent areas [env: WEBSTORAGE_DIR] [default: "webstorage" in the platform's directory for user data]
    #[arg(long, value_name = "DIR")]
    storage_dir: Option<PathBuf>,
    /// Have no persistent areas: opening one is a NotSupportedError
    #[arg(long)]
    no_persistent: bool,
    /// The origin that commands mean, and that of areas that are opened without one [default: http://localhost]
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// The quota of new areas in bytes, two for each UTF-16 unit of keys and values
    #[arg(long, value_name = "BYTES", default_value_t = 10 << 20, value_parser = clap::value_parser!(u64).range(..1 << 53))]
    quota: u64,
    /// What an acknowledged write to a persistent area survives: the death of any process (normal), or a loss of power too (full)
    #[arg(long, value_enum, default_value_t)]
    durability: Durability,
    /// For how long a call waits for other processes that write the same area, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    busy_timeout: u64,
    /// The largest accepted message in bytes (a key or value can take six bytes for each UTF-16 unit)
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    max_message_size: usize,

    /// What is written for a lone surrogate in a string: its JSON escape, which is exact, or U+FFFD, for programs that stop at one, as jq 1.6 does. initialize can say it too
    #[arg(long, value_name = "HOW", default_value = "escape", value_parser = PossibleValuesParser::new(["escape", "replace"])
        .map(|how| if how == "replace" { IllFormed::Replace } else { IllFormed::Escape }))]
    ill_formed_strings: IllFormed,

    /// Allow the methods test/…, with which tests make calls fail on demand and more
    #[arg(long)]
    enable_test_methods: bool,

    /// What to log: off, error, warn, info, debug, trace, or a filter as RUST_LOG takes
    #[arg(long, value_name = "LEVEL", env = "RUST_LOG", default_value = "warn")]
    log: String,
    /// Log to FILE instead of standard error
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// Log keys and values as well, at level debug
    #[arg(long, action = ArgAction::SetTrue)]
    log_values: bool,
    /// Append every message to FILE, a line of JSON each: {time, process, direction, connection, message}. It holds keys and values; not together with --record
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Write the conversation to FILE as a transcript, which the command replay holds again. It holds keys and values; not together with --trace
    #[arg(long, value_name = "FILE", conflicts_with = "trace")]
    record: Option<PathBuf>,
}

impl Flags {
    fn default_origin(&self) -> &str {
        self.origin.as_deref().unwrap_or("http://localhost")
    }
}

/// The exit code of a server that could not start.
const CANNOT_START: u8 = 2;

fn main() -> ExitCode {
    let matches = cli::flags::command().get_matches();
    cli::flags::refuse(&matches);
    let Arguments { command, flags } = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let Some(command) = command.filter(|command| !matches!(command, cli::Command::Serve)) else { return serve(&flags) };
    if let Some(code) = cli::run_alone(&command) {
        return code;
    }
    let server = start_logging(&flags).and_then(|()| wire_log(&flags)).and_then(|log| server(&flags, log, Box::new(|_| {})));
    match server {
        Ok(server) => cli::run(&command, &flags, server),
        Err(error) => cannot_start(error.as_ref()),
    }
}

fn serve(flags: &Flags) -> ExitCode {
    match run(flags) {
        Ok(End::Clean) => ExitCode::SUCCESS,
        Ok(End::Unclean) => ExitCode::FAILURE,
        Err(error) => cannot_start(error.as_ref()),
    }
}

fn cannot_start(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("webstorage-server: {error}");
    ExitCode::from(CANNOT_START)
}

/// What the connections of this process share.
fn server(
    flags: &Flags,
    wire_log: Option<Arc<WireLog>>,
    on_process: Box<dyn Fn(i32) + Send + Sync>,
) -> Result<Arc<Server>, Box<dyn std::error::Error>> {
    if !sqlite::version_is_sound() {
        return Err("this program was built with a version of SQLite that can corrupt databases".into());
    }
    allow_many_files();
    let origin = Origin::parse(flags.default_origin()).map_err(|error| format!("--origin: {error}"))?;
    Ok(Arc::new(Server {
        options: Options { origin, quota: flags.quota, ill_formed: flags.ill_formed_strings },
        persistence: persistence(flags),
        busy_timeout: Duration::from_millis(flags.busy_timeout),
        durability: flags.durability,
        max_message_size: flags.max_message_size,
        log_values: flags.log_values,
        test_methods: flags.enable_test_methods,
        wire_log,
        on_process,
        sheds: parking_lot::Mutex::default(),
    }))
}

/// Where the conversation is recorded.
fn wire_log(flags: &Flags) -> Result<Option<Arc<WireLog>>, Box<dyn std::error::Error>> {
    let log = match (&flags.trace, &flags.record) {
        (Some(path), _) => WireLog::open(path).map_err(|error| format!("--trace {}: {error}", path.display()))?,
        (None, Some(path)) => {
            WireLog::transcript(path, &settings(flags)).map_err(|error| format!("--record {}: {error}", path.display()))?
        }
        (None, None) => return Ok(None),
    };
    Ok(Some(Arc::new(log)))
}

/// The settings of a transcript that is recorded with these flags. It gets storage of its own when it is held
/// again.
fn settings(flags: &Flags) -> String {
    let storage = if flags.no_persistent { "--no-persistent" } else { "--storage-dir ${DIR}/storage" };
    let test_methods = if flags.enable_test_methods { " --enable-test-methods" } else { "" };
    let ill_formed = if flags.ill_formed_strings == IllFormed::Replace { " --ill-formed-strings replace" } else { "" };
    let listen = if flags.listen.is_some() { "transport: listen\n" } else { "" };
    format!("args: {storage} --origin {} --quota {}{ill_formed}{test_methods}\n{listen}\n", flags.default_origin(), flags.quota)
}

/// Requires that the files that the flags name belong to no storage directory, before one of them is opened.
fn require_not_own(flags: &Flags) -> Result<(), Box<dyn std::error::Error>> {
    let known = match persistence(flags) {
        Persistence::In(dir) => vec![dir],
        _ => Vec::new(),
    };
    let named = [("--log-file", &flags.log_file), ("--trace", &flags.trace), ("--record", &flags.record), ("--listen", &flags.listen)];
    for (flag, path) in named {
        let Some(path) = path else { continue };
        let path = std::path::absolute(path)?;
        let failed = |why: String| format!("{flag} {}: {why}", path.display());
        if let Some(dir) = own_files::owner(std::slice::from_ref(&path), &known).map_err(|error| failed(error.to_string()))? {
            let dir = dir.display();
            return Err(failed(format!("it belongs to the storage directory {dir}, or is a link to a file there; name another")).into());
        }
    }
    Ok(())
}

fn run(flags: &Flags) -> Result<End, Box<dyn std::error::Error>> {
    start_logging(flags)?;
    let wire_log = wire_log(flags)?;
    let transport = match (&flags.pipe, flags.socket, &flags.listen) {
        (Some(path), ..) => Transport::Pipe(path.clone()),
        (_, Some(port), _) => Transport::Socket(port),
        (.., Some(path)) => Transport::Listen(path.clone()),
        _ => Transport::Stdio,
    };
    if transport == Transport::Stdio && !flags.stdio && std::io::stdin().is_terminal() {
        eprintln!(
            "webstorage-server: waiting for JSON-RPC messages on this terminal, one a line, as a program that starts it would send them. Ctrl-D ends it; webstorage-server --help tells of the commands."
        );
    }
    let connections = Arc::new(Connections::default());
    let processes = background::start(Arc::clone(&connections))?;
    if let Some(process) = flags.client_process_id {
        processes.send(process)?;
    }
    let listens = matches!(transport, Transport::Listen(_));
    let on_process = Box::new(move |process| {
        // The end of one of several clients is seen at its socket and must not end the others.
        if !listens && processes.send(process).is_err() {
            tracing::debug!("the server is ending already");
        }
    });
    let server = server(flags, wire_log, on_process)?;
    Ok(transport::run(&transport, &server, &connections)?)
}

/// Each open persistent area needs four files, and the usual limit of 1024 is meant for programs that use `select`.
fn allow_many_files() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// Where persistent areas are. The directory is created when it is first needed.
fn persistence(flags: &Flags) -> Persistence {
    if flags.no_persistent {
        return Persistence::Unavailable("the server was started with --no-persistent".to_owned());
    }
    // An empty variable is an absent one, which clap would refuse as an empty flag.
    let variable = || std::env::var_os("WEBSTORAGE_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    if let Some(dir) = flags.storage_dir.clone().or_else(variable) {
        return match std::path::absolute(&dir) {
            Ok(dir) => Persistence::In(dir),
            Err(error) => Persistence::Unavailable(format!("the storage directory {} cannot be used ({error})", dir.display())),
        };
    }
    match etcetera::choose_base_strategy() {
        Ok(directories) => Persistence::In(directories.data_dir().join("webstorage")),
        Err(error) => Persistence::Unavailable(format!("the home directory is not known ({error}); name a directory with --storage-dir")),
    }
}

fn start_logging(flags: &Flags) -> Result<(), Box<dyn std::error::Error>> {
    require_not_own(flags)?;
    let filter: Targets = flags.log.parse().map_err(|error| format!("--log {:?}: {error}", flags.log))?;
    // Any word is a filter by the name of a module. As such it is meant in the variable only, which other programs read too.
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    let is_flag = std::env::var("RUST_LOG").as_ref() != Ok(&flags.log);
    if is_flag && let Some(word) = flags.log.split(',').find(|word| !word.contains(['=', ':']) && !is_level(word.trim())) {
        return Err(
            format!("--log {word:?}: expected off, error, warn, info, debug, trace, or filters such as webstorage_server=debug").into()
        );
    }
    let layer = tracing_subscriber::fmt::layer().with_target(false).with_ansi(false);
    match &flags.log_file {
        Some(path) => {
            let file = std::fs::OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(path)
                .map_err(|error| format!("--log-file {}: {error}", path.display()))?;
            tracing_subscriber::registry().with(filter).with(layer.with_writer(std::sync::Mutex::new(file))).init();
        }
        None => tracing_subscriber::registry().with(filter).with(layer.with_writer(std::io::stderr)).init(),
    }
    Ok(())
}
