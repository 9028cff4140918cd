//! All mailboxes of a node.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use partisan_proto::wire::{Destination, ProcessAt};
use partisan_proto::{CommandError, Incarnation, ProcessName, Serial};

use crate::connection::Lane;
use crate::driver_config::DriverConfig;
use crate::error::NodeError;
use crate::id_hasher::BuildIdHasher;
use crate::mailbox::{Mailbox, MailboxQueue};

/// A message that has arrived and is not delivered yet.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) destination: Destination,
    pub(crate) payload: Bytes,
}

/// All mailboxes of a node, those of its processes included.
#[derive(Debug)]
pub(crate) struct Mailboxes {
    most_messages: usize,
    most_bytes: usize,
    /// The incarnation that the node was started in.
    birth: Incarnation,
    inbox: Arc<MailboxQueue>,
    inbox_taken: AtomicBool,
    /// Names stand for mailboxes or for processes, which have an owner.
    named: RwLock<HashMap<Box<str>, Arc<MailboxQueue>>>,
    processes: RwLock<HashMap<u64, Arc<MailboxQueue>, BuildIdHasher>>,
    closed: AtomicBool,
    /// Messages for a name that nobody has registered, or for a process that has ended.
    pub(crate) undeliverable: AtomicU64,
}

impl Mailboxes {
    pub(crate) fn new(config: &DriverConfig, birth: Incarnation) -> Self {
        let (most_messages, most_bytes) = (config.mailbox_messages, config.mailbox_bytes);
        Self {
            most_messages,
            most_bytes,
            birth,
            inbox: Arc::new(MailboxQueue::new(None, most_messages, most_bytes)),
            inbox_taken: AtomicBool::new(false),
            named: RwLock::default(),
            processes: RwLock::default(),
            closed: AtomicBool::new(false),
            undeliverable: AtomicU64::new(0),
        }
    }

    /// The incarnation that the node was started in: part of its processes' identifiers.
    pub(crate) const fn birth(&self) -> Incarnation {
        self.birth
    }

    /// How many messages and bytes a mailbox holds.
    pub(crate) const fn most(&self) -> (usize, usize) {
        (self.most_messages, self.most_bytes)
    }

    /// The node's own inbox, for one receiver at a time.
    pub(crate) fn inbox(self: &Arc<Self>) -> Result<Mailbox, NodeError> {
        if self.inbox_taken.swap(true, Ordering::AcqRel) {
            return Err(NodeError::InboxTaken);
        }
        let queue = Arc::clone(&self.inbox);
        Ok(Mailbox::new(queue, None, Arc::downgrade(self)))
    }

    /// A mailbox for the destination called `name`.
    pub(crate) fn register(self: &Arc<Self>, name: &str) -> Result<Mailbox, NodeError> {
        Destination::name(name).ok_or(NodeError::BadDestination)?;
        let queue = Arc::new(MailboxQueue::new(None, self.most_messages, self.most_bytes));
        self.name(name, &queue)?;
        Ok(Mailbox::new(queue, Some(name.into()), Arc::downgrade(self)))
    }

    /// Lets a name stand for a queue.
    pub(crate) fn name(&self, name: &str, queue: &Arc<MailboxQueue>) -> Result<(), NodeError> {
        if name.starts_with(ProcessName::RESERVED) {
            return Err(NodeError::ReservedName(name.to_owned()));
        }
        let mut named = write(&self.named);
        if self.closed.load(Ordering::Acquire) {
            return Err(NodeError::Stopped);
        }
        if let Some(other) = named.get(name) {
            return Err(taken(name, other));
        }
        named.insert(name.into(), Arc::clone(queue));
        Ok(())
    }

    /// Lets an alias, which nobody else can have, stand for a queue.
    pub(crate) fn alias(&self, alias: &ProcessName, queue: &Arc<MailboxQueue>) {
        write(&self.named).insert(alias.as_str().into(), Arc::clone(queue));
    }

    /// Lets a name stand for nobody, if it stands for this queue.
    pub(crate) fn unname(&self, name: &str, queue: &MailboxQueue) {
        let mut named = write(&self.named);
        if named.get(name).is_some_and(|found| std::ptr::eq(&raw const **found, queue)) {
            named.remove(name);
        }
    }

