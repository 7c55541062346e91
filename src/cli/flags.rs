//! Which flag means something to which command. A flag may stand before the command or after it, and one that means
//! nothing to a command is refused.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, CommandFactory};

use super::examples;
use crate::Arguments;

/// The program's arguments, for parsing and for --help.
pub fn command() -> clap::Command {
    let program = Arguments::command().mut_args(|flag| flag.global(true)).after_help(examples::help(None));
    let flags: Vec<Arg> = program.get_arguments().cloned().collect();
    program.mut_subcommands(|command| {
        let name = command.get_name().to_owned();
        let refused = flags.iter().filter(|flag| !takes(&name, flag.get_id().as_str())).map(|flag| flag.clone().hide(true));
        command.args(refused).after_help(examples::help(Some(&name)))
    })
}

/// The program's arguments for the manual and for completions, where each command has the flags that it takes.
pub fn documented() -> clap::Command {
    let program = Arguments::command();
    let flags: Vec<Arg> = program.get_arguments().cloned().collect();
    program.mut_subcommands(|command| {
        let name = command.get_name().to_owned();
        command.args(flags.iter().filter(|flag| takes(&name, flag.get_id().as_str())).cloned())
    })
}

/// Whether a flag that says how to serve, given by its id, means something to a command.
fn takes(command: &str, flag: &str) -> bool {
    let uses_storage = !matches!(command, "replay" | "schema" | "completions" | "man");
    match flag {
        "storage_dir" | "quota" | "durability" | "busy_timeout" | "log" | "log_file" | "log_values" | "trace" => uses_storage,
        "origin" => uses_storage && command != "salvage",
        "ill_formed_strings" => matches!(command, "serve" | "get" | "list" | "export" | "watch" | "call" | "salvage"),
        "no_persistent" | "enable_test_methods" => matches!(command, "serve" | "call"),
        _ => command == "serve",
    }
}

/// Ends the program, as any other wrong use does, if a flag was given that means nothing to the command, or two that
/// exclude each other. What stands before a command and what stands after it is not compared by the parser.
pub fn refuse(matches: &ArgMatches) {
    let mut program = command();
    // A flag can be named once it was.
    program.build();
    let given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let flags: Vec<Arg> = program.get_arguments().cloned().collect();
    let named = |id: &str| flags.iter().find(|flag| flag.get_id() == id).map_or_else(|| id.to_owned(), ToString::to_string);
    if let Some(name) = matches.subcommand_name()
        && let Some(flag) = flags.iter().find(|flag| given(flag.get_id().as_str()) && !takes(name, flag.get_id().as_str()))
    {
        let advice = if name == "replay" { "; it hands the flags after -- to the servers that it starts" } else { "" };
        let message = format!("the flag '{flag}' means nothing to the command {name}{advice}");
        program.error(ErrorKind::UnknownArgument, message).exit();
    }
    for excluding in [["stdio", "pipe", "socket", "listen"].as_slice(), &["trace", "record"]] {
        if let [one, other, ..] = excluding.iter().filter(|id| given(id)).map(|id| named(id)).collect::<Vec<_>>().as_slice() {
            let message = format!("the flag '{one}' cannot be used with '{other}'");
            program.error(ErrorKind::ArgumentConflict, message).exit();
        }
    }
}
