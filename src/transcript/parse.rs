//! From the text of a transcript to its steps.

use super::{Action, Framing, Setting, Step, Transport};

/// The line a fault is in, and what is wrong there.
type Fault = (usize, String);

/// How what follows an arrow becomes an action.
type Reader = fn(&str) -> Result<Action, String>;

pub(super) fn steps(text: &str) -> Result<Vec<Step>, Fault> {
    let mut lines = joined(text)?.into_iter();
    let (steps, end) = block(&mut lines)?;
    match end {
        None => Ok(steps),
        Some(line) => Err((line, "`end` without its `for`".to_owned())),
    }
}

/// The lines that say something, each with its number and its continuations.
fn joined(text: &str) -> Result<Vec<(usize, String)>, Fault> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        if !line.starts_with([' ', '\t']) {
            lines.push((index + 1, trimmed.to_owned()));
            continue;
        }
        let Some((_, before)) = lines.last_mut() else {
            let fault = "an indented line continues the one before it, and there is none";
            return Err((index + 1, fault.to_owned()));
        };
        before.push(' ');
        before.push_str(trimmed);
    }
    Ok(lines)
}

/// The steps up to an `end`, whose line comes with them, or to the end of the file.
fn block(lines: &mut impl Iterator<Item = (usize, String)>) -> Result<(Vec<Step>, Option<usize>), Fault> {
    let mut steps = Vec::new();
    while let Some((line, text)) = lines.next() {
        if text == "end" {
            return Ok((steps, Some(line)));
        }
        let at = |fault| (line, fault);
        let (connection, text) = connection(&text);
        let action = if let Some(range) = text.strip_prefix("for ") {
            let (name, from, to) = range_of(range).map_err(at)?;
            let (steps, end) = block(lines)?;
            if end.is_none() {
                return Err((line, "`for` without its `end`".to_owned()));
            }
            Action::Loop { name, from, to, steps }
        } else {
            action(text).map_err(at)?
        };
        let connection = connection.to_owned();
        steps.push(Step { line, connection, action });
    }
    Ok((steps, None))
}

/// The connection's name that a line may begin with, and the rest.
fn connection(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit()).unwrap_or(text.len());
    if end == 0 || !text.starts_with(|c: char| c.is_ascii_uppercase()) {
        return ("", text);
    }
    (&text[..end], text[end..].trim_start())
}

fn range_of(text: &str) -> Result<(String, u64, u64), String> {
    let parts = text.split_once(" in ").and_then(|(name, range)| Some((name.trim(), range.trim().split_once("..")?)));
    let Some((name, (from, to))) = parts else {
        return Err("expected `for name in 1..10`".to_owned());
    };
    let number = |text: &str| {
        let number = text.parse::<u64>();
        number.map_err(|_| format!("`{text}` is no number"))
    };
    Ok((name.to_owned(), number(from)?, number(to)?))
}

fn action(text: &str) -> Result<Action, String> {
    // The longer arrows come first, since the plain ones begin them.
    let arrows: [(&str, Reader); 7] = [
        ("-->raw ", |rest| bytes(rest).map(Action::SendRaw)),
        ("-->bytewise ", |rest| bytes(rest).map(Action::SendBytewise)),
        ("-->frame ", |rest| bytes(rest).map(Action::SendFrame)),
        ("<--raw ", |rest| bytes(rest).map(Action::ExpectRaw)),
        ("--> ", |rest| Ok(Action::Send(rest.to_owned()))),
        ("<-- ", |rest| {
            Ok(match rest {
                "end" => Action::ExpectEnd,
                pattern => Action::ExpectReply(pattern.to_owned()),
            })
        }),
        ("<~~ ", |rest| Ok(Action::ExpectNotification(rest.to_owned()))),
    ];
    for (arrow, read) in arrows {
        if let Some(rest) = text.strip_prefix(arrow) {
            return read(rest.trim());
        }
    }
    match text {
        "close" => return Ok(Action::Close),
        "terminate" => return Ok(Action::Terminate),
        "kill" => return Ok(Action::Kill),
        _ => {}
    }
    if let Some(code) = text.strip_prefix("exit ") {
        return exit_code(code).map(Action::Exit);
    }
    if let Some(server) = text.strip_prefix("connect to ") {
        return Ok(Action::Connect(server.trim().to_owned()));
    }
    let setting = text.split_once(':');
    let setting = setting.ok_or_else(|| format!("`{}` is neither a setting nor a step", beginning(text)))?;
    Ok(Action::Set(self::setting(setting.0, setting.1.trim())?))
}

