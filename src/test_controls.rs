//! Controls for tests: calls that fail or wait on demand, and a log of the calls. Only with
//! `--enable-test-methods`.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use serde_json::value::RawValue;

use crate::connection::Persistence;
use crate::dom_string::DomString;
use crate::error::{Error, Result};
use crate::params;
use crate::protocol::{Handle, SimulatedError};
use crate::wait::Wait;

/// Bytes of params that the log of calls keeps; older calls are forgotten beyond that.
const MAX_LOG: usize = 16 << 20;

/// What a test has asked of one connection.
#[derive(Default)]
pub struct Controls {
    rules: Vec<Rule>,
    calls: VecDeque<LoggedCall>,
    logged_bytes: usize,
    dropped: u64,
    /// What the connection could do before a test denied it persistence.
    pub denied: Option<Persistence>,
    /// The quotas that a test has overridden, as they were.
    pub quotas: FxHashMap<Handle, u64>,
}

/// What is to happen to some calls.
#[derive(Debug)]
pub struct Rule {
    /// Which calls it concerns: `storage/setItem`; all storage methods if none is named.
    pub method: Option<String>,
    /// Which keys it concerns; `*` stands for any part of a key.
    pub key: Option<Vec<u8>>,
    /// How many such calls are left alone first.
    pub skip: u64,
    /// How many such calls it concerns then; all if not said.
    pub count: Option<u64>,
    /// What happens.
    pub action: Action,
}

/// What is to happen to a call.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// It fails with this error and has no effect.
    Fail(SimulatedError),
    /// It is handled this much later, and so are the calls after it.
    Delay(Duration),
}

/// A call that was made.
#[derive(Clone, Debug)]
pub struct LoggedCall {
    /// The method by its full name.
    pub method: &'static str,
    /// The params as they came.
    pub params: Option<Box<RawValue>>,
    /// The error that a test made of it.
    pub failed: Option<SimulatedError>,
}

impl Controls {
    /// Adds a rule. Of several that concern a call, the first that makes it fail counts.
    pub fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// Forgets the rules and the log.
    pub fn reset(&mut self) {
        self.rules.clear();
        self.take_calls();
    }

    /// The calls since they were last taken, and how many more were made before those and forgotten.
    pub fn take_calls(&mut self) -> (Vec<LoggedCall>, u64) {
        self.logged_bytes = 0;
        (std::mem::take(&mut self.calls).into(), std::mem::take(&mut self.dropped))
    }

    /// The calls so far, and how many more were made before those and forgotten.
    #[must_use]
    pub fn calls(&self) -> (Vec<LoggedCall>, u64) {
        (self.calls.iter().cloned().collect(), self.dropped)
    }

    /// Notes a call, waits and fails as the rules say.
    ///
    /// # Errors
    /// The error that a rule asks for; [`Error::Cancelled`] if the client does not want to wait any longer.
    pub fn begin_call(&mut self, method: &'static str, param_names: &[&str], given: Option<&str>, wait: &Wait) -> Result<()> {
        let key = self.rules.iter().any(|rule| rule.key.is_some()).then(|| key_param(param_names, given)).flatten();
        let (mut failed, mut delay) = (None, Duration::ZERO);
        for rule in &mut self.rules {
            if failed.is_some() || !rule.concerns(method, key.as_deref()) || !rule.is_due() {
                continue;
            }
            match rule.action {
                Action::Fail(error) => failed = Some(error),
                Action::Delay(time) => delay += time,
            }
        }
        self.rules.retain(|rule| rule.count != Some(0));
        self.log(method, given, failed);
        delay_call(delay, wait)?;
        failed.map_or(Ok(()), |name| Err(simulated(name)))
    }

    fn log(&mut self, method: &'static str, given: Option<&str>, failed: Option<SimulatedError>) {
        let params = given.and_then(|text| RawValue::from_string(text.to_owned()).ok());
        self.logged_bytes += given.map_or(0, str::len) + size_of::<LoggedCall>();
        self.calls.push_back(LoggedCall { method, params, failed });
        while self.logged_bytes > MAX_LOG {
            let Some(oldest) = self.calls.pop_front() else { break };
            self.logged_bytes -= oldest.params.map_or(0, |params| params.get().len()) + size_of::<LoggedCall>();
            self.dropped += 1;
        }
    }
}

