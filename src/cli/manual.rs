//! The manual: a page of the program and one of each command.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use clap::error::ErrorKind;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, line_break, roman};

use super::{EXIT_CODES, Stop, examples, flags};

/// Prints the page of a command, or that of the program. A name that no command has is a wrong use of the program,
/// and ends it as any other.
pub fn print_page(command: Option<&str>, out: &mut impl Write) -> Result<(), Stop> {
    let name = command.map_or_else(|| PROGRAM.to_owned(), |command| format!("{PROGRAM}-{command}"));
    match pages().into_iter().find(|page| page.file_name() == format!("{name}.1")) {
        Some(page) => Ok(page.write(out)?),
        None => flags::command().error(ErrorKind::InvalidValue, format!("there is no page {name}(1)")).exit(),
    }
}

/// Writes every page into a directory, under the names by which `man` finds them.
pub fn write_pages(directory: &Path) -> Result<(), Stop> {
    for page in pages() {
        let path = directory.join(page.file_name());
        let written = File::create(&path).map(BufWriter::new).and_then(|mut file| {
            page.write(&mut file)?;
            file.flush()
        });
        written.map_err(|error| Stop::Failed(format!("{}: {error}", path.display())))?;
    }
    Ok(())
}

const PROGRAM: &str = "webstorage-server";

/// What the program looks at besides its flags.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("WEBSTORAGE_DIR", "The directory of persistent areas, where --storage-dir does not name it."),
    (
        "XDG_DATA_HOME, HOME",
        "Where neither does, persistent areas are in webstorage in the first, else in .local/share/webstorage in the second.",
    ),
    ("RUST_LOG", "What to log, where --log does not say it."),
    ("NO_COLOR", "If it is not empty, nothing is coloured."),
    ("TERM", "If it is dumb, nothing is coloured."),
];

/// One page: of the program, or of one of its commands.
struct Page {
    man: Man,
    /// The command; the page is the program's without one.
    command: Option<String>,
    /// Whether the command looks at the environment.
    has_environment: bool,
}

fn pages() -> Vec<Page> {
    // Building gives the commands the names of their pages.
    let mut program = flags::documented().disable_help_subcommand(true);
    program.build();
    let commands: Vec<clap::Command> = program.get_subcommands().cloned().collect();
    let source = format!("{PROGRAM} {}", env!("CARGO_PKG_VERSION"));
    let page = |command: Option<String>, clap: clap::Command| Page {
        has_environment: command.is_none() || clap.get_arguments().any(|flag| flag.get_id() == "storage_dir"),
        man: Man::new(clap).source(&source),
        command,
    };
    let of_commands = commands.into_iter().map(|command| (Some(command.get_name().to_owned()), command));
    std::iter::once((None, program)).chain(of_commands).map(|(name, clap)| page(name, clap)).collect()
}

impl Page {
    fn file_name(&self) -> String {
        self.man.get_filename()
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        self.man.render_title(out)?;
        self.man.render_name_section(out)?;
        self.man.render_synopsis_section(out)?;
        self.man.render_description_section(out)?;
        self.man.render_options_section(out)?;
        if self.command.is_none() {
            self.man.render_subcommands_section(out)?;
        }
        let mut rest = Roff::new();
        rest.control("SH", ["EXAMPLES"]);
        for (what, typed) in examples::of(self.command.as_deref()) {
            rest.control("TP", []).text([roman(format!("{what}:"))]).text(lines(typed));
        }
        rest.control("SH", ["EXIT STATUS"]);
        for (code, meaning) in EXIT_CODES {
            rest.control("TP", []).text([bold(code)]).text([roman(meaning)]);
        }
        if self.has_environment {
            rest.control("SH", ["ENVIRONMENT"]);
            for (name, meaning) in ENVIRONMENT {
                rest.control("TP", []).text([bold(name)]).text([roman(meaning)]);
            }
        }
        if self.command.is_some() {
            rest.control("SH", ["SEE ALSO"]).text([roman(format!("{PROGRAM}(1)"))]);
        }
        rest.to_writer(out)?;
        if self.command.is_none() { self.man.render_version_section(out) } else { Ok(()) }
    }
}

/// What is typed, line by line as it stands there.
fn lines(typed: &str) -> Vec<Inline> {
    let mut inlines = Vec::new();
    for line in typed.lines() {
        if !inlines.is_empty() {
            inlines.push(line_break());
        }
        inlines.push(bold(line));
    }
    inlines
}
