//! The messages that a node keeps for neighbours that lack them.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use core::hash::{Hash, Hasher};

use crate::config::CacheConfig;
use crate::id::{MessageId, NodeId};
use crate::time::{Duration, Instant};
use crate::wire::{BroadcastMessage, Range};

/// Kept messages, bounded by number, bytes and age; the oldest go first.
#[derive(Debug, Default)]
pub(super) struct Cache {
    messages: BTreeMap<MessageId, Cached>,
    /// In the order of coming.
    order: VecDeque<(Instant, MessageId)>,
    bytes: usize,
}

#[derive(Debug)]
struct Cached {
    /// As it is sent on.
    message: Arc<BroadcastMessage>,
    /// Which neighbour it came by first; none for a message of this node's own.
    via: Option<NodeId>,
}

impl Cache {
    /// Keeps a message; says how many others had to go before their time.
    pub(super) fn insert(
        &mut self,
        message: Arc<BroadcastMessage>,
        via: Option<NodeId>,
        now: Instant,
        config: &CacheConfig,
    ) -> u64 {
        self.expire(now, config);
        let id = message.id;
        if self.messages.contains_key(&id) {
            return 0;
        }
        self.bytes += size(&message);
        self.messages.insert(id, Cached { message, via });
        self.order.push_back((now, id));
        let mut gone = 0;
        while self.order.len() > config.messages || self.bytes > config.bytes {
            self.remove_oldest();
            gone += 1;
        }
        gone
    }

    /// Forgets what is too old.
    pub(super) fn expire(&mut self, now: Instant, config: &CacheConfig) {
        while self.order.front().is_some_and(|(at, _)| now.since(*at) >= config.age) {
            self.remove_oldest();
        }
    }

    fn remove_oldest(&mut self) {
        let oldest = self.order.pop_front();
        if let Some(cached) = oldest.and_then(|(_, id)| self.messages.remove(&id)) {
            self.bytes -= size(&cached.message);
        }
    }

    pub(super) fn get(&self, id: MessageId) -> Option<&Arc<BroadcastMessage>> {
        self.messages.get(&id).map(|cached| &cached.message)
    }

    /// For how long messages are kept at present: less than their age when it is full.
    pub(super) fn turnover(&self, now: Instant, config: &CacheConfig) -> Duration {
        let oldest = self.order.front().filter(|_| self.is_full(config));
        oldest.map_or(config.age, |(at, _)| now.since(*at).min(config.age))
    }

    /// Whether there is no room for another message of the usual size.
    fn is_full(&self, config: &CacheConfig) -> bool {
        let usual = self.bytes / self.order.len().max(1);
        self.order.len() >= config.messages || self.bytes + usual > config.bytes
    }

    /// By which neighbour a kept message came first, `Some(None)` for one of this node's own.
    pub(super) fn via(&self, id: MessageId) -> Option<Option<NodeId>> {
        self.messages.get(&id).map(|cached| cached.via)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Everything kept, as ranges of numbers by origin.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range> {
        let mut ids = self.messages.keys().copied().peekable();
        core::iter::from_fn(move || {
            let MessageId { origin, sequence: first } = ids.next()?;
            let mut last = first;
            while let Some(next) = ids
                .next_if(|next| next.origin == origin && last.checked_add(1) == Some(next.sequence))
            {
                last = next.sequence;
            }
            Some(Range { origin, first, last })
        })
    }
}

fn size(message: &BroadcastMessage) -> usize {
    message.key.len() + message.payload.len()
}

impl Hash for Cache {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.order.hash(state);
        self.bytes.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{HandlerId, Incarnation, Instance};
    use alloc::vec;
    use alloc::vec::Vec;

    fn message(node: u64, sequence: u64, bytes: usize) -> Arc<BroadcastMessage> {
        let origin = Instance { node: NodeId::from_u64(node), incarnation: Incarnation(1) };
        Arc::new(BroadcastMessage {
            id: MessageId { origin, sequence },
            hops: 1,
            own: false,
            stored: false,
            handler: HandlerId::from_u64(0),
            key: bytes::Bytes::new(),
            payload: vec![0; bytes].into(),
        })
    }

    /// Checklist B10.
    #[test]
    fn the_oldest_go_by_number_by_bytes_and_by_age() {
        let config = CacheConfig { messages: 3, bytes: 100, age: Duration::from_secs(10) };
        let mut cache = Cache::default();
        let at = Instant::from_secs;
        let kept = |cache: &Cache| cache.messages.keys().map(|id| id.sequence).collect::<Vec<_>>();
        assert_eq!(
            (1..=4).map(|n| cache.insert(message(1, n, 10), None, at(n), &config)).sum::<u64>(),
            1
        );
        assert_eq!(kept(&cache), [2, 3, 4]);
        assert_eq!(cache.insert(message(1, 5, 85), None, at(5), &config), 2, "by bytes");
        assert_eq!((kept(&cache), cache.bytes), (vec![4, 5], 95));
        cache.expire(at(14), &config);
        assert_eq!(kept(&cache), [5]);
        assert_eq!(cache.insert(message(1, 6, 1_000), None, at(15), &config), 1, "too long for it");
        assert!(cache.is_empty() && cache.bytes == 0);
    }

    #[test]
    fn a_full_cache_tells_for_how_long_it_keeps() {
        let config = CacheConfig { messages: 3, ..CacheConfig::default() };
        let mut cache = Cache::default();
        for second in 0..6 {
            let kept = cache.turnover(Instant::from_secs(second), &config);
            let full = Duration::from_secs(3);
            assert_eq!(kept, if second < 3 { config.age } else { full });
            cache.insert(message(1, second, 10), None, Instant::from_secs(second), &config);
        }
        assert_eq!(cache.turnover(Instant::from_secs(1_000), &config), config.age);
    }

    #[test]
    fn what_is_kept_is_told_in_ranges() {
        let (mut cache, config) = (Cache::default(), CacheConfig::default());
        for (node, n) in [(1, 1), (1, 2), (2, 3), (1, 4), (1, 3), (1, 9)] {
            cache.insert(message(node, n, 1), None, Instant::ZERO, &config);
            cache.insert(message(node, n, 1), None, Instant::ZERO, &config);
        }
        let ranges: Vec<_> =
            cache.ranges().map(|r| (r.origin.node.as_u64(), r.first, r.last)).collect();
        assert_eq!(ranges, [(1, 1, 4), (1, 9, 9), (2, 3, 3)]);
    }
}
