//! Answers that wait for room on the connection that their request came by.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;

use super::Failure;
use crate::id::ConnectionId;
use crate::process::ReplyTo;

/// An answer and whose it is.
pub(super) type Waiting = (ReplyTo, Result<Bytes, Failure>);

#[derive(Debug, Default, Hash)]
pub(super) struct Unsent(BTreeMap<ConnectionId, VecDeque<Waiting>>);

impl Unsent {
    /// Has an answer wait, unless `limit` do so already.
    pub(super) fn add(&mut self, by: ConnectionId, waiting: Waiting, limit: usize) -> bool {
        let queue = self.0.entry(by).or_default();
        let fits = queue.len() < limit;
        if fits {
            queue.push_back(waiting);
        }
        fits
    }

    /// The answer that waits the longest.
    pub(super) fn next(&mut self, by: ConnectionId) -> Option<Waiting> {
        let queue = self.0.get_mut(&by)?;
        let next = queue.pop_front();
        if queue.is_empty() {
            self.0.remove(&by);
        }
        next
    }

    /// Puts back what [`Unsent::next`] took.
    pub(super) fn put_back(&mut self, by: ConnectionId, waiting: Waiting) {
        self.0.entry(by).or_default().push_front(waiting);
    }

    /// Forgets what waits for connections that are gone; says how many.
    pub(super) fn retain(&mut self, is_open: impl Fn(ConnectionId) -> bool) -> usize {
        let before = self.len();
        self.0.retain(|connection, _| is_open(*connection));
        before - self.len()
    }

    /// By which connections answers wait.
    pub(super) fn connections(&self) -> Vec<ConnectionId> {
        self.0.keys().copied().collect()
    }

    fn len(&self) -> usize {
        self.0.values().map(VecDeque::len).sum()
    }
}
