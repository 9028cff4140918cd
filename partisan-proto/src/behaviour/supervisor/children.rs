//! The children of a supervisor.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Child, ChildCount, ChildError, ChildInfo, ChildKind, ChildSpec};
use crate::process::ProcessId;

/// Names a child among all that its supervisor ever had, in the order of their first start.
pub(super) type Key = u64;

/// Who has a child hosted here, and by which number of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    pub(super) process: ProcessId,
    pub(super) number: u64,
}

/// A child.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) spec: ChildSpec,
    /// What it is given at each start.
    pub(super) args: Vec<u8>,
    /// While it runs.
    pub(super) process: Option<ProcessId>,
    pub(super) restarting: bool,
    /// Of one that is hosted.
    pub(super) owner: Option<Owner>,
}

/// All of them, in the order of their first start.
#[derive(Debug, Default)]
pub(super) struct Children {
    known: BTreeMap<Key, Known>,
    running: BTreeMap<ProcessId, Key>,
    hosted: BTreeMap<Owner, Key>,
    last: Key,
}

impl Children {
    pub(super) fn add(&mut self, spec: ChildSpec, args: Vec<u8>, owner: Option<Owner>) -> Key {
        self.last += 1;
        let known = Known { spec, args, process: None, restarting: false, owner };
        self.known.insert(self.last, known);
        if let Some(owner) = owner {
            self.hosted.insert(owner, self.last);
        }
        self.last
    }

    /// What an owner has hosted by a number.
    pub(super) fn hosted(&self, owner: Owner) -> Option<Key> {
        self.hosted.get(&owner).copied()
    }

    /// All that is hosted for an owner.
    pub(super) fn hosted_for(&self, process: ProcessId) -> impl Iterator<Item = Key> {
        let all = Owner { process, number: 0 }..=Owner { process, number: u64::MAX };
        self.hosted.range(all).map(|(_, key)| *key)
    }

    pub(super) fn get(&self, key: Key) -> Option<&Known> {
        self.known.get(&key)
    }

    /// It runs as this process.
    pub(super) fn runs(&mut self, key: Key, process: ProcessId) {
        if let Some(known) = self.known.get_mut(&key) {
            (known.process, known.restarting) = (Some(process), false);
            self.running.insert(process, key);
        }
    }

    pub(super) fn set_restarting(&mut self, key: Key) {
        if let Some(known) = self.known.get_mut(&key) {
            known.restarting = true;
        }
    }

    /// It is not to be started again by itself.
    pub(super) fn rests(&mut self, key: Key) {
        if let Some(known) = self.known.get_mut(&key) {
            known.restarting = false;
        }
    }

    /// A process has ended; says whose it was.
    pub(super) fn ended(&mut self, process: ProcessId) -> Option<Key> {
        let key = self.running.remove(&process)?;
        self.known.get_mut(&key)?.process = None;
        Some(key)
    }

    pub(super) fn forget(&mut self, key: Key) {
        let Some(Known { process, owner, .. }) = self.known.remove(&key) else {
            return;
        };
        if let Some(process) = process {
            self.running.remove(&process);
        }
        if let Some(owner) = owner
            && self.hosted.get(&owner) == Some(&key)
        {
            self.hosted.remove(&owner);
        }
    }

    /// All, from a first one on.
    pub(super) fn from(&self, first: Key) -> impl DoubleEndedIterator<Item = (Key, &Known)> {
        self.known.range(first..).map(|(key, known)| (*key, known))
    }

    /// The child of this name; those that are hosted are known to their owners alone.
    pub(super) fn named(&self, id: &str) -> Option<(Key, &Known)> {
        self.from(0).find(|(_, known)| known.spec.id == id && known.owner.is_none())
    }

    pub(super) fn find(&self, child: &Child, nameless: bool) -> Result<Key, ChildError> {
        let found = match child {
            Child::Id(_) if nameless => return Err(ChildError::Nameless),
            Child::Id(id) => self.named(id).map(|(key, _)| key),
            Child::Process(process) => self.running.get(process).copied(),
        };
        found.ok_or(ChildError::NotFound)
    }

    /// Whether a significant child runs, or is about to.
    pub(super) fn has_significant(&self) -> bool {
        let lives = |known: &Known| known.process.is_some() || known.restarting;
        self.known.values().any(|known| known.spec.significant && lives(known))
    }

    pub(super) fn infos(&self) -> Vec<ChildInfo> {
        let info = |known: &Known| ChildInfo {
            id: String::from(&*known.spec.id),
            process: known.process,
            restarting: known.restarting,
            kind: known.spec.kind,
            restart: known.spec.restart,
            shutdown: known.spec.shutdown,
            significant: known.spec.significant,
        };
        self.known.values().map(info).collect()
    }

    pub(super) fn count(&self) -> ChildCount {
        let supervisors =
            self.known.values().filter(|known| known.spec.kind == ChildKind::Supervisor).count();
        ChildCount {
            specs: self.known.len(),
            active: self.running.len(),
            supervisors,
            workers: self.known.len() - supervisors,
        }
    }
}
