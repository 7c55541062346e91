//! What the commands print for people who sit at a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

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

/// A terminal: the end of whoever sits at it, and the end of a program. It has a width if one is given.
pub fn terminal(columns: u16) -> (File, File) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("the system has terminals");
    grantpt(&terminal).expect("the terminal is ours");
    unlockpt(&terminal).expect("the terminal is ours");
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal, size).expect("the terminal is ours");
    let name = ptsname(&terminal, Vec::new()).expect("the terminal has a name");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let end_of_program = rustix::fs::open(&name, flags, Mode::empty()).expect("the terminal is there");
    (File::from(terminal), File::from(end_of_program))
}

/// What is shown on a terminal until nobody has the program's end open.
fn read_all(mut terminal: File) -> String {
    let mut bytes = Vec::new();
    match terminal.read_to_end(&mut bytes) {
        // So ends a terminal on Linux; elsewhere it ends as any file.
        Err(error) if error.raw_os_error() != Some(rustix::io::Errno::IO.raw_os_error()) => panic!("{error}"),
        _ => {}
    }
    // A terminal begins each line at its left edge.
    String::from_utf8(bytes).expect("the output is UTF-8").replace("\r\n", "\n")
}

/// What a command prints on a terminal of its own that does not know its width.
fn shown(command: Command) -> String {
    shown_within(command, 0)
}

/// What a command prints on a terminal of its own of so many columns.
fn shown_within(mut command: Command, columns: u16) -> String {
    let (terminal, end_of_program) = terminal(columns);
    let mut child = command.stdout(end_of_program).spawn().expect("the program was built");
    // The command holds the program's end of the terminal open, which would keep the reader waiting.
    drop(command);
    let text = read_all(terminal);
    assert!(child.wait().expect("the program ends").success());
    text
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
        // A value gets a line of its own on a terminal, and is all that goes into a pipe.
        let plain = if arguments[0] == "get" { plain + "\n" } else { plain };
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

/// The columns of each line of a list in which nothing is wider than what is written here.
fn columns(line: &str) -> usize {
    line.chars().map(|c| if matches!(c, '\u{2E80}'..='\u{FFDC}' | '\u{1F000}'..) { 2 } else { usize::from(c != '\u{301}') }).sum()
}

#[test]
fn a_list_fits_into_the_terminal() {
    let folder = Folder::new();
    for (key, value) in [
        ("short", "x".repeat(300)),
        (&"long ".repeat(20), "値".repeat(200)),
        ("日本語", "e\u{301}".repeat(100)),
        ("e\u{301}", String::new()),
    ] {
        piped(&folder, &["set", key, &value]);
    }
    for width in [30, 80, 81, 200] {
        let list = without_colour(&shown_within(command(&folder, &["list"]), width));
        let lines: Vec<&str> = list.lines().collect();
        assert_eq!(lines.len(), 4, "{list}");
        for line in &lines {
            assert!(columns(line) <= usize::from(width), "{width}: {list}");
        }
        // What is cut is cut at the edge, where a wide character may leave one column.
        for line in &lines[..2] {
            assert!(line.ends_with('…') && columns(line) + 1 >= usize::from(width), "{width}: {list}");
        }
        let sizes: Vec<usize> =
            lines.iter().map(|line| columns(&line[..line.find(" B  ").or_else(|| line.find(" kB  ")).expect("a size")])).collect();
        assert!(sizes.iter().all(|size| size.abs_diff(sizes[0]) <= 1), "{sizes:?} {list}");
    }
    // Into a pipe goes the same, whatever the terminal.
    assert_eq!(without_colour(&shown(command(&folder, &["list"]))), piped(&folder, &["list"]));
}

#[test]
fn sizes_are_rounded() {
    let folder = Folder::new();
    // A key of one unit, and two bytes for each.
    for (key, units, size) in [
        ("a", 499, "1.0 kB"),
        ("b", 498, "998 B"),
        ("c", 979, "2.0 kB"),
        ("d", 974, "2.0 kB"),
        ("e", 973, "1.9 kB"),
        ("f", 499_974, "1.0 MB"),
        ("g", 499_973, "999.9 kB"),
    ] {
        let file = folder.path().with_extension("value");
        std::fs::write(&file, "x".repeat(units)).expect("the folder is writable");
        let mut set = command(&folder, &["set", key]);
        set.stdin(File::open(&file).expect("it was written"));
        assert!(set.status().expect("the program was built").success());
        let list = piped(&folder, &["list"]);
        let line = list.lines().last().expect("there is an item");
        assert!(line.contains(&format!("  {size:>8}  x")), "{units}: {line}");
    }
}

/// What a terminal acts on, or does not show, or writes from right to left.
const TRICKS: &str = "\u{202E}\u{2066}\u{200B}\u{200F}\u{9B}31m\u{7F}\u{2028}\u{FEFF}\u{E0041}\u{1b}]0;x\u{7}";

fn has_tricks(text: &str) -> bool {
    TRICKS.chars().any(|c| !c.is_ascii_graphic() && text.contains(c))
}

#[test]
fn nothing_of_an_item_acts_on_the_terminal() {
    let folder = Folder::new();
    let key = format!("k{TRICKS}");
    piped(&folder, &["set", &key, TRICKS]);
    let colourless = |arguments: &[&str]| {
        let mut command = command(&folder, arguments);
        command.env("NO_COLOR", "1");
        command
    };
    let list = shown(colourless(&["list"]));
    assert!(list.contains("k\\u202e\\u2066\\u200b") && !has_tricks(&list), "{list:?}");
    assert!(!has_tricks(&piped(&folder, &["list"])), "what is piped may still be shown");
    let arguments: [&[&str]; 5] =
        [&["list", "--json"], &["get", &key], &["get", "--json", &key], &["export"], &["call", "storage/entries"]];
    for arguments in arguments {
        let shown = shown(colourless(arguments));
        assert!(
            shown.contains("\\u202e\\u2066\\u200b\\u200f\\u009b31m\\u007f\\u2028\\ufeff\\udb40\\udc41\\u001b]0;x\\u0007"),
            "{arguments:?}: {shown:?}"
        );
        assert!(!has_tricks(&shown), "{arguments:?}: {shown:?}");
        // JSON means the same, and elsewhere nothing is changed.
        let piped = piped(&folder, arguments);
        if arguments[0] == "get" && arguments.len() == 2 {
            assert_eq!(piped, TRICKS);
        } else {
            let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("it is JSON");
            assert_eq!(read(&shown), read(&piped), "{arguments:?}");
        }
    }
    let (terminal, end_of_program) = terminal(80);
    let mut failing = command(&folder, &["get", &format!("absent {TRICKS}")]);
    let mut child = failing.stderr(end_of_program).spawn().expect("the program was built");
    drop(failing);
    let told = read_all(terminal);
    assert_eq!(child.wait().expect("the program ends").code(), Some(1));
    assert!(told.contains("there is no item") && told.contains("\\u202e") && !has_tricks(&told), "{told:?}");
}

/// Starts a command whose input is a terminal, ends that with Ctrl-D, and gives the exit code and what is told.
fn typed_nothing(folder: &Folder, arguments: &[&str]) -> (Option<i32>, String) {
    let (mut terminal, end_of_program) = terminal(80);
    let mut started = command(folder, arguments);
    let child = started.stdin(end_of_program).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program was built");
    terminal.write_all(b"\x04").expect("the program's end is open");
    let output = child.wait_with_output().expect("the program ends");
    drop((started, terminal));
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.code(), String::from_utf8(output.stderr).expect("messages are UTF-8"))
}

