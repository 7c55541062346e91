//! Patterns: JSON with wildcards, and the differences between a pattern and a message.

use super::json::{Json, Scanner, escaped};
use super::template::Names;

/// What a message must look like.
#[derive(Debug)]
pub(super) enum Pattern {
    /// A value other than an array or an object, compared exactly.
    Exact(Json),
    Array {
        items: Vec<Pattern>,
        rest: bool,
    },
    Object {
        members: Vec<(Vec<u16>, Pattern)>,
        rest: bool,
    },
    /// `<integer>` and the like.
    Any(Kind),
    /// `<string containing "…">`
    Containing(Vec<u16>),
    /// `<array of 100 …>`
    ArrayOf(usize, Box<Pattern>),
    /// `<… as name>`
    Bound(Box<Pattern>, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Any,
    Integer,
    Number,
    String,
    Boolean,
    Array,
    Object,
}

impl Kind {
    const ALL: [(&str, Self); 7] = [
        ("any", Self::Any),
        ("integer", Self::Integer),
        ("number", Self::Number),
        ("string", Self::String),
        ("boolean", Self::Boolean),
        ("array", Self::Array),
        ("object", Self::Object),
    ];

    fn name(self) -> &'static str {
        let known = Self::ALL.iter().find(|(_, kind)| *kind == self);
        known.map_or("any", |(name, _)| name)
    }

    fn holds(self, value: &Json) -> bool {
        match self {
            Self::Any => true,
            Self::Integer => {
                matches!(value, Json::Number(text) if !text.contains(['.', 'e', 'E']))
            }
            Self::Number => matches!(value, Json::Number(_)),
            Self::String => matches!(value, Json::String(_)),
            Self::Boolean => matches!(value, Json::Boolean(_)),
            Self::Array => matches!(value, Json::Array(_)),
            Self::Object => matches!(value, Json::Object(_)),
        }
    }
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut scanner = Scanner::new(text);
        let pattern = pattern(&mut scanner)?;
        scanner.end()?;
        Ok(pattern)
    }

    /// Adds to `differences` a sentence for each place where `value` is not as the pattern has
    /// it, and to `names` what the pattern binds.
    pub(super) fn compare(&self, value: &Json, place: &str, found: &mut Found<'_>) {
        match (self, value) {
            (Self::Bound(inner, name), _) => {
                inner.compare(value, place, found);
                found.names.bind(name, value);
            }
            (Self::Array { items, rest }, Json::Array(values)) => {
                compare_items(items, *rest, values, place, found);
            }
            (Self::ArrayOf(count, each), Json::Array(values)) => {
                if values.len() != *count {
                    found.differ(place, &format!("{count} items"), &values.len().to_string());
                }
                for (index, value) in values.iter().enumerate() {
                    each.compare(value, &format!("{place}[{index}]"), found);
                }
            }
            (Self::Object { members, rest }, Json::Object(values)) => {
                compare_members(members, *rest, values, place, found);
            }
            (Self::Exact(expected), _) if expected == value => {}
            (Self::Any(kind), _) if kind.holds(value) => {}
            (Self::Containing(part), Json::String(units)) if contains(units, part) => {}
            _ => found.differ(place, &self.shown(), &value.to_string()),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Exact(value) => value.to_string(),
            Self::Array { items, .. } => format!("an array of {} items", items.len()),
            Self::ArrayOf(count, _) => format!("an array of {count} items"),
            Self::Object { members, .. } => {
                let names: Vec<String> = members.iter().map(|(name, _)| escaped(name)).collect();
                format!("an object with {}", names.join(", "))
            }
            Self::Any(kind) => format!("<{}>", kind.name()),
            Self::Containing(part) => format!("<string containing \"{}\">", escaped(part)),
            Self::Bound(inner, _) => inner.shown(),
        }
    }
}

/// What comparing has brought to light so far.
pub(super) struct Found<'a> {
    pub(super) names: &'a mut Names,
    pub(super) differences: Vec<String>,
}

impl Found<'_> {
    fn differ(&mut self, place: &str, expected: &str, received: &str) {
        let place = place.strip_prefix('.').unwrap_or(place);
        let place = if place.is_empty() { "the message" } else { place };
        let (expected, received) = (shortened(expected), shortened(received));
        let difference = format!("{place}: expected {expected}, received {received}");
        self.differences.push(difference);
    }
}

/// A text short enough to be read: the middle of a long one is left out.
pub(super) fn shortened(text: &str) -> String {
    const KEPT: usize = 160;
    let count = text.chars().count();
    if count <= 3 * KEPT {
        return text.to_owned();
    }
    let head: String = text.chars().take(2 * KEPT).collect();
    let tail: String = text.chars().skip(count - KEPT).collect();
    format!("{head} … {} characters … {tail}", count - 3 * KEPT)
}

fn contains(units: &[u16], part: &[u16]) -> bool {
    part.is_empty() || units.windows(part.len()).any(|window| window == part)
}

fn compare_items(items: &[Pattern], rest: bool, values: &[Json], place: &str, found: &mut Found<'_>) {
    for (index, item) in items.iter().enumerate() {
        let place = format!("{place}[{index}]");
        match values.get(index) {
            Some(value) => item.compare(value, &place, found),
            None => found.differ(&place, &item.shown(), "nothing"),
        }
    }
    if rest {
        return;
    }
    for (index, value) in values.iter().enumerate().skip(items.len()) {
        found.differ(&format!("{place}[{index}]"), "nothing", &value.to_string());
    }
}

