//! The commands and their arguments, as `--help` and the manual show them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use webstorage_server::protocol::{ImportInto, StateFormat};

/// What to do.
#[derive(Subcommand, Debug)]
#[allow(clippy::doc_markdown, reason = "the comments are the text of --help, which has no markup")]
pub enum Command {
    /// Print the value of a key: exactly, and with a line feed after it on a terminal only
    Get {
        /// The key
        key: String,
        #[command(flatten)]
        typed: Typed,
        #[command(flatten)]
        printed: Printed,
    },
    /// Set the value of a key
    Set {
        /// The key
        key: String,
        /// The value; all of standard input if left out, also the line feed at its end
        #[arg(allow_negative_numbers = true)]
        value: Option<String>,
        #[command(flatten)]
        typed: Typed,
    },
    /// Remove an item
    Remove {
        /// The key
        key: String,
        #[command(flatten)]
        typed: Typed,
    },
    /// Remove all items of the origin
    Clear,
    /// List the items of the origin, in key order
    List {
        #[command(flatten)]
        printed: Printed,
    },
    /// List the origins that have storage, or only the one that --origin names
    Origins {
        #[command(flatten)]
        printed: Printed,
    },
    /// Delete the storage of an origin, also while others have it open
    #[command(override_usage = "webstorage-server delete [OPTIONS] <ORIGIN>")]
    Delete {
        /// The origin; required unless --origin names it
        #[arg(value_name = "ORIGIN")]
        which: Option<String>,
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
        /// Accepted, and of no effect: a state is JSON
        #[arg(long)]
        json: bool,
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
        printed: Printed,
    },
    /// Print the changes of the origin as they come, until interrupted. An origin without storage is waited for
    Watch {
        /// Only keys that begin so
        #[arg(long)]
        prefix: Option<String>,
        /// End after so many changes
        #[arg(long, value_name = "N")]
        count: Option<u64>,
        #[command(flatten)]
        typed: Typed,
        #[command(flatten)]
        printed: Printed,
    },
    /// Look for damage in the storage of origins
    Check {
        /// The origins, as with --origin; all if none is named
        #[arg(value_name = "ORIGIN")]
        which: Vec<String>,
        #[command(flatten)]
        printed: Printed,
    },
    /// Print the items that can be read of a file that was found damaged and moved aside, as pairs, which import reads
    Salvage {
        /// The damaged file, as check names it
        file: PathBuf,
        /// Print one object, which also says whether these are all items: {complete, items}
        #[arg(long)]
        json: bool,
    },
    /// Call one method and print its result
    Call {
        /// The method, such as storage/transact
        method: String,
        /// The params as JSON. Where `storage` is left out of an object it is the persistent area of the origin, which is also the handle 1
        #[arg(default_value = "{}")]
        params: String,
        /// Print an error as one JSON object to standard error; a result is JSON anyway
        #[arg(long)]
        json: bool,
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
    Serve,
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

/// How the strings of a command line are written.
#[derive(Args, Debug)]
#[allow(clippy::doc_markdown, reason = "the comments are the text of --help, which has no markup")]
pub struct Typed {
    /// The key, the value and the prefix are JSON strings, such as '"a\u0000"', which can hold what a command line cannot
    #[arg(long)]
    pub json_input: bool,
}

/// How the output of a command is written.
#[derive(Args, Debug)]
#[allow(clippy::doc_markdown, reason = "the comments are the text of --help, which has no markup")]
pub struct Printed {
    /// Print exact JSON, an item a line
    #[arg(long)]
    pub json: bool,
}

impl Command {
    /// Whether JSON is printed, where there is a choice.
    #[must_use]
    pub fn prints_json(&self) -> bool {
        match self {
            Command::Get { printed, .. }
            | Command::List { printed }
            | Command::Origins { printed }
            | Command::Import { printed, .. }
            | Command::Watch { printed, .. }
            | Command::Check { printed, .. } => printed.json,
            Command::Export { json, .. } | Command::Salvage { json, .. } | Command::Call { json, .. } => *json,
            Command::Set { .. }
            | Command::Remove { .. }
            | Command::Clear
            | Command::Delete { .. }
            | Command::Replay { .. }
            | Command::Schema
            | Command::Serve
            | Command::Completions { .. }
            | Command::Man { .. } => false,
        }
    }
}

/// What the exit codes mean, for --help and the manual.
pub const EXIT_CODES: [(&str, &str); 5] = [
    ("0", "done"),
    ("1", "not found, or different"),
    ("2", "wrong usage, or the server could not start"),
    ("3", "refused (quota, permission, params)"),
    ("4", "failed (locked, damaged, out of space)"),
];
