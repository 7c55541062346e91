//! What the commands print for people who sit at a terminal.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::folder::Folder;
use crate::peer::PROGRAM;

fn command(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env("WEBSTORAGE_DIR", folder.path()).env("TERM", "xterm").env_remove("NO_COLOR").env_remove("RUST_LOG");
    command.stdin(Stdio::null());
    command
}

/// What a command prints where its output is no terminal.
fn piped(folder: &Folder, arguments: &[&str]) -> String {
    let output = command(folder, arguments).output().expect("the program was built");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("the output is UTF-8")
}

/// What a command prints on a terminal of its own.
fn shown(mut command: Command) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("the system has terminals");
    grantpt(&terminal).expect("the terminal is ours");
    unlockpt(&terminal).expect("the terminal is ours");
    let name = ptsname(&terminal, Vec::new()).expect("the terminal has a name");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let end_of_program = rustix::fs::open(&name, flags, Mode::empty()).expect("the terminal is there");
    let mut child = command.stdout(end_of_program).spawn().expect("the program was built");
    // The command holds the program's end of the terminal open, which would keep the reader waiting.
    drop(command);
    let mut bytes = Vec::new();
    match File::from(terminal).read_to_end(&mut bytes) {
        // So ends a terminal on Linux; elsewhere it ends as any file.
        Err(error) if error.raw_os_error() != Some(rustix::io::Errno::IO.raw_os_error()) => panic!("{error}"),
        _ => {}
    }
    assert!(child.wait().expect("the program ends").success());
    // A terminal begins each line at its left edge.
    String::from_utf8(bytes).expect("the output is UTF-8").replace("\r\n", "\n")
}

fn without_colour(text: &str) -> String {
    text.replace("\u{1b}[36m", "").replace("\u{1b}[0m", "")
}

/// A storage directory with a few items of two origins.
fn filled() -> Folder {
    let folder = Folder::new();
    for (key, value, origin) in [
        ("a", "1", "http://localhost"),
        ("a longer key", "two\nlines \u{1b}[31m", "http://localhost"),
        ("", "", "http://localhost"),
        ("b", "2", "https://a-longer-name.test"),
    ] {
        piped(&folder, &["set", key, value, "--origin", origin]);
    }
    folder
}

#[test]
fn colour_appears_only_on_a_terminal() {
    let folder = filled();
    let lists: [&[&str]; 5] = [&["list"], &["origins"], &["check"], &["get", "a"], &["list", "--json"]];
    for arguments in lists {
        let plain = piped(&folder, arguments);
        assert!(!plain.contains('\u{1b}'), "{arguments:?}: {plain:?}");
        let coloured = shown(command(&folder, arguments));
        assert_eq!(without_colour(&coloured), plain, "{arguments:?}");
        // Values stay as they are, and JSON too, so that they can be copied.
        let has_colour = coloured.contains('\u{1b}');
        assert_eq!(has_colour, arguments.len() == 1, "{arguments:?}: {coloured:?}");
        for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            let mut command = command(&folder, arguments);
            command.env(name, value);
            assert_eq!(shown(command), plain, "{arguments:?} with {name}={value}");
        }
        let mut command = command(&folder, arguments);
        command.env("NO_COLOR", "");
        assert_eq!(shown(command), coloured, "an empty NO_COLOR says nothing");
    }
}

#[test]
fn columns_are_aligned() {
    let folder = filled();
    assert_eq!(
        shown(command(&folder, &["list"])),
        concat!(
            "\u{1b}[36ma           \u{1b}[0m       4 B  1\n",
            "\u{1b}[36ma longer key\u{1b}[0m      54 B  two\\nlines \\u001b[31m\n",
            "\u{1b}[36m            \u{1b}[0m       0 B  \n",
        )
    );
    let origins = piped(&folder, &["origins"]);
    let lines: Vec<&str> = origins.lines().collect();
    assert_eq!(lines.len(), 2, "{origins}");
    assert!(lines[0].starts_with("http://localhost                   3 items      58 B used  "), "{origins}");
    assert!(lines[1].starts_with("https://a-longer-name.test         1 item        4 B used  "), "{origins}");
    assert_eq!(lines[0].len(), lines[1].len(), "{origins}");
}