fn compare_members(members: &[(Vec<u16>, Pattern)], rest: bool, values: &[(Vec<u16>, Json)], place: &str, found: &mut Found<'_>) {
    for (name, member) in members {
        let place = format!("{place}.{}", escaped(name));
        match values.iter().find(|(own, _)| own == name) {
            Some((_, value)) => member.compare(value, &place, found),
            None => found.differ(&place, &member.shown(), "nothing"),
        }
    }
    if rest {
        return;
    }
    for (name, value) in values {
        if !members.iter().any(|(own, _)| own == name) {
            let place = format!("{place}.{}", escaped(name));
            found.differ(&place, "nothing", &value.to_string());
        }
    }
}

fn pattern(scanner: &mut Scanner<'_>) -> Result<Pattern, String> {
    if scanner.take("<") {
        let inner = wildcard(scanner)?;
        let bound = if scanner.take("as ") {
            let name = scanner.word();
            if name.is_empty() {
                return Err(scanner.fault("expected a name"));
            }
            Pattern::Bound(Box::new(inner), name.to_owned())
        } else {
            inner
        };
        scanner.expect(">")?;
        return Ok(bound);
    }
    if scanner.take("[") {
        let mut items = Vec::new();
        while !scanner.closed("]", items.is_empty())? {
            if scanner.take("...") {
                scanner.expect("]")?;
                return Ok(Pattern::Array { items, rest: true });
            }
            items.push(pattern(scanner)?);
        }
        return Ok(Pattern::Array { items, rest: false });
    }
    if scanner.take("{") {
        let mut members: Vec<(Vec<u16>, Pattern)> = Vec::new();
        while !scanner.closed("}", members.is_empty())? {
            if scanner.take("...") {
                scanner.expect("}")?;
                return Ok(Pattern::Object { members, rest: true });
            }
            let name = scanner.string()?;
            scanner.expect(":")?;
            members.push((name, pattern(scanner)?));
        }
        return Ok(Pattern::Object { members, rest: false });
    }
    scanner.scalar().map(Pattern::Exact)
}

fn wildcard(scanner: &mut Scanner<'_>) -> Result<Pattern, String> {
    let word = scanner.word();
    let Some((_, kind)) = Kind::ALL.into_iter().find(|(name, _)| *name == word) else {
        return Err(scanner.fault(&format!("`{word}` is no wildcard")));
    };
    if kind == Kind::String && scanner.take("containing ") {
        return Ok(Pattern::Containing(scanner.string()?));
    }
    if kind == Kind::Array && scanner.take("of ") {
        let count = scanner.word();
        let count = count.parse().map_err(|_| scanner.fault("expected how many items"))?;
        return Ok(Pattern::ArrayOf(count, Box::new(pattern(scanner)?)));
    }
    Ok(Pattern::Any(kind))
}

#[cfg(test)]
mod tests {
    use super::{Found, Json, Pattern};
    use crate::transcript::template::Names;

    fn differences(pattern: &str, value: &str) -> Vec<String> {
        let pattern = Pattern::parse(pattern).expect("the pattern is well-formed");
        let value = Json::parse(value.as_bytes()).expect("the value is JSON");
        let mut names = Names::default();
        let mut found = Found { names: &mut names, differences: Vec::new() };
        pattern.compare(&value, "", &mut found);
        found.differences
    }

    #[test]
    fn what_matches_has_no_differences() {
        for (pattern, value) in [
            (r#"{"a":1,"b":"x"}"#, r#"{"b":"x","a":1}"#),
            (r#"{"a":1,...}"#, r#"{"a":1,"b":2}"#),
            ("{...}", "{}"),
            ("[1,...]", "[1,2,3]"),
            ("<integer>", "-7"),
            (r#"<string containing "ud">"#, r#""loud""#),
            (r#""\ud800""#, r#""\uD800""#),
            ("<array of 3 <integer>>", "[1,2,3]"),
            ("[<any as a>,<object>]", "[null,{}]"),
        ] {
            assert_eq!(differences(pattern, value), Vec::<String>::new(), "{pattern}");
        }
    }

    #[test]
    fn every_difference_is_named_with_its_place() {
        assert_eq!(
            differences(r#"{"a":{"b":[1,2]},"c":<string>}"#, r#"{"a":{"b":[1,3,4]},"d":0}"#),
            [
                "a.b[1]: expected 2, received 3",
                "a.b[2]: expected nothing, received 4",
                "c: expected <string>, received nothing",
                "d: expected nothing, received 0",
            ]
        );
        assert_eq!(differences("1", "1.0"), ["the message: expected 1, received 1.0"]);
        assert_eq!(differences(r#""\ud800""#, r#""\ufffd""#), ["the message: expected \"\\ud800\", received \"\u{fffd}\""]);
        assert_eq!(differences("<integer>", "1.5"), ["the message: expected <integer>, received 1.5"]);
    }

    #[test]
    fn a_malformed_pattern_is_refused() {
        for text in ["<integr>", "{...,\"a\":1}", "[1,2", "<integer as >", "<array of x 1>"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }
}
