//! From the text of a step to the text of a message: names are replaced, repeated strings are
//! written out and the short forms of calls and replies become whole messages.

use std::collections::BTreeMap;

use super::json::{Json, Scanner, escaped};

/// The values that names stand for.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, Json>);

impl Names {
    pub(super) fn bind(&mut self, name: &str, value: &Json) {
        self.0.insert(name.to_owned(), value.clone());
    }

    pub(super) fn bind_text(&mut self, name: &str, text: &str) {
        let value = Json::String(text.encode_utf16().collect());
        self.0.insert(name.to_owned(), value);
    }

    pub(super) fn bind_number(&mut self, name: &str, number: u64) {
        let value = Json::Number(number.to_string());
        self.0.insert(name.to_owned(), value);
    }

    fn get(&self, name: &str) -> Result<&Json, String> {
        let known = self.0.get(name);
        known.ok_or_else(|| format!("nothing is bound to the name `{name}`"))
    }

    /// The value's text as it stands inside a string: without quotes of its own.
    fn inside(&self, name: &str) -> Result<String, String> {
        Ok(match self.get(name)? {
            Json::String(units) => escaped(units),
            other => other.to_string(),
        })
    }

    /// Replaces `${name}` everywhere, and outside strings `$name` and `<"text" x count>`.
    pub(super) fn expand(&self, text: &str) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut quoted = false;
        while let Some(next) = rest.find(['"', '\\', '$', '<']) {
            out.push_str(&rest[..next]);
            rest = &rest[next..];
            let after = &rest[1..];
            if rest.starts_with("${") {
                let (name, tail) = after[1..].split_once('}').ok_or("`${` without its `}`")?;
                out.push_str(&self.inside(name)?);
                rest = tail;
            } else if !quoted && rest.starts_with('$') && after.starts_with(char::is_alphabetic) {
                let mut scanner = Scanner::new(after);
                out.push_str(&self.get(scanner.word())?.to_string());
                rest = scanner.rest();
            } else if !quoted && rest.starts_with("<\"") {
                rest = write_repeated(after, &mut out)?;
            } else {
                // A backslash takes the character after it along, so that `\"` ends no string.
                let taken = if rest.starts_with('\\') { after } else { "" };
                let length = 1 + taken.chars().next().map_or(0, char::len_utf8);
                quoted ^= rest.starts_with('"');
                out.push_str(&rest[..length]);
                rest = &rest[length..];
            }
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// Writes out `"text" x count>` and returns what follows it.
fn write_repeated<'a>(text: &'a str, out: &mut String) -> Result<&'a str, String> {
    let mut scanner = Scanner::new(text);
    let units = scanner.string()?;
    scanner.expect("x")?;
    let count = scanner.word();
    let count: usize = count.parse().map_err(|_| scanner.fault("expected how many times"))?;
    scanner.expect(">")?;
    out.push('"');
    out.push_str(&escaped(&units).repeat(count));
    out.push('"');
    Ok(scanner.rest())
}

/// The message a step sends: as written when it is JSON, else from the short form
/// `[id] method [params]`.
pub(super) fn sent(text: &str) -> Result<String, String> {
    if text.starts_with(['{', '[']) {
        return Ok(text.to_owned());
    }
    let (id, rest) = split_id(text)?;
    let (method, params) = rest.split_once(' ').unwrap_or((rest, ""));
    if method.is_empty() || method.contains(['"', '{', '[']) {
        return Err("expected a message, or `id method params`".to_owned());
    }
    let id = id.map_or(String::new(), |id| format!("\"id\":{id},"));
    let params = params.trim_start();
    let params = if params.is_empty() { String::new() } else { format!(",\"params\":{params}") };
    Ok(format!("{{\"jsonrpc\":\"2.0\",{id}\"method\":\"{method}\"{params}}}"))
}