    pub(crate) fn unregister(&self, queue: &MailboxQueue, name: Option<&str>) {
        let Some(name) = name else {
            return self.inbox_taken.store(false, Ordering::Release);
        };
        self.unname(name, queue);
        // Connections may be waiting for room that will never come.
        queue.close();
    }

    /// The process that a name stands for.
    pub(crate) fn whereis(&self, name: &str) -> Option<Serial> {
        read(&self.named).get(name)?.owner
    }

    /// All names that stand for processes.
    pub(crate) fn registered(&self) -> Vec<(Box<str>, Serial)> {
        let named = read(&self.named);
        let registered = named.iter().filter(|(name, _)| !name.starts_with(ProcessName::RESERVED));
        let mut found: Vec<(Box<str>, Serial)> =
            registered.filter_map(|(name, queue)| Some((name.clone(), queue.owner?))).collect();
        drop(named);
        found.sort();
        found
    }

    /// A process came to life.
    pub(crate) fn add_process(&self, process: Serial, queue: &Arc<MailboxQueue>) {
        write(&self.processes).insert(process.0, Arc::clone(queue));
    }

    /// A process ended: nothing reaches it any more, and whoever waits for room goes on.
    pub(crate) fn remove_process(&self, process: Serial) {
        let queue = write(&self.processes).remove(&process.0);
        if let Some(queue) = queue {
            queue.close();
        }
    }

    /// All processes, in the order of their numbers.
    pub(crate) fn processes(&self) -> Vec<Serial> {
        let mut all: Vec<Serial> = read(&self.processes).keys().copied().map(Serial).collect();
        all.sort_unstable();
        all
    }

    fn find(&self, destination: &Destination) -> Option<Arc<MailboxQueue>> {
        match destination {
            Destination::Inbox => Some(Arc::clone(&self.inbox)),
            Destination::Process(ProcessAt { birth, .. }) if *birth != self.birth => None,
            Destination::Process(ProcessAt { serial, .. }) => {
                read(&self.processes).get(&serial.0).cloned()
            }
            Destination::Name(_) => read(&self.named).get(destination.as_name()?).cloned(),
        }
    }

