//! A small replicated store, as an application would build one on broadcasts: what answers the
//! questions about a handler that keeps its messages.
//!
//! A map of a few keys, each with the newest of the entries written to it. Two stores that have
//! compared themselves hold the same; that is what anti-entropy exchanges are for, in which each
//! tells the other the versions that it has ([`StoreMessage`]).

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes};
use partisan_proto::config::{HandlerOptions, StoreConfig};
use partisan_proto::{ExchangeId, Fetched, HandlerId, HandlerName, Merged};

/// The name of the handler whose messages the simulated applications keep.
pub const HANDLER: &str = "store";

/// How many keys there are: few, so that entries outdate each other.
pub const KEYS: u8 = 8;

/// The name of the handler, checked.
///
/// # Panics
/// Never: the name is a good one.
#[must_use]
pub fn handler_name() -> HandlerName {
    HandlerName::new(HANDLER).expect("a short plain name is good")
}

/// The handler.
#[must_use]
pub fn handler() -> HandlerId {
    HandlerId::of(&handler_name())
}

/// How the handler is configured.
#[must_use]
pub fn options() -> HandlerOptions {
    HandlerOptions { store: StoreConfig::Application, ..HandlerOptions::default() }
}

/// What is written to a key at once. Versions are unique, so that of two entries one is newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Greater than that of every entry written before, by anybody.
    pub version: u64,
    /// To which key.
    pub key: u8,
}

const ENTRY: usize = 9;

impl Entry {
    /// What its message is called: a key of the store and a version of it.
    #[must_use]
    pub fn subject(self) -> Bytes {
        let mut out = Vec::with_capacity(ENTRY);
        out.put_u8(self.key);
        out.put_u64(self.version);
        out.into()
    }

    /// The entry that a message of this name carries.
    #[must_use]
    pub fn of_subject(mut subject: &[u8]) -> Option<Self> {
        if subject.len() != ENTRY {
            return None;
        }
        let key = subject.get_u8();
        Some(Self { key, version: subject.get_u64() })
    }

    /// What its message says: something that follows from it, so that it can be judged.
    #[must_use]
    pub fn payload(self) -> Bytes {
        let value = crate::draw::mix(self.version);
        let length = 8 + (value % 64) as usize;
        value.to_be_bytes().into_iter().cycle().take(length).collect()
    }
}

/// The store of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Store(BTreeMap<u8, u64>);

impl Store {
    /// Its entries, by key.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.0.iter().map(|(key, version)| Entry { version: *version, key: *key })
    }

    /// Takes an entry, if it is newer than what there is; says whether it is (`merge/2`).
    pub fn put(&mut self, entry: Entry) -> bool {
        let version = self.0.entry(entry.key).or_default();
        let newer = entry.version > *version;
        *version = entry.version.max(*version);
        newer
    }

    /// As [`Store::put`], of a message.
    pub fn merge(&mut self, subject: &[u8], payload: &[u8]) -> Merged {
        match Entry::of_subject(subject).filter(|entry| entry.payload() == payload) {
            Some(entry) if self.put(entry) => Merged::New,
            Some(_) => Merged::Stale,
            None => Merged::Invalid,
        }
    }

    /// Whether it has that or something newer (`is_stale/1`).
    #[must_use]
    pub fn is_stale(&self, subject: &[u8]) -> bool {
        let known = |entry: Entry| self.0.get(&entry.key).is_some_and(|v| *v >= entry.version);
        Entry::of_subject(subject).is_none_or(known)
    }

    /// What a message of this name says, if the store still has it (`graft/1`).
    #[must_use]
    pub fn fetch(&self, subject: &[u8]) -> Fetched {
        let Some(entry) = Entry::of_subject(subject) else {
            return Fetched::Missing;
        };
        match self.0.get(&entry.key) {
            Some(version) if *version == entry.version => Fetched::Found(entry.payload()),
            Some(version) if *version > entry.version => Fetched::Stale,
            _ => Fetched::Missing,
        }
    }

    /// The entries that are newer here than in a store of these.
    fn newer_than(&self, others: &[Entry]) -> Vec<Entry> {
        let theirs = |key| others.iter().find(|other| other.key == key);
        let newer = |entry: &Entry| theirs(entry.key).is_none_or(|t| t.version < entry.version);
        self.entries().filter(newer).collect()
    }
}

/// What two stores tell each other in an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreMessage {
    /// All that one has.
    Holdings(ExchangeId, Vec<Entry>),
    /// What is newer at the other: the exchange is over.
    Newer(ExchangeId, Vec<Entry>),
}