/// The pattern a step expects: as written when it is JSON, else from the short forms
/// `id result`, `id ! code "message" {data}`, `id ! ErrorName "message" {data}` and
/// `method params`.
pub(super) fn expected(text: &str) -> Result<String, String> {
    if text.starts_with(['{', '[', '<']) {
        return Ok(text.to_owned());
    }
    let (id, rest) = split_id(text)?;
    let Some(id) = id else {
        return sent(text);
    };
    if let Some(error) = rest.strip_prefix('!') {
        let error = expected_error(error)?;
        return Ok(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{error}}}"));
    }
    if rest.is_empty() {
        return Err("expected a result after the id".to_owned());
    }
    Ok(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{rest}}}"))
}

fn expected_error(text: &str) -> Result<String, String> {
    let mut scanner = Scanner::new(text);
    let kind = scanner.word();
    scanner.skip_blank();
    let message = if scanner.rest().starts_with('"') {
        let part = scanner.string()?;
        scanner.skip_blank();
        format!("<string containing \"{}\">", escaped(&part))
    } else {
        "<string>".to_owned()
    };
    let data = scanner.rest();
    let code = if kind.is_empty() { "<integer>" } else { kind };
    if !code.starts_with(|c: char| c.is_ascii_alphabetic()) {
        let data = if data.is_empty() { "...".to_owned() } else { format!("\"data\":{data}") };
        return Ok(format!("{{\"code\":{code},\"message\":{message},{data}}}"));
    }
    let members = match data.strip_prefix('{').map(str::trim_start) {
        None if data.is_empty() => ",...}".to_owned(),
        None => return Err("the data of an error is an object".to_owned()),
        Some("}") => "}".to_owned(),
        Some(members) => format!(",{members}"),
    };
    Ok(format!("{{\"code\":<integer>,\"message\":{message},\"data\":{{\"name\":\"{kind}\"{members}}}"))
}

/// The id that a short form begins with, if it begins with one, and what comes after it.
fn split_id(text: &str) -> Result<(Option<&str>, &str), String> {
    let is_id = text.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) || text.starts_with("null ");
    if !is_id {
        return Ok((None, text));
    }
    let mut scanner = Scanner::new(text);
    scanner.scalar()?;
    let rest = scanner.rest();
    let id = &text[..text.len() - rest.len()];
    Ok((Some(id), rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::{Names, expected, sent};

    #[test]
    fn names_are_replaced_outside_strings_and_in_braces_inside() {
        let mut names = Names::default();
        names.bind_number("s", 3);
        names.bind_text("DIR", "/tmp/a\"b");
        let text = names.expand(r#"[$s,"$s ${s} \" ${DIR}","$/x",<"ab" x 3>,$DIR]"#);
        let wanted = r#"[3,"$s 3 \" /tmp/a\"b","$/x","ababab","/tmp/a\"b"]"#;
        assert_eq!(text.as_deref(), Ok(wanted));
        assert!(names.expand("$unknown").is_err());
    }

    #[test]
    fn short_forms_become_whole_messages() {
        for (short, whole) in [
            ("1 a/b [2]", r#"{"jsonrpc":"2.0","id":1,"method":"a/b","params":[2]}"#),
            ("null a", r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#),
            (r#""x y" a"#, r#"{"jsonrpc":"2.0","id":"x y","method":"a"}"#),
            ("$/c {}", r#"{"jsonrpc":"2.0","method":"$/c","params":{}}"#),
            ("{broken", "{broken"),
        ] {
            assert_eq!(sent(short).as_deref(), Ok(whole));
        }
        for (short, whole) in [
            ("1 null", r#"{"jsonrpc":"2.0","id":1,"result":null}"#),
            ("1.5 ! -32602 \"key\"", r#"{"jsonrpc":"2.0","id":1.5,"error":{"code":-32602,"message":<string containing "key">,...}}"#),
            ("1 !", r#"{"jsonrpc":"2.0","id":1,"error":{"code":<integer>,"message":<string>,...}}"#),
            (
                "1 ! NotFoundError",
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":<integer>,"message":<string>,"data":{"name":"NotFoundError",...}}}"#,
            ),
            (
                r#"1 ! QuotaExceededError {"quota":1}"#,
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":<integer>,"message":<string>,"data":{"name":"QuotaExceededError","quota":1}}}"#,
            ),
        ] {
            assert_eq!(expected(short).as_deref(), Ok(whole));
        }
    }
}