    /// Delivers `arrived` in order; the mailbox to wait for when one is full.
    pub(crate) fn deliver(
        &self,
        lane: Lane,
        arrived: &mut VecDeque<Arrived>,
    ) -> Result<(), Arc<MailboxQueue>> {
        while let Some(next) = arrived.front() {
            match self.find(&next.destination) {
                Some(mailbox) => {
                    if !mailbox.push_run(lane, arrived) {
                        return Err(mailbox);
                    }
                }
                None => {
                    arrived.pop_front();
                    self.undeliverable.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }

    /// Delivers one message without waiting; the mailbox to wait for when it is full.
    pub(crate) fn deliver_one(
        &self,
        lane: Lane,
        arrived: Arrived,
    ) -> Result<(), Arc<MailboxQueue>> {
        self.deliver(lane, &mut VecDeque::from([arrived]))
    }

    /// Delivers a message that has waited for room, whether there is still some or not; `false` when
    /// nobody has registered its name.
    pub(crate) fn deliver_waited(&self, lane: Lane, relayed: bool, arrived: Arrived) -> bool {
        let mailbox = self.find(&arrived.destination);
        if let Some(mailbox) = &mailbox {
            mailbox.push_waited(lane, relayed, arrived.payload);
        } else {
            self.undeliverable.fetch_add(1, Ordering::Relaxed);
        }
        mailbox.is_some()
    }

    /// Waits until the mailbox of a destination has room, if there is such a mailbox.
    pub(crate) async fn room(&self, destination: &Destination) {
        if let Some(mailbox) = self.find(destination) {
            mailbox.room().await;
        }
    }

    /// Takes no more messages.
    pub(crate) fn close(&self) {
        let mut named = write(&self.named);
        self.closed.store(true, Ordering::Release);
        self.inbox.close();
        for mailbox in named.values() {
            mailbox.close();
        }
        named.retain(|_, queue| queue.owner.is_none());
        drop(named);
        for (_, queue) in write(&self.processes).drain() {
            queue.close();
        }
    }
}

/// Why a name cannot be had.
fn taken(name: &str, holder: &MailboxQueue) -> NodeError {
    match (holder.owner, ProcessName::new(name)) {
        (Some(holder), Ok(name)) => CommandError::NameTaken { name, holder }.into(),
        _ => NodeError::Registered(name.to_owned()),
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use partisan_proto::{ChannelId, NodeId};

    fn mailboxes(messages: usize, bytes: usize) -> Arc<Mailboxes> {
        let config = DriverConfig {
            mailbox_messages: messages,
            mailbox_bytes: bytes,
            ..DriverConfig::default()
        };
        Arc::new(Mailboxes::new(&config, Incarnation(1)))
    }

    fn lane() -> Lane {
        Lane { peer: NodeId::from_u64(1), channel: ChannelId::DEFAULT }
    }

    fn arrived(texts: &[(&str, &'static str)]) -> VecDeque<Arrived> {
        let one = |(name, text): &(&str, &'static str)| Arrived {
            destination: Destination::name(name).unwrap_or_default(),
            payload: Bytes::from_static(text.as_bytes()),
        };
        texts.iter().map(one).collect()
    }

    fn received(mailbox: &mut Mailbox) -> Vec<Bytes> {
        std::iter::from_fn(|| mailbox.try_recv()).map(|message| message.payload).collect()
    }

    #[test]
    fn messages_find_their_mailboxes_in_order() {
        let all = mailboxes(10, 1000);
        let (mut inbox, mut named) = (all.inbox().unwrap(), all.register("n").unwrap());
        let mut batch = arrived(&[("", "1"), ("n", "2"), ("x", "3"), ("n", "4"), ("", "5")]);
        all.deliver(lane(), &mut batch).unwrap();
        assert_eq!(received(&mut inbox), ["1", "5"]);
        assert_eq!(received(&mut named), ["2", "4"]);
        assert_eq!(all.undeliverable.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_full_mailbox_stops_the_batch_where_it_is() {
        for all in [mailboxes(2, 1000), mailboxes(1000, 2)] {
            let mut inbox = all.inbox().unwrap();
            let mut batch = arrived(&[("", "1"), ("", "2"), ("", "3")]);
            assert!(all.deliver(lane(), &mut batch).is_err());
            assert_eq!(batch.len(), 1);
            assert_eq!(received(&mut inbox), ["1", "2"]);
            all.deliver(lane(), &mut batch).unwrap();
            assert_eq!(received(&mut inbox), ["3"]);
        }
    }

    #[test]
    fn names_are_unique_while_their_mailbox_lives() {
        let all = mailboxes(10, 1000);
        let one = all.register("n").unwrap();
        assert_eq!(all.register("n").unwrap_err(), NodeError::Registered("n".into()));
        drop(one);
        all.register("n").unwrap();
        assert_eq!(all.register("").unwrap_err(), NodeError::BadDestination);
        let inbox = all.inbox().unwrap();
        assert_eq!(all.inbox().unwrap_err(), NodeError::InboxTaken);
        drop(inbox);
        all.inbox().unwrap();
    }

    #[test]
    fn what_a_dropped_inbox_had_taken_is_received_by_the_next() {
        let all = mailboxes(10, 1000);
        let mut inbox = all.inbox().unwrap();
        all.deliver(lane(), &mut arrived(&[("", "1"), ("", "2")])).unwrap();
        assert_eq!(inbox.try_recv().unwrap().payload, "1");
        drop(inbox);
        assert_eq!(received(&mut all.inbox().unwrap()), ["2"]);
    }

    #[tokio::test]
    async fn dropping_a_full_named_mailbox_frees_whoever_waits_for_it() {
        let all = mailboxes(1, 1000);
        let named = all.register("n").unwrap();
        let mut batch = arrived(&[("n", "1"), ("n", "2")]);
        let full = all.deliver(lane(), &mut batch).unwrap_err();
        let waiting = tokio::spawn(async move { full.room().await });
        tokio::task::yield_now().await;
        drop(named);
        waiting.await.unwrap();
        all.deliver(lane(), &mut batch).unwrap();
        assert_eq!(all.undeliverable.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_closed_mailbox_ends_after_its_last_message() {
        let all = mailboxes(10, 1000);
        let mut inbox = all.inbox().unwrap();
        all.deliver(lane(), &mut arrived(&[("", "1")])).unwrap();
        all.close();
        assert_eq!(inbox.recv().await.unwrap().payload, "1");
        assert_eq!(inbox.recv().await, None);
        assert_eq!(all.register("late").unwrap_err(), NodeError::Stopped);
    }
}