impl Rule {
    fn concerns(&self, method: &str, key: Option<&[u8]>) -> bool {
        self.method.as_ref().is_none_or(|wanted| wanted == method)
            && self.key.as_ref().is_none_or(|pattern| key.is_some_and(|key| matches(pattern, key)))
    }

    /// Counts a call that the rule concerns, and says whether it is that call's turn.
    fn is_due(&mut self) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if let Some(count) = &mut self.count {
            *count = count.saturating_sub(1);
        }
        true
    }
}

/// Waits like a call that waits for another process, so that a client can try to cancel it.
fn delay_call(delay: Duration, wait: &Wait) -> Result<()> {
    const INTERVAL: Duration = Duration::from_millis(1);
    let began = Instant::now();
    while let Some(left) = delay.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
        if !wait.is_wanted() {
            return Err(Error::Cancelled);
        }
        std::thread::sleep(left.min(INTERVAL));
    }
    Ok(())
}

/// The param `key` of a call, if it has one.
fn key_param(names: &[&str], given: Option<&str>) -> Option<Vec<u8>> {
    #[derive(serde::Deserialize)]
    struct WithKey<'a> {
        #[serde(borrow)]
        key: DomString<'a>,
    }
    let text = given?;
    if text.starts_with('{') {
        return params::parse::<WithKey<'_>>(Some(text)).ok().map(|with| with.key.into_bytes());
    }
    let position = names.iter().position(|name| *name == "key")?;
    let members: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    serde_json::from_str::<DomString<'_>>(members.get(position)?.get()).ok().map(DomString::into_bytes)
}

/// Whether a key fits a pattern in which `*` stands for any bytes.
fn matches(pattern: &[u8], key: &[u8]) -> bool {
    let mut parts = pattern.split(|byte| *byte == b'*');
    let Some(mut rest) = parts.next().and_then(|first| key.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = memchr::memmem::find(rest, part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

/// The error that a test has asked for, with values that it could have.
fn simulated(name: SimulatedError) -> Error {
    let text = || "This call was made to fail by a test (test/fail). Nothing was changed.".to_owned();
    match name {
        SimulatedError::QuotaExceededError => Error::QuotaExceeded { quota: 10 << 20, requested: (10 << 20) + 2, usage: 10 << 20 },
        SimulatedError::SecurityError => Error::Security(text()),
        SimulatedError::ConstraintError => Error::Constraint { unmet: vec![(b"simulated".to_vec(), None)] },
        SimulatedError::NotFoundError => Error::NotFound(text()),
        SimulatedError::NotSupportedError => Error::NotSupported(text()),
        SimulatedError::InvalidStateError => Error::InvalidState(text()),
        SimulatedError::TimeoutError => Error::Timeout { origin: "http://localhost".to_owned(), milliseconds: 10_000 },
        SimulatedError::UnknownError => Error::Unknown { message: text(), sqlite_code: Some(10) },
        SimulatedError::DataCorruption => {
            Error::DataCorruption { message: text(), path: PathBuf::from("simulated.sqlite"), moved_to: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_part() {
        for (pattern, key, fits) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("*b", "ba", false),
            ("*", "", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abde", false),
            ("a*a", "a", false),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), key.as_bytes()), fits, "{pattern} {key}");
        }
    }

    #[test]
    fn a_rule_concerns_so_many_calls() {
        let mut controls = Controls::default();
        let names = ["storage", "key", "value"];
        let action = Action::Fail(SimulatedError::TimeoutError);
        controls.add(Rule { method: Some("storage/setItem".to_owned()), key: Some(b"a*".to_vec()), skip: 1, count: Some(2), action });
        let mut outcomes = Vec::new();
        for params in [r#"[1,"a1","v"]"#, r#"{"storage":1,"value":"v","key":"a2"}"#, r#"[1,"b","v"]"#, r#"[1,"a3","v"]"#, r#"[1,"a4","v"]"#]
        {
            outcomes.push(controls.begin_call("storage/setItem", &names, Some(params), &Wait::at_most(Duration::ZERO)).is_err());
        }
        assert_eq!(outcomes, [false, true, false, true, false]);
        assert_eq!(controls.calls().0.iter().filter(|call| call.failed.is_some()).count(), 2);
    }
}
