//! Random operations on areas of both kinds mean what they mean for a plain list of items.

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::sample::{Index, select};
use proptest::test_runner::FileFailurePersistence;

use crate::client::{Client, Opened, Outcome};
use crate::folder::Folder;
use crate::units::{of_array, of_result, of_text, to_json};

/// Quotas that some items fit in and some do not.
const QUOTAS: [u64; 4] = [0, 40, 400, 5 << 20];

/// Strings that others could be mistaken for, or that could mean something on the way.
fn string() -> impl Strategy<Value = Vec<u16>> {
    const TEXTS: &[&str] =
        &["", "a", "b", "caf\u{e9}", "cafe\u{301}", "__proto__", "'; DROP TABLE item;--", "\0", "a\0b", "\u{1f600}", "length"];
    const UNITS: &[&[u16]] = &[&[0xD800], &[0xDC00], &[0xDC00, 0xD800], &[0xD83D, 0xDE00, 0xDE00]];
    prop_oneof![
        12 => select(TEXTS).prop_map(of_text),
        4 => select(UNITS).prop_map(<[u16]>::to_vec),
        2 => vec(any::<u16>(), 0..40),
        1 => (0..30_000_usize).prop_map(|length| vec![0x78; length]),
    ]
}

/// A value, which now and then is long.
fn value() -> impl Strategy<Value = Vec<u16>> {
    prop_oneof![60 => string(), 1 => any::<u16>().prop_map(|unit| vec![unit; 1 << 20])]
}

#[derive(Clone, Debug)]
enum Step {
    Set(Vec<u16>, Vec<u16>),
    /// Sets many items, so that there is something to walk through.
    SetMany(u8),
    Get(Vec<u16>),
    Remove(Vec<u16>),
    RemoveAt(Index),
    Clear,
    Key(Index),
    /// Walks over all keys, from the end if so chosen, and removes some on the way.
    Walk(bool, u8),
    Keys(Option<Index>, u64),
    Length,
    Quota(u64),
    Reopen,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (string(), value()).prop_map(|(key, value)| Step::Set(key, value)),
        2 => any::<u8>().prop_map(Step::SetMany),
        5 => string().prop_map(Step::Get),
        4 => string().prop_map(Step::Remove),
        3 => any::<Index>().prop_map(Step::RemoveAt),
        1 => Just(Step::Clear),
        8 => any::<Index>().prop_map(Step::Key),
        2 => (any::<bool>(), any::<u8>()).prop_map(|(back, step)| Step::Walk(back, step)),
        4 => (proptest::option::of(any::<Index>()), 0..20_u64).prop_map(|(after, limit)| Step::Keys(after, limit)),
        2 => Just(Step::Length),
        2 => select(&QUOTAS).prop_map(Step::Quota),
        2 => Just(Step::Reopen),
        1 => Just(Step::Restart),
    ]
}

/// What an area should be: its items in the order in which their keys were first set.
#[derive(Debug)]
struct Model {
    items: Vec<(Vec<u16>, Vec<u16>)>,
    quota: u64,
}

impl Model {
    fn usage(&self) -> u64 {
        self.items.iter().map(|(key, value)| 2 * (key.len() + value.len()) as u64).sum()
    }

    fn place(&self, key: &[u16]) -> Option<usize> {
        self.items.iter().position(|(other, _)| other == key)
    }

    /// Sets an item, or says what the usage would be if it fitted.
    fn set(&mut self, key: &[u16], value: &[u16]) -> Result<(), u64> {
        let place = self.place(key);
        let before = place.map_or(0, |place| key.len() + self.items[place].1.len());
        let (before, after) = (2 * before as u64, 2 * (key.len() + value.len()) as u64);
        let usage = self.usage() - before + after;
        if after > before && usage > self.quota {
            return Err(usage);
        }
        match place {
            Some(place) => value.clone_into(&mut self.items[place].1),
            None => self.items.push((key.to_vec(), value.to_vec())),
        }
        Ok(())
    }

    fn key(&self, place: usize) -> Option<Vec<u16>> {
        self.items.get(place).map(|(key, _)| key.clone())
    }
}

/// An area of a server, and what it should be.
struct Tested<'a> {
    folder: &'a Folder,
    client: Client,
    persistent: bool,
    storage: u64,
    model: Model,
}

