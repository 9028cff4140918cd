//! Where the connections of a node are in the network's table, by their numbers there.

use partisan_proto::ConnectionId;

use super::link::Side;

/// For so many more connections of a node room is made at a time: doubling would be a good part of
/// a quiet node.
const ROOM: usize = 2;

/// The open and dialled connections of one node, by their numbers.
///
/// Looked into for every frame that is sent, so as little memory as can be: of each number the
/// lower half is kept. A node would have to ask for two thousand million connections in one life
/// before two were taken for the same.
#[derive(Debug, Default)]
pub(super) struct Numbers(Vec<(u32, u32)>);

impl Numbers {
    fn at(&self, id: ConnectionId) -> Result<usize, usize> {
        let number = id.as_u64() as u32;
        self.0.binary_search_by_key(&number, |(other, _)| *other)
    }

    /// The place of a connection in the table.
    pub(super) fn place(&self, id: ConnectionId) -> Option<u32> {
        self.at(id).ok().map(|at| self.0[at].1)
    }

    /// The places of all, by number, and which end is this node's.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, Side)> {
        let side = |number| Side::of(ConnectionId::from_u64(u64::from(number)));
        self.0.iter().map(move |(number, place)| (*place, side(*number)))
    }

    /// Adds a connection whose number is not taken.
    pub(super) fn insert(&mut self, id: ConnectionId, place: u32) {
        if let Err(at) = self.at(id) {
            if self.0.len() == self.0.capacity() {
                self.0.reserve_exact(ROOM);
            }
            self.0.insert(at, (id.as_u64() as u32, place));
        }
    }

    pub(super) fn remove(&mut self, id: ConnectionId) {
        if let Ok(at) = self.at(id) {
            self.0.remove(at);
            if self.0.capacity() > self.0.len() + 2 * ROOM {
                self.0.shrink_to(self.0.len() + ROOM);
            }
        }
    }
}
