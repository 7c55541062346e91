//! The manual: a page of the program and one of each command.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use clap::CommandFactory;
use clap::error::ErrorKind;
use clap_mangen::Man;

use super::Stop;
use crate::Arguments;

/// Prints the page of a command, or that of the program. A name that no command has is a wrong use of the program,
/// and ends it as any other.
pub fn print_page(command: Option<&str>, out: &mut impl Write) -> Result<(), Stop> {
    let name = command.map_or_else(|| PROGRAM.to_owned(), |command| format!("{PROGRAM}-{command}"));
    match pages().into_iter().find(|page| page.get_filename() == format!("{name}.1")) {
        Some(page) => Ok(page.render(out)?),
        None => Arguments::command().error(ErrorKind::InvalidValue, format!("there is no page {name}(1)")).exit(),
    }
}

/// Writes every page into a directory, under the names by which `man` finds them.
pub fn write_pages(directory: &Path) -> Result<(), Stop> {
    for page in pages() {
        let path = directory.join(page.get_filename());
        let written = File::create(&path).map(BufWriter::new).and_then(|mut file| {
            page.render(&mut file)?;
            file.flush()
        });
        written.map_err(|error| Stop::Failed(format!("{}: {error}", path.display())))?;
    }
    Ok(())
}

const PROGRAM: &str = "webstorage-server";

fn pages() -> Vec<Man> {
    // Building gives the commands the names of their pages.
    let mut program = Arguments::command().disable_help_subcommand(true);
    program.build();
    let commands: Vec<clap::Command> = program.get_subcommands().cloned().collect();
    let source = format!("{PROGRAM} {}", env!("CARGO_PKG_VERSION"));
    std::iter::once(program).chain(commands).map(|command| Man::new(command).source(&source)).collect()
}
