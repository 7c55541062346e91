//! Examples of the commands, for --help and the manual.

use std::fmt::Write;

use super::EXIT_CODES;

/// What somebody may want, and what to type for it.
pub type Example = (&'static str, &'static str);

/// The examples of a command, or of the program without one.
pub fn of(command: Option<&str>) -> &'static [Example] {
    match command {
        None => &[
            (
                "Hold a conversation: one JSON message a line",
                r#"echo '{"jsonrpc":"2.0","id":1,"method":"storage/open","params":[false]}' |
  webstorage-server"#,
            ),
            ("Use the same storage from a shell", "webstorage-server set theme dark --origin https://example.com"),
            ("Keep the storage of a project beside it", "webstorage-server --storage-dir ./storage list"),
        ],
        Some("get") => &[
            ("Print a value", "webstorage-server get theme --origin https://example.com"),
            ("Copy a value, whatever is in it", "webstorage-server get notes | webstorage-server set copy"),
            ("Read a value as JSON", "webstorage-server get notes --json | jq length"),
        ],
        Some("set") => &[
            ("Set a value", "webstorage-server set theme dark --origin https://example.com"),
            ("Set a value to what is in a file", "webstorage-server set notes < notes.txt"),
            ("Set what a command line cannot hold", r#"webstorage-server set --json-input '"a\u0000"' '"\ud800"'"#),
        ],
        Some("remove") => &[("Remove an item if it is there", "webstorage-server remove copy || true")],
        Some("clear") => &[("Remove all items of an origin", "webstorage-server clear --origin https://example.com")],
        Some("list") => &[
            ("List the items of an origin", "webstorage-server list --origin https://example.com"),
            ("Print the keys alone", "webstorage-server list --json --ill-formed-strings replace | jq -r .key"),
        ],
        Some("origins") => &[("How much there is of each origin", "webstorage-server origins")],
        Some("delete") => &[("Delete the storage of an origin if it has any", "webstorage-server delete https://example.com || true")],
        Some("export") => &[
            ("Write everything to a file for Playwright", "webstorage-server export --output state.json"),
            ("Print the items of one origin as an object", "webstorage-server export --format flat http://localhost"),
        ],
        Some("import") => &[
            ("Look what an import would change", "webstorage-server import state.json --dry-run"),
            ("Make an area hold these items only", r#"echo '{"theme":"light"}' | webstorage-server import - --mode replace"#),
        ],
        Some("watch") => {
            &[("Print the next change of a key that begins with \"theme\"", "webstorage-server watch --prefix theme --count 1")]
        }
        Some("check") => &[("Look at everything", "webstorage-server check")],
        Some("salvage") => &[(
            "Put back what can be read of the files of an origin that were found damaged",
            r#"webstorage-server check --json https://example.com | jq -r '.damaged[].file' |
  while read -r file; do
    webstorage-server salvage "$file" | webstorage-server import - --origin https://example.com
  done"#,
        )],
        Some("call") => &[
            (
                "Set an item if nobody has",
                r#"webstorage-server call storage/transact \
  '{"if":[{"key":"lock","value":null}],"set":[{"key":"lock","value":"1"}]}'"#,
            ),
            ("Find what takes the most room", r#"webstorage-server call storage/largest '{"limit":3}'"#),
        ],
        Some("replay") => &[(
            "Record a conversation and hold it again",
            "webstorage-server serve --record talk.txt < calls.ndjson\nwebstorage-server replay talk.txt",
        )],
        Some("schema") => &[("List the methods", "webstorage-server schema | jq -r '.methods[].name'")],
        Some("serve") => &[("Answer the calls in a file", "webstorage-server serve < calls.ndjson")],
        Some("completions") => &[("Complete in this bash", "eval \"$(webstorage-server completions bash)\"")],
        Some("man") => &[("Read the page of a command", "webstorage-server man export | man -l -")],
        Some(_) => &[],
    }
}

/// The end of --help: the examples, and what the exit codes mean.
pub fn help(command: Option<&str>) -> String {
    let mut text = String::new();
    for (what, typed) in of(command) {
        let head = if text.is_empty() { "Examples:\n" } else { "" };
        write!(text, "{head}  # {what}\n  {}\n", typed.replace('\n', "\n  ")).expect("a string takes everything");
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let codes: Vec<String> = EXIT_CODES.iter().map(|(code, meaning)| format!("{code} {meaning}")).collect();
    text + "Exit codes: " + &codes.join("; ")
}
