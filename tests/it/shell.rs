//! The command line as a shell has it: completions as an interactive bash makes them, and the examples of the manual.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use crate::command_line::run;
use crate::peer::{PATIENCE, PROGRAM};
use crate::terminal::terminal;

/// A bash in which the program is found, and which has nothing of this user's.
fn bash(directory: &Path, arguments: &[&str]) -> Command {
    let bin = directory.join("bin");
    if !bin.exists() {
        fs::create_dir(&bin).expect("the directory is writable");
        symlink(PROGRAM, bin.join("webstorage-server")).expect("the name is free");
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("bash");
    command.args(["--norc", "--noprofile"]).args(arguments).current_dir(directory);
    command.env("PATH", format!("{}:{path}", bin.display())).env("HOME", directory).env("TERM", "dumb").env("INPUTRC", "/dev/null");
    command.env("WEBSTORAGE_DIR", directory.join("storage")).env_remove("RUST_LOG").env_remove("XDG_DATA_HOME");
    command
}

/// What bash would offer for the last of these words.
fn offered(directory: &Path, words: &[&str]) -> Vec<String> {
    let script = r#"
        source <(webstorage-server completions bash)
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
        function=$(complete -p "$1") && function=${function#*-F } && function=${function%% *}
        "$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let output = bash(directory, &[&["-c", script, "bash"], words].concat()).output().expect("bash is installed");
    assert!(output.status.success() && output.stderr.is_empty(), "{words:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_each_command() {
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let directory = directory.path();
    let offered = |words: &[&str]| offered(directory, &[&["webstorage-server"], words].concat());
    assert_eq!(offered(&["wa"]), ["watch"]);
    assert_eq!(offered(&["get", "--json"]), ["--json-input", "--json"]);
    assert_eq!(offered(&["--origin", "https://a.test", "list", "--js"]), ["--json"]);
    assert_eq!(offered(&["export", "--format", ""]), ["storage-state", "flat", "pairs"]);
    assert_eq!(offered(&["export", "--format", "fl"]), ["flat"]);
    assert_eq!(offered(&["import", "--mode", "re"]), ["replace"]);
    assert_eq!(offered(&["completions", "z"]), ["zsh"]);
    // Of the flags those that mean something to the command.
    for command in ["get", "set", "remove", "clear", "list", "origins", "delete", "export", "import", "watch", "check", "salvage", "call"] {
        let flags = offered(&[command, "--"]);
        assert!(flags.iter().any(|flag| flag == "--storage-dir") && !flags.iter().any(|flag| flag == "--listen"), "{command}: {flags:?}");
    }
    assert!(offered(&["serve", "--li"]).contains(&"--listen".to_owned()));
}

/// Somebody who types at a terminal and sees what appears.
struct Typist {
    terminal: fs::File,
    appears: Receiver<Vec<u8>>,
    seen: String,
}

impl Typist {
    /// Types, and waits until something has appeared after that.
    fn type_and_see(&mut self, typed: &str, expected: &str) {
        self.terminal.write_all(typed.as_bytes()).expect("the terminal is open");
        let deadline = Instant::now() + PATIENCE;
        while !self.seen.contains(expected) {
            let left = deadline.saturating_duration_since(Instant::now());
            let bytes = self.appears.recv_timeout(left).unwrap_or_else(|error| panic!("{error}: {expected:?} is not in {:?}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        let after = self.seen.find(expected).expect("it has appeared") + expected.len();
        self.seen.drain(..after);
    }
}

#[test]
fn an_interactive_bash_completes_after_a_command() {
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let directory = directory.path();
    fs::write(directory.join("state.json"), "{}").expect("the directory is writable");
    let (terminal, end_of_program) = terminal(200);
    let again = || end_of_program.try_clone().expect("descriptors are left");
    let mut command = bash(directory, &["-i"]);
    command.env("PS1", "ready> ").stdin(again()).stdout(again()).stderr(again());
    let mut child = command.spawn().expect("bash is installed");
    drop((command, end_of_program));
    let (sender, appears) = channel();
    let mut reader = terminal.try_clone().expect("descriptors are left");
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut bytes) {
            if sender.send(bytes[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut typist = Typist { terminal, appears, seen: String::new() };
    typist.type_and_see("", "ready> ");
    // Printed with quotes around it, because what is typed is shown too.
    typist.type_and_see("eval \"$(webstorage-server completions bash)\"; printf '%s>\\n' loaded\n", "loaded>");
    typist.type_and_see("", "ready> ");
    typist.type_and_see("webstorage-server export --format fl\t", "--format flat ");
    typist.type_and_see("--out\t", "--output ");
    typist.type_and_see("\u{15}webstorage-server impo\t", "import ");
    typist.type_and_see("./sta\t", "./state.json ");
    typist.type_and_see("--dry\t", "--dry-run ");
    typist.type_and_see("\u{15}exit\n", "exit");
    assert!(child.wait().expect("bash ends").success());
}

#[test]
fn other_shells_can_read_their_completions() {
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    for (shell, check, begins) in [("bash", "-n", "_webstorage__server() {"), ("zsh", "-n", "#compdef"), ("fish", "--no-execute", "#")] {
        let output = run(directory.path(), &["completions", shell], "");
        let script = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(script.starts_with(begins) && script.contains("salvage"), "{shell}: {script}");
        let file = directory.path().join(shell);
        fs::write(&file, &script).expect("the directory is writable");
        // Not every machine has every shell.
        if let Ok(checked) = Command::new(shell).arg(check).arg(&file).output() {
            assert!(checked.status.success() && checked.stderr.is_empty(), "{shell}: {checked:?}");
        }
    }
}

/// The examples at the end of a command's --help.
fn examples(directory: &Path, command: &str) -> Vec<String> {
    let arguments: &[&str] = if command.is_empty() { &["--help"] } else { &[command, "--help"] };
    let help = String::from_utf8(run(directory, arguments, "").stdout).expect("the help is UTF-8");
    let (_, rest) = help.split_once("\nExamples:\n").unwrap_or_else(|| panic!("{command} has no examples:\n{help}"));
    let (examples, _) = rest.split_once("\n\n").expect("the exit codes come after the examples");
    let commands = examples.split("  # ").skip(1).map(|example| example.split_once('\n').expect("what to type is below").1);
    commands.map(|typed| typed.lines().map(str::trim).collect::<Vec<_>>().join("\n")).collect()
}

#[test]
fn the_examples_of_the_manual_work() {
    /// In an order in which each finds what it needs.
    const COMMANDS: [&str; 19] = [
        "",
        "set",
        "get",
        "list",
        "origins",
        "export",
        "import",
        "check",
        "salvage",
        "call",
        "remove",
        "clear",
        "delete",
        "replay",
        "schema",
        "serve",
        "completions",
        "man",
        "watch",
    ];
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let directory = directory.path();
    fs::write(directory.join("notes.txt"), "a line\n").expect("the directory is writable");
    fs::write(directory.join("calls.ndjson"), "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"storage/open\",\"params\":[false]}\n")
        .expect("the directory is writable");
    let has = |tool: &str| Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    let missing: Vec<&str> = ["jq", "man"].into_iter().filter(|tool| !has(tool)).collect();
    for command in COMMANDS {
        let page =
            String::from_utf8(run(directory, &[&["man"], &*if command.is_empty() { vec![] } else { vec![command] }].concat(), "").stdout)
                .expect("the page is UTF-8");
        assert!(page.contains(".SH EXAMPLES") && page.contains(".SH \"EXIT STATUS\""), "{page}");
        let uses_storage = !["replay", "schema", "completions", "man"].contains(&command);
        assert_eq!(page.contains(".SH ENVIRONMENT") && page.contains("WEBSTORAGE_DIR"), uses_storage, "{command}: {page}");
        for typed in examples(directory, command) {
            let first = page.replace("\\-", "-").replace("\\*(Aq", "'").replace("\\\\", "\\").replace("\\(aq", "'");
            let words = typed.lines().next().expect("something is typed");
            assert!(first.contains(words), "{words} is not in the page:\n{first}");
            if missing.iter().any(|tool| typed.contains(&format!("| {tool} "))) {
                continue;
            }
            if command == "watch" {
                // It ends with the first change it sees.
                let mut watching =
                    bash(directory, &["-c", &typed]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("bash is installed");
                while watching.try_wait().expect("it is ours").is_none() {
                    assert!(run(directory, &["set", "theme"], &format!("{:?}", Instant::now())).status.success());
                }
                let shown = watching.wait_with_output().expect("it has ended");
                assert!(shown.status.success() && shown.stdout.starts_with(b"set      theme = "), "{shown:?}");
                continue;
            }
            let output = bash(directory, &["-e", "-o", "pipefail", "-c", &typed]).stdin(Stdio::null()).output().expect("bash is installed");
            assert!(output.status.success(), "{typed}\n{output:?}");
        }
    }
}
