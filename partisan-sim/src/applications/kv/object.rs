//! What a key stands for: concurrent values, told apart by dotted version vectors (Preguiça et al.,
//! "Dotted Version Vectors", 2010; PlumDB's `plum_db_object`).

use std::collections::BTreeMap;

use partisan_proto::ProcessId;
use serde::{Deserialize, Serialize};

/// One write: who wrote, and as its how manieth to that key, counted from 1.
///
/// The writer is a process, not a node: one that comes back with nothing is another, and so never
/// gives the same dot twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dot {
    /// The process that wrote.
    pub writer: ProcessId,
    /// Which of its writes.
    pub number: u64,
}

/// Which writes to a key are known: of each writer all up to a number (a version vector).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Context(BTreeMap<ProcessId, u64>);

impl Context {
    /// Whether it knows a write.
    #[must_use]
    pub fn covers(&self, dot: &Dot) -> bool {
        self.0.get(&dot.writer).is_some_and(|number| *number >= dot.number)
    }

    /// Whether it knows all that another knows.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        let known = |(writer, number): (&ProcessId, &u64)| {
            self.covers(&Dot { writer: *writer, number: *number })
        };
        other.0.iter().all(known)
    }

    /// Knows all that another knows, from now on.
    pub fn join(&mut self, other: &Self) {
        for (writer, number) in &other.0 {
            let known = self.0.entry(*writer).or_default();
            *known = (*known).max(*number);
        }
    }

    /// How many writers it knows.
    #[must_use]
    pub fn writers(&self) -> usize {
        self.0.len()
    }

    /// The next write of a writer; `None` when it has no numbers left.
    #[must_use]
    pub fn next(&self, writer: ProcessId) -> Option<Dot> {
        let number = self.0.get(&writer).copied().unwrap_or_default().checked_add(1)?;
        Some(Dot { writer, number })
    }

    /// Knows a write, and all of its writer's before it, from now on.
    pub fn add(&mut self, dot: Dot) {
        let known = self.0.entry(dot.writer).or_default();
        *known = (*known).max(dot.number);
    }
}

/// What is known of a key: the values that no write has replaced, and all writes that are known.
/// One that was deleted has no value and keeps its context, so that no old value comes back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Object {
    context: Context,
    values: BTreeMap<Dot, Vec<u8>>,
}

impl Object {
    /// All writes that are known.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// The values: one, or several that were written without knowing of each other (siblings).
    #[must_use]
    pub const fn values(&self) -> &BTreeMap<Dot, Vec<u8>> {
        &self.values
    }

    /// Writes a value, or deletes: replaces what the writer knew of, and stays beside what it did
    /// not. `None` when the writer has no numbers left.
    pub fn write(
        &mut self,
        writer: ProcessId,
        known: &Context,
        value: Option<Vec<u8>>,
    ) -> Option<Dot> {
        self.context.join(known);
        let dot = self.context.next(writer)?;
        self.values.retain(|old, _| !known.covers(old));
        self.context.add(dot);
        self.values.extend(value.map(|value| (dot, value)));
        Some(dot)
    }

    /// Takes in what another replica knows; says whether any of it was news. A value stays that
    /// both have, or that one has and the other does not know of.
    pub fn merge(&mut self, other: Self) -> bool {
        let before = self.values.len();
        let Self { context, values } = other;
        self.values.retain(|dot, _| values.contains_key(dot) || !context.covers(dot));
        let mut changed = self.values.len() != before || !self.context.includes(&context);
        for (dot, value) in values {
            if !self.context.covers(&dot) {
                self.values.insert(dot, value);
                changed = true;
            }
        }
        self.context.join(&context);
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use partisan_proto::{Incarnation, NodeId, Serial};
    use proptest::prelude::*;

    fn writer(number: u64) -> ProcessId {
        let node = NodeId::from_u64(number);
        ProcessId { node, birth: Incarnation(1), serial: Serial(1) }
    }

    fn values(object: &Object) -> Vec<&[u8]> {
        object.values().values().map(Vec::as_slice).collect()
    }

    fn value(text: &str) -> Option<Vec<u8>> {
        Some(text.as_bytes().to_vec())
    }

    #[test]
    fn a_write_replaces_what_its_writer_knew_and_nothing_else() {
        let mut object = Object::default();
        object.write(writer(1), &Context::default(), value("a"));
        let known = object.context().clone();
        object.write(writer(1), &Context::default(), value("b"));
        assert_eq!(values(&object), [b"a", b"b"], "the second did not know of the first");
        object.write(writer(1), &known, value("c"));
        assert_eq!(values(&object), [b"b", b"c"]);
        let all = object.context().clone();
        object.write(writer(2), &all, None);
        assert!(object.values().is_empty());
    }

    #[test]
    fn concurrent_writes_become_siblings_and_one_that_knew_both_replaces_them() {
        let (mut here, mut there) = (Object::default(), Object::default());
        here.write(writer(1), &Context::default(), value("a"));
        there.write(writer(2), &Context::default(), value("b"));
        assert!(here.merge(there.clone()));
        assert!(!here.merge(there.clone()), "nothing new");
        assert_eq!(values(&here), [b"a", b"b"]);
        let known = here.context().clone();
        here.write(writer(1), &known, value("c"));
        assert!(there.merge(here.clone()));
        assert!(!here.merge(there.clone()));
        assert_eq!((values(&there), &here), (vec![&b"c"[..]], &there));
    }

    #[test]
    fn what_was_deleted_does_not_come_back() {
        let mut here = Object::default();
        here.write(writer(1), &Context::default(), value("a"));
        let old = here.clone();
        let known = here.context().clone();
        here.write(writer(1), &known, None);
        assert!(!here.merge(old));
        assert!(here.values().is_empty());
    }

    /// Writes and merges among three replicas, by dice.
    fn course(steps: &[(usize, usize, u8)]) -> Vec<Object> {
        let mut replicas = vec![Object::default(); 3];
        let mut read = vec![Context::default(); 3];
        for (at, other, what) in steps {
            let (at, other) = (at % 3, other % 3);
            match what % 4 {
                0 => read[at] = replicas[at].context().clone(),
                1 => _ = replicas[at].write(writer(at as u64), &read[other], Some(vec![*what])),
                2 => _ = replicas[at].write(writer(at as u64), &read[at], None),
                _ => {
                    let theirs = replicas[other].clone();
                    replicas[at].merge(theirs);
                }
            }
        }
        replicas
    }

    proptest! {
        #[test]
        fn merging_is_commutative_associative_and_idempotent(
            steps in proptest::collection::vec((0..3_usize, 0..3_usize, any::<u8>()), 0..40),
        ) {
            let replicas = course(&steps);
            let join = |a: &Object, b: &Object| {
                let mut a = a.clone();
                a.merge(b.clone());
                a
            };
            let [a, b, c] = &replicas[..] else { unreachable!() };
            prop_assert_eq!(join(a, b), join(b, a));
            prop_assert_eq!(join(&join(a, b), c), join(a, &join(b, c)));
            prop_assert_eq!(&join(a, a), a);
        }
    }
}
