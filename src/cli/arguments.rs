//! The commands and their arguments, as `--help` and the manual show them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use webstorage_server::protocol::{ImportInto, StateFormat};

/// What to do.
#[derive(Subcommand, Debug)]
#[allow(clippy::doc_markdown, reason = "the comments are the text of --help, which has no markup")]
pub enum Command {
    /// Print the value of a key
    Get {
        /// The key
        key: String,
        #[command(flatten)]
        common: Common,
    },
    /// Set the value of a key
    Set {
        /// The key
        key: String,
        /// The value; standard input if left out, with the line feed at its end. With --json a JSON string
        #[arg(allow_negative_numbers = true)]
        value: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Remove an item
    Remove {
        /// The key
        key: String,
        #[command(flatten)]
        common: Common,
    },
    /// Remove all items of the origin
    Clear {
        #[command(flatten)]
        common: Common,
    },
    /// List the items of the origin, in key order
    List {
        #[command(flatten)]
        common: Common,
    },
    /// List the origins that have storage
    Origins {
        #[command(flatten)]
        common: Common,
    },
    /// Delete the storage of an origin, also while others have it open
    #[command(override_usage = "webstorage-server delete [OPTIONS] <ORIGIN>")]
    Delete {
        /// The origin; required unless --origin names it
        #[arg(value_name = "ORIGIN", required_unless_present = "origin", conflicts_with = "origin")]
        which: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Write the items of origins as a state file
    Export {
        /// The origins, as with --origin; all if none is named
        #[arg(value_name = "ORIGIN")]
        which: Vec<String>,
        /// The file, readable by you only; standard output if left out
        #[arg(long, short)]
        output: Option<PathBuf>,
        /// The form
        #[arg(long, value_enum, default_value_t)]
        format: StateFormat,
        #[command(flatten)]
        common: Common,
    },
    /// Read items from a state file, or from the files of Node and Deno
    Import {
        /// The file; - for standard input
        file: PathBuf,
        /// The form; found out if left out
        #[arg(long, value_enum)]
        format: Option<StateFormat>,
        /// What becomes of the items that are there
        #[arg(long, value_enum, default_value_t)]
        mode: ImportInto,
        /// Only tell what would change
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Print the changes of the origin as they come, until interrupted
    Watch {
        /// Only keys that begin so
        #[arg(long)]
        prefix: Option<String>,
        /// End after so many changes
        #[arg(long, value_name = "N")]
        count: Option<u64>,
        #[command(flatten)]
        common: Common,
    },
    /// Look for damage in the storage of origins
    Check {
        /// The origins, as with --origin; all if none is named
        #[arg(value_name = "ORIGIN")]
        which: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Call one method and print its result
    Call {
        /// The method, such as storage/transact
        method: String,
        /// The params as JSON. Where `storage` is left out of an object it is the persistent area of the origin, which is also the handle 1
        #[arg(default_value = "{}")]
        params: String,
        #[command(flatten)]
        common: Common,
    },
    /// Hold a transcript, or a conversation recorded with --trace, with a fresh server and show what differs
    Replay {
        /// The transcript or trace
        file: PathBuf,
        /// Flags for the fresh server, when a trace is replayed
        #[arg(last = true)]
        flags: Vec<String>,
    },
    /// Print the protocol as an OpenRPC document
    Schema,
    /// Serve, as without a command
    Serve(Box<crate::Flags>),
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print a manual page, or write all of them
    Man {
        /// The command whose page is printed; the page of the whole program if left out
        command: Option<String>,
        /// Write all pages into this directory, such as /usr/local/share/man/man1
        #[arg(long, value_name = "DIR", conflicts_with = "command")]
        directory: Option<PathBuf>,
    },
}

/// What most commands take.
#[derive(Args, Debug, Default)]
#[allow(clippy::doc_markdown, reason = "the comments are the text of --help, which has no markup")]
pub struct Common {
    /// The origin whose persistent area is meant [default: http://localhost]
    #[arg(long, value_name = "ORIGIN")]
    pub origin: Option<String>,
    /// The directory of persistent areas
    #[arg(long, value_name = "DIR")]
    pub storage_dir: Option<PathBuf>,
    /// Print exact JSON, an item a line; keys and values on the command line are JSON strings
    #[arg(long)]
    pub json: bool,
}

impl Command {
    /// The flags that a command has in common with most, if it does.
    #[must_use]
    pub fn common(&self) -> Option<&Common> {
        match self {
            Command::Get { common, .. }
            | Command::Set { common, .. }
            | Command::Remove { common, .. }
            | Command::Clear { common }
            | Command::List { common }
            | Command::Origins { common }
            | Command::Delete { common, .. }
            | Command::Export { common, .. }
            | Command::Import { common, .. }
            | Command::Watch { common, .. }
            | Command::Check { common, .. }
            | Command::Call { common, .. } => Some(common),
            Command::Replay { .. } | Command::Schema | Command::Serve(_) | Command::Completions { .. } | Command::Man { .. } => None,
        }
    }
}

/// What the exit codes mean, for --help and the manual.
pub const EXIT_CODES: &str = "Exit codes: 0 done; 1 not found, or different; 2 wrong usage, or the server could not start; 3 refused (quota, permission, params); 4 failed (locked, damaged, out of space)";