const MAGIC: u32 = 0x5354_4f52;
const HEADER: usize = 13;

impl StoreMessage {
    /// As bytes.
    #[must_use]
    pub fn write(&self) -> Bytes {
        let (tag, exchange, entries) = match self {
            Self::Holdings(exchange, entries) => (0, exchange, entries),
            Self::Newer(exchange, entries) => (1, exchange, entries),
        };
        let mut out = Vec::with_capacity(HEADER + ENTRY * entries.len());
        out.put_u32(MAGIC);
        out.put_u8(tag);
        out.put_u64(exchange.0);
        entries.iter().for_each(|entry| out.put_slice(&entry.subject()));
        out.into()
    }

    /// From bytes, if they are one.
    #[must_use]
    pub fn read(mut bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEADER || bytes.get_u32() != MAGIC {
            return None;
        }
        let (tag, exchange) = (bytes.get_u8(), ExchangeId(bytes.get_u64()));
        let entries: Option<Vec<_>> = bytes.chunks(ENTRY).map(Entry::of_subject).collect();
        match tag {
            0 => Some(Self::Holdings(exchange, entries?)),
            1 => Some(Self::Newer(exchange, entries?)),
            _ => None,
        }
    }
}

impl Store {
    /// What it tells another store to begin an exchange.
    #[must_use]
    pub fn begin(&self, exchange: ExchangeId) -> StoreMessage {
        StoreMessage::Holdings(exchange, self.entries().collect())
    }

    /// Takes what another store has, and says what is newer here.
    pub fn compare(&mut self, theirs: &[Entry]) -> Vec<Entry> {
        let newer = self.newer_than(theirs);
        theirs.iter().for_each(|entry| _ = self.put(*entry));
        newer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: u8, version: u64) -> Entry {
        Entry { version, key }
    }

    fn store(entries: &[(u8, u64)]) -> Store {
        let mut store = Store::default();
        entries.iter().for_each(|(key, version)| _ = store.put(entry(*key, *version)));
        store
    }

    #[test]
    fn the_newest_entry_of_a_key_stays() {
        let mut store = store(&[(1, 5)]);
        let mut merge = |e: Entry| store.merge(&e.subject(), &e.payload());
        assert_eq!(merge(entry(1, 4)), Merged::Stale);
        assert_eq!(merge(entry(1, 6)), Merged::New);
        assert_eq!(merge(entry(1, 6)), Merged::Stale);
        let forged = store.merge(&entry(1, 7).subject(), &entry(1, 8).payload());
        assert_eq!(forged, Merged::Invalid);
        assert_eq!(store.entries().collect::<Vec<_>>(), [entry(1, 6)]);
    }

    #[test]
    fn questions_are_answered_by_version() {
        let store = store(&[(1, 5)]);
        let stale = [(1, 4), (1, 5), (1, 6), (2, 1)].map(|(k, v)| entry(k, v).subject());
        assert_eq!(stale.map(|subject| store.is_stale(&subject)), [true, true, false, false]);
        assert_eq!(store.fetch(&entry(1, 4).subject()), Fetched::Stale);
        assert_eq!(store.fetch(&entry(1, 5).subject()), Fetched::Found(entry(1, 5).payload()));
        assert_eq!(store.fetch(&entry(1, 6).subject()), Fetched::Missing);
        assert_eq!(store.fetch(b"?"), Fetched::Missing);
    }

    #[test]
    fn two_stores_that_have_compared_themselves_are_equal() {
        let mut here = store(&[(1, 5), (2, 9), (3, 1)]);
        let mut there = store(&[(1, 6), (2, 8), (4, 2)]);
        let message = StoreMessage::read(&here.begin(ExchangeId(7)).write());
        let Some(StoreMessage::Holdings(exchange, theirs)) = message else {
            panic!("{message:?}");
        };
        let reply = StoreMessage::Newer(exchange, there.compare(&theirs));
        assert_eq!(reply, StoreMessage::Newer(ExchangeId(7), vec![entry(1, 6), entry(4, 2)]));
        assert_eq!(StoreMessage::read(&reply.write()), Some(reply.clone()));
        let StoreMessage::Newer(_, newer) = reply else { unreachable!() };
        here.compare(&newer);
        assert_eq!(here, there);
        assert_eq!(StoreMessage::read(b"something else, of whatever kind"), None);
    }
}