#[test]
fn what_waits_for_a_terminal_says_so() {
    let folder = Folder::new();
    for arguments in [[].as_slice(), &["serve"], &["--no-persistent"]] {
        let (code, told) = typed_nothing(&folder, arguments);
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains("waiting for JSON-RPC") && told.contains("--help") && told.lines().count() == 1, "{arguments:?}: {told}");
    }
    // A host that says so may use a terminal for a pipe.
    assert_eq!(typed_nothing(&folder, &["--stdio"]), (Some(0), String::new()));
    let (code, told) = typed_nothing(&folder, &["set", "key"]);
    assert!(code == Some(0) && told.contains("reading the value from this terminal") && told.contains("Ctrl-D"), "{told}");
    let (code, told) = typed_nothing(&folder, &["import", "-"]);
    assert!(code == Some(3) && told.contains("reading the state from this terminal"), "{told}");
    for arguments in [[].as_slice(), &["serve"], &["set", "key"]] {
        let output = command(&folder, arguments).output().expect("the program was built");
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{arguments:?}: {output:?}");
    }
}

/// What a command tells on a terminal.
fn told(mut command: Command) -> String {
    let (terminal, end_of_program) = terminal(60);
    let mut child = command.stdout(Stdio::null()).stderr(end_of_program).spawn().expect("the program was built");
    drop(command);
    let told = read_all(terminal);
    assert!(child.wait().expect("the program ends").success(), "{told}");
    told
}

#[test]
fn how_far_long_work_is_shows_on_a_terminal_only() {
    let folder = Folder::new();
    let file = folder.path().with_extension("json");
    let items: Vec<String> = (0..30_000).map(|n| format!("[\"{n}\",\"\"]")).collect();
    std::fs::write(&file, format!("[{}]", items.join(","))).expect("the folder is writable");
    let file = file.to_str().expect("the name is UTF-8");
    let cases: [(&[&str], &str); 3] = [
        (&["import", file], "\r25000 of 30000 items\u{1b}[K"),
        (&["export"], "\rhttp://localhost\u{1b}[K"),
        (&["check"], "\rlooking at http://localhost\u{1b}[K"),
    ];
    for (arguments, shown) in cases {
        let told = told(command(&folder, arguments));
        assert!(told.contains(shown) && told.ends_with("\r\u{1b}[K") && !told.contains('\n'), "{arguments:?}: {told:?}");
        let output = command(&folder, arguments).output().expect("the program was built");
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
    let mut failing = command(&folder, &["import", "/dev/null/absent"]);
    assert_eq!(failing.output().expect("the program was built").status.code(), Some(4));
}
