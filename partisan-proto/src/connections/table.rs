//! The connections of a node, by number.

use alloc::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::Connection;
use crate::few::{give_back, make_room};
use crate::id::ConnectionId;

/// Up to so many connections are found by looking at the number of each.
const FEW: usize = 32;

/// The connections of a node, looked up by number and never iterated.
///
/// Few of them stand in a row, their numbers side by side in one or two cache lines: a node of a
/// partial view has a dozen, and a simulator has a hundred thousand such nodes. Many are hashed.
#[derive(Debug)]
pub(super) enum Table {
    /// The second holds the connection of each number of the first, in the same order.
    Few(Vec<ConnectionId>, Vec<Connection>),
    Many(HashMap<ConnectionId, Connection, FixedState>),
}

impl Default for Table {
    fn default() -> Self {
        Self::Few(Vec::new(), Vec::new())
    }
}

impl Table {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(ids, _) => ids.len(),
            Self::Many(map) => map.len(),
        }
    }

    pub(super) fn get(&self, id: &ConnectionId) -> Option<&Connection> {
        match self {
            Self::Few(ids, connections) => Some(&connections[place(ids, *id)?]),
            Self::Many(map) => map.get(id),
        }
    }

    pub(super) fn get_mut(&mut self, id: &ConnectionId) -> Option<&mut Connection> {
        match self {
            Self::Few(ids, connections) => Some(&mut connections[place(ids, *id)?]),
            Self::Many(map) => map.get_mut(id),
        }
    }

    pub(super) fn contains_key(&self, id: &ConnectionId) -> bool {
        self.get(id).is_some()
    }

    /// Adds a connection whose number is not taken.
    pub(super) fn insert(&mut self, id: ConnectionId, connection: Connection) {
        debug_assert!(!self.contains_key(&id), "{id:?} is taken");
        match self {
            Self::Few(ids, connections) if ids.len() < FEW => {
                make_room(ids);
                make_room(connections);
                ids.push(id);
                connections.push(connection);
            }
            Self::Few(ids, connections) => {
                let mut map: HashMap<_, _, _> = ids.drain(..).zip(connections.drain(..)).collect();
                map.insert(id, connection);
                *self = Self::Many(map);
            }
            Self::Many(map) => {
                map.insert(id, connection);
            }
        }
    }

    pub(super) fn remove(&mut self, id: &ConnectionId) -> Option<Connection> {
        match self {
            Self::Few(ids, connections) => {
                let place = place(ids, *id)?;
                ids.swap_remove(place);
                let removed = connections.swap_remove(place);
                give_back(ids);
                give_back(connections);
                Some(removed)
            }
            Self::Many(map) => {
                let removed = map.remove(id)?;
                // Not before: a hash table is never iterated, not even to empty it.
                if map.is_empty() {
                    *self = Self::default();
                }
                Some(removed)
            }
        }
    }
}

fn place(ids: &[ConnectionId], id: ConnectionId) -> Option<usize> {
    ids.iter().position(|other| *other == id)
}

#[cfg(test)]
mod tests {
    use super::super::{Origin, Stage};
    use super::*;
    use crate::change::ContactId;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    fn number(connection: &Connection) -> u32 {
        match connection.stage {
            Stage::Opening(Origin::ForContact(ContactId(number))) => number,
            _ => panic!("never stored: {connection:?}"),
        }
    }

    proptest! {
        /// Against an ordered map, long enough to become a hash table and a row again.
        #[test]
        fn behaves_like_a_map(steps in proptest::collection::vec((0..80u64, 0..100u32), 0..400)) {
            let mut table = Table::default();
            let mut map = BTreeMap::new();
            for (step, (key, dice)) in (0..).zip(steps) {
                let id = ConnectionId::dialled(key);
                // Long times of growing and long times of shrinking.
                let grow = if step / 100 % 2 == 0 { 80 } else { 20 };
                if dice < grow && !map.contains_key(&id) {
                    table.insert(id, Connection::opening(Origin::ForContact(ContactId(step))));
                    map.insert(id, step);
                } else if dice >= grow {
                    let removed = table.remove(&id).map(|connection| number(&connection));
                    prop_assert_eq!(removed, map.remove(&id));
                }
                prop_assert_eq!(table.len(), map.len());
                prop_assert_eq!(table.get(&id).map(number), map.get(&id).copied());
                prop_assert_eq!(table.get_mut(&id).is_some(), map.contains_key(&id));
                prop_assert!(matches!(table, Table::Few(..)) || !map.is_empty());
                prop_assert!(matches!(table, Table::Many(_)) || map.len() <= FEW);
            }
            for (id, number_of) in map {
                prop_assert_eq!(table.remove(&id).as_ref().map(number), Some(number_of));
            }
            prop_assert!(matches!(table, Table::Few(..)));
        }
    }
}