fn setting(name: &str, value: &str) -> Result<Setting, String> {
    Ok(match (name, value) {
        ("args", _) => Setting::Arguments(arguments(value)?),
        ("env", _) => {
            let (name, value) = value.split_once('=').ok_or("expected `env: NAME=value`")?;
            Setting::Environment(name.to_owned(), value.to_owned())
        }
        ("framing", "lines") => Setting::Framing(Framing::Lines),
        ("framing", "headers") => Setting::Framing(Framing::Headers),
        ("transport", "stdio") => Setting::Transport(Transport::Stdio),
        ("transport", "listen") => Setting::Transport(Transport::Listen),
        ("transport", "pipe") => Setting::Transport(Transport::Pipe),
        ("transport", "socket") => Setting::Transport(Transport::Socket),
        ("exit", code) => Setting::Exit(exit_code(code)?),
        _ => return Err(format!("`{}` is no setting", beginning(&format!("{name}: {value}")))),
    })
}

/// As much of a text as shows which one it is: any file may be taken for a transcript.
fn beginning(text: &str) -> String {
    const MOST: usize = 40;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn exit_code(text: &str) -> Result<i32, String> {
    let code = text.trim().parse();
    code.map_err(|_| format!("`{text}` is no exit code"))
}

/// Arguments separated by blanks; quotation marks keep blanks inside one.
fn arguments(text: &str) -> Result<Vec<String>, String> {
    let mut arguments = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (argument, tail) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or("an argument without its closing quotation mark")?,
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        arguments.push(argument.to_owned());
        rest = tail.trim_start();
    }
    Ok(arguments)
}

/// One or more strings, each perhaps with `repeat 1000` before it.
fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut count = 1;
        if let Some(repeated) = rest.strip_prefix("repeat ") {
            let (number, tail) = repeated.split_once(' ').ok_or("`repeat` of nothing")?;
            let number = number.parse::<usize>();
            count = number.map_err(|_| "expected how often to repeat")?;
            rest = tail.trim_start();
        }
        let (literal, tail) = literal(rest)?;
        bytes.extend(literal.repeat(count));
        rest = tail.trim_start();
    }
    Ok(bytes)
}

/// The bytes of the string that `text` begins with, and what follows it.
fn literal(text: &str) -> Result<(Vec<u8>, &str), String> {
    let mut rest = text.strip_prefix('"').ok_or_else(|| format!("expected a string, found `{text}`"))?;
    let mut bytes = Vec::new();
    loop {
        let stop = rest.find(['"', '\\']).ok_or("a string without its end")?;
        bytes.extend_from_slice(&rest.as_bytes()[..stop]);
        let after = &rest[stop + 1..];
        if rest[stop..].starts_with('"') {
            return Ok((bytes, after));
        }
        let (byte, length) = match after.as_bytes().first() {
            Some(b'r') => (b'\r', 1),
            Some(b'n') => (b'\n', 1),
            Some(b't') => (b'\t', 1),
            Some(b'0') => (0, 1),
            Some(b'"') => (b'"', 1),
            Some(b'\\') => (b'\\', 1),
            Some(b'x') => {
                let digits = after.get(1..3).ok_or("expected two digits after `\\x`")?;
                let byte = u8::from_str_radix(digits, 16);
                (byte.map_err(|_| "expected two digits after `\\x`")?, 3)
            }
            _ => return Err(format!("`\\{after}` begins with no known escape")),
        };
        bytes.push(byte);
        rest = &after[length..];
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, bytes, steps};

    #[test]
    fn bytes_are_read_with_escapes_and_repetitions() {
        let read = bytes(r#""a\r\n\x00\xff\"\\" repeat 3 "é" "z""#);
        let wanted = [b"a\r\n\0\xff\"\\".as_slice(), "éééz".as_bytes()].concat();
        assert_eq!(read, Ok(wanted));
        for text in ["a", "\"a", "\"\\q\"", "repeat x \"a\"", "repeat 2", "\"\\x4\""] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lines_become_steps() {
        let text = "# Comment\nargs: -a \"b c\"\n\nB2--> 1 x\n  [1]\nfor n in 1..2\n<-- $n null\nend\n";
        let steps = steps(text).expect("the transcript is well-formed");
        let [args, send, around] = &steps[..] else {
            panic!("three steps, not {steps:?}");
        };
        assert_eq!((args.line, send.line, around.line), (2, 4, 6));
        assert_eq!(send.connection, "B2");
        assert!(matches!(&send.action, Action::Send(text) if text == "1 x [1]"));
        let inner = matches!(&around.action, Action::Loop { to: 2, steps, .. } if steps.len() == 1);
        assert!(inner, "{around:?}");
    }

    #[test]
    fn a_fault_names_its_line() {
        for (text, line) in [
            ("\n--> 1 a\nnonsense\n", 3),
            ("end", 1),
            ("for n in 1..2\n--> 1 a\n", 1),
            ("framing: morse", 1),
            ("  --> 1 a", 1),
            ("exit now", 1),
        ] {
            let fault = steps(text).expect_err("the transcript is malformed");
            assert_eq!(fault.0, line, "{text}: {}", fault.1);
        }
    }
}