impl Tested<'_> {
    fn call(&mut self, method: &str, params: &str) -> Outcome {
        self.client.call(method, &format!("[{}{params}]", self.storage))
    }

    fn get(&mut self, method: &str, params: &str) -> String {
        self.call(method, params).unwrap_or_else(|fault| panic!("{method} {params:.100}: {fault:?}"))
    }

    fn open(&mut self, quota: Option<u64>) {
        let quota = quota.map_or("null".to_owned(), |quota| quota.to_string());
        let opened: Opened = self.client.open(&format!("[{},null,{quota}]", self.persistent));
        let told = (opened.length, opened.usage, opened.quota);
        assert_eq!(told, (self.model.items.len() as u64, self.model.usage(), self.model.quota));
        self.storage = opened.storage;
    }

    fn set(&mut self, key: &[u16], value: &[u16]) {
        let usage = self.model.usage();
        let outcome = self.call("setItem", &format!(",{},{}", to_json(key), to_json(value)));
        match (self.model.set(key, value), outcome) {
            (Ok(()), Ok(result)) => assert_eq!(result, "null"),
            (Err(requested), Err(fault)) => {
                assert_eq!(fault.data.name, "QuotaExceededError");
                let told = (fault.data.requested, fault.data.usage, fault.data.quota);
                assert_eq!(told, (Some(requested), Some(usage), Some(self.model.quota)));
            }
            (expected, outcome) => panic!("{expected:?} was expected, not {outcome:?}"),
        }
    }

    fn remove(&mut self, key: &[u16]) {
        self.get("removeItem", &format!(",{}", to_json(key)));
        self.model.items.retain(|(other, _)| other != key);
    }

    fn check_key(&mut self, place: usize) {
        let key = of_result(&self.get("key", &format!(",{place}")));
        assert_eq!(key, self.model.key(place), "key({place}) of {}", self.model.items.len());
    }

    fn walk(&mut self, back: bool, step: usize) {
        let mut place = if back { self.model.items.len() } else { 0 };
        for n in 1..=self.model.items.len() {
            if back {
                place -= 1;
            }
            self.check_key(place);
            if n.is_multiple_of(step) {
                let key = self.model.key(place).expect("the walk is inside");
                self.remove(&key);
            } else if !back {
                place += 1;
            }
        }
        self.check_key(self.model.items.len());
    }

    fn check_keys(&mut self, after: Option<Index>, limit: u64) {
        // One place is that of no item.
        let after = after.map(|after| after.index(self.model.items.len() + 1));
        let params = match after {
            Some(place) => to_json(&self.model.key(place).unwrap_or_else(|| of_text("no such key"))),
            None => "null".to_owned(),
        };
        let outcome = self.call("storage/keys", &format!(",{params},{limit}"));
        if after.is_some_and(|place| self.model.key(place).is_none()) {
            assert_eq!(outcome.expect_err("there is no such key").data.name, "NotFoundError");
            return;
        }
        let limit = usize::try_from(limit).expect("it is small");
        let expected: Vec<_> =
            self.model.items.iter().skip(after.map_or(0, |place| place + 1)).take(limit).map(|(key, _)| key.clone()).collect();
        assert_eq!(of_array(&outcome.expect("a page is read")), expected);
    }

    fn restart(&mut self) {
        let client = std::mem::replace(&mut self.client, Client::start(self.folder.path()));
        client.end();
        if !self.persistent {
            self.model = Model { items: Vec::new(), quota: 10 << 20 };
        }
        self.open(None);
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Set(key, value) => self.set(key, value),
            Step::SetMany(count) => (0..*count).for_each(|n| self.set(&of_text(&format!("many{n}")), &[u16::from(n)])),
            Step::Get(key) => {
                let value = of_result(&self.get("getItem", &format!(",{}", to_json(key))));
                assert!(value.as_ref() == self.model.place(key).map(|place| &self.model.items[place].1), "the value of {key:?}");
            }
            Step::Remove(key) => self.remove(key),
            Step::RemoveAt(place) => {
                if let Some(key) = self.model.key(place.index(self.model.items.len() + 1)) {
                    self.remove(&key);
                }
            }
            Step::Clear => {
                self.get("clear", "");
                self.model.items.clear();
            }
            Step::Key(place) => self.check_key(place.index(self.model.items.len() + 2)),
            Step::Walk(back, step) => self.walk(*back, usize::from(*step) % 5 + 2),
            Step::Keys(after, limit) => self.check_keys(*after, *limit),
            Step::Length => assert_eq!(self.get("length", ""), self.model.items.len().to_string()),
            Step::Quota(quota) => {
                self.model.quota = *quota;
                self.open(Some(*quota));
            }
            Step::Reopen => {
                self.get("storage/close", "");
                // An area of session storage that holds nothing may be forgotten with its last handle.
                if !self.persistent && self.model.items.is_empty() {
                    self.model.quota = self.client.open("[false]").quota;
                }
                self.open(None);
            }
            Step::Restart => self.restart(),
        }
    }
}

fn check(persistent: bool, steps: &[Step]) {
    let folder = Folder::new();
    let client = Client::start(folder.path());
    let mut tested = Tested { folder: &folder, client, persistent, storage: 0, model: Model { items: Vec::new(), quota: 10 << 20 } };
    tested.open(None);
    for step in steps {
        tested.apply(step);
    }
    let keys: Vec<_> = tested.model.items.iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(of_array(&tested.get("storage/keys", "")), keys);
    tested.open(None);
    tested.client.end();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 30,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_session_area_is_a_list_of_items(steps in vec(step(), 1..120)) {
        check(false, &steps);
    }

    #[test]
    fn a_persistent_area_is_a_list_of_items(steps in vec(step(), 1..120)) {
        check(true, &steps);
    }
}
