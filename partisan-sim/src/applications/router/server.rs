//! The router of one node: its own subscribers, what other routers want, and what goes to whom.

use std::collections::{BTreeMap, BTreeSet};

use partisan_proto::behaviour::{
    CallResult, Caller, GenServer, Info, Init, Next, Protocol, ServerRef,
};
use partisan_proto::process::{ActorContext, Lane, NodeFilter};
use partisan_proto::{ChannelId, Duration, NodeId, ProcessId, Signal};
use serde::{Deserialize, Serialize};

use super::server_name;
use crate::draw::mix;

/// How often routers tell each other how old their tables are, so that one that missed a change
/// asks for it.
pub(super) const TICK: Duration = Duration::from_secs(5);
/// The most sessions of publishers on one node.
pub const MAX_SESSIONS: usize = 4_096;
/// The most subscriptions on one node.
pub const MAX_SUBSCRIPTIONS: usize = 4_096;
/// The longest topic, in bytes.
pub const MAX_TOPIC: usize = 255;

/// What is published to, and subscribed to.
pub type Topic = String;

/// A session of a publisher: what it publishes arrives in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Session {
    /// The router that it publishes by.
    pub router: ProcessId,
    /// Which of that router's.
    pub number: u64,
}

impl Session {
    /// The key of the lane that all it publishes travels by.
    fn partition_key(self) -> u64 {
        mix(self.router.node.as_u64() ^ mix(self.number))
    }
}

/// What a subscriber is sent, in the postcard format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Who published it.
    pub session: Session,
    /// The how manieth of that session's, to whatever topics, counted from 1.
    pub number: u64,
    /// To what.
    pub topic: Topic,
    /// What it says.
    pub payload: Vec<u8>,
}

/// What a router can be asked, by processes of its own node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouterCall {
    /// Begin a session: answered by [`RouterReply::Opened`].
    Open,
    /// End it: answered by [`RouterReply::Done`].
    Close(Session),
    /// Send this process the events of a topic from now on: answered by [`RouterReply::Done`]. The
    /// same subscription twice is one; it ends with the process.
    Subscribe(Topic, ProcessId),
    /// Do so no longer: answered by [`RouterReply::Done`].
    Unsubscribe(Topic, ProcessId),
    /// Publish: answered by [`RouterReply::Published`].
    Publish(Session, Topic, Vec<u8>),
    /// To how many other nodes would an event of this topic go? Answered by [`RouterReply::Reach`].
    Reach(Topic),
}

/// What a router answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouterReply {
    /// The session.
    Opened(Session),
    /// So be it.
    Done,
    /// It is on its way.
    Published {
        /// As which of its session's.
        number: u64,
        /// To so many other nodes.
        nodes: usize,
    },
    /// To so many other nodes.
    Reach(usize),
    /// Nothing happened.
    Refused(RouterRefusal),
}

/// Why a router refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum RouterRefusal {
    /// Open one first, by the router of the same node.
    #[error("there is no such session here; open one first")]
    NoSession,
    /// Close some.
    #[error("there are {MAX_SESSIONS} sessions; close some first")]
    TooManySessions,
    /// Subscribe to fewer topics.
    #[error("there are {MAX_SUBSCRIPTIONS} subscriptions; end some first")]
    TooManySubscriptions,
    /// Choose a shorter one.
    #[error("the topic is longer than {MAX_TOPIC} bytes; choose a shorter one")]
    TopicTooLong,
    /// Routers serve their own node.
    #[error("the subscriber is of another node; ask the router there")]
    NotHere,
}

/// What routers tell each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouterCast {
    /// All topics that somebody on my node wants, as they are since my so manieth change.
    Topics(ProcessId, u64, BTreeSet<Topic>),
    /// There were so many changes of mine by now.
    Changes(ProcessId, u64),
    /// Tell me your topics.
    Tell(NodeId),
    /// What somebody on your node wants.
    Forward(Event),
    /// Time has passed.
    Tick,
}

/// What is known of another node's router.
#[derive(Debug, Default)]
struct Remote {
    router: Option<ProcessId>,
    changes: u64,
    topics: BTreeSet<Topic>,
}

/// The router of one node.
#[derive(Debug)]
pub struct Router {
    channel: ChannelId,
    /// The last number of each session's events.
    sessions: BTreeMap<u64, u64>,
    last_session: u64,
    subscribers: BTreeMap<Topic, BTreeSet<ProcessId>>,
    /// The monitor of each subscriber.
    watched: BTreeMap<ProcessId, u64>,
    /// How often the topics changed.
    changes: u64,
    /// The nodes that are connected.
    remotes: BTreeMap<NodeId, Remote>,
}

impl Router {
    /// A router that sends events on this channel; with several lanes, sessions are spread over
    /// them.
    #[must_use]
    pub const fn new(channel: ChannelId) -> Self {
        Self {
            channel,
            sessions: BTreeMap::new(),
            last_session: 0,
            subscribers: BTreeMap::new(),
            watched: BTreeMap::new(),
            changes: 0,
            remotes: BTreeMap::new(),
        }
    }

    fn tell(&self, cx: &mut ActorContext<'_>, node: NodeId, cast: &RouterCast) {
        let key = match cast {
            RouterCast::Forward(event) => event.session.partition_key(),
            _ => 0,
        };
        let lane = Lane { channel: self.channel, key: Some(key) };
        // What does not serialise cannot be: all of it came in that way.
        _ = ServerRef::<Self>::named(node, server_name()).on(lane).cast(cx, cast);
    }

    fn tell_topics(&self, cx: &mut ActorContext<'_>, node: NodeId) {
        let topics = self.subscribers.keys().cloned().collect();
        self.tell(cx, node, &RouterCast::Topics(cx.me(), self.changes, topics));
    }

    fn topics_changed(&mut self, cx: &mut ActorContext<'_>) {
        self.changes += 1;
        for node in self.remotes.keys() {
            self.tell_topics(cx, *node);
        }
    }

    fn subscribe(
        &mut self,
        cx: &mut ActorContext<'_>,
        topic: Topic,
        subscriber: ProcessId,
    ) -> RouterReply {
        let count: usize = self.subscribers.values().map(BTreeSet::len).sum();
        if topic.len() > MAX_TOPIC {
            return RouterReply::Refused(RouterRefusal::TopicTooLong);
        }
        if subscriber.node != cx.me().node {
            return RouterReply::Refused(RouterRefusal::NotHere);
        }
        if count >= MAX_SUBSCRIPTIONS {
            return RouterReply::Refused(RouterRefusal::TooManySubscriptions);
        }
        self.watched.entry(subscriber).or_insert_with(|| cx.monitor(subscriber));
        let new = !self.subscribers.contains_key(&topic);
        self.subscribers.entry(topic).or_default().insert(subscriber);
        if new {
            self.topics_changed(cx);
        }
        RouterReply::Done
    }

    /// Ends the subscriptions of a process, to this topic or to all.
    fn unsubscribe(
        &mut self,
        cx: &mut ActorContext<'_>,
        topic: Option<&Topic>,
        subscriber: ProcessId,
    ) {
        let before = self.subscribers.len();
        self.subscribers.retain(|of, subscribers| {
            if topic.is_none_or(|topic| topic == of) {
                subscribers.remove(&subscriber);
            }
            !subscribers.is_empty()
        });
        if !self.subscribers.values().any(|subscribers| subscribers.contains(&subscriber))
            && let Some(monitor) = self.watched.remove(&subscriber)
        {
            cx.demonitor(monitor);
        }
        if self.subscribers.len() < before {
            self.topics_changed(cx);
        }
    }

    fn publish(
        &mut self,
        cx: &mut ActorContext<'_>,
        session: Session,
        topic: Topic,
        payload: Vec<u8>,
    ) -> RouterReply {
        let last = self.sessions.get_mut(&session.number);
        let Some(last) = last.filter(|_| session.router == cx.me()) else {
            return RouterReply::Refused(RouterRefusal::NoSession);
        };
        *last += 1;
        let event = Event { session, number: *last, topic, payload };
        self.hand_over(cx, &event);
        let nodes: Vec<NodeId> = self.wanting(&event.topic).collect();
        let number = event.number;
        let forward = RouterCast::Forward(event);
        for node in &nodes {
            self.tell(cx, *node, &forward);
        }
        RouterReply::Published { number, nodes: nodes.len() }
    }

    /// The other nodes where somebody wants a topic.
    fn wanting<'a>(&'a self, topic: &'a Topic) -> impl Iterator<Item = NodeId> + 'a {
        let wants = self.remotes.iter().filter(|(_, remote)| remote.topics.contains(topic));
        wants.map(|(node, _)| *node)
    }

    /// Hands an event to the subscribers of this node.
    fn hand_over(&self, cx: &mut ActorContext<'_>, event: &Event) {
        if let Some(subscribers) = self.subscribers.get(&event.topic)
            && let Ok(payload) = postcard::to_allocvec(event)
        {
            let payload = bytes::Bytes::from(payload);
            for subscriber in subscribers {
                cx.send(&(*subscriber).into(), payload.clone());
            }
        }
    }

    /// Another router has told how old its table is, and perhaps the table.
    fn learn(
        &mut self,
        cx: &mut ActorContext<'_>,
        (router, changes): (ProcessId, u64),
        topics: Option<BTreeSet<Topic>>,
    ) {
        let Some(remote) = self.remotes.get_mut(&router.node) else {
            return;
        };
        let known = (remote.router, remote.changes);
        // Within one life of its node there is one router of that name after the other.
        if known >= (Some(router), changes) {
            return;
        }
        match topics {
            Some(topics) => *remote = Remote { router: Some(router), changes, topics },
            None => self.tell(cx, router.node, &RouterCast::Tell(cx.me().node)),
        }
    }
}

impl Protocol for Router {
    type Call = RouterCall;
    type Reply = RouterReply;
    type Cast = RouterCast;
}

impl GenServer for Router {
    type Continue = ();

    fn init(&mut self, cx: &mut ActorContext<'_>) -> Init<Self> {
        cx.monitor_nodes(NodeFilter { tag: None, present: true });
        Init::Run(self.handle_cast(RouterCast::Tick, cx))
    }

    fn handle_call(
        &mut self,
        call: RouterCall,
        _from: Caller<RouterReply>,
        cx: &mut ActorContext<'_>,
    ) -> CallResult<Self> {
        CallResult::reply(match call {
            RouterCall::Open if self.sessions.len() >= MAX_SESSIONS => {
                RouterReply::Refused(RouterRefusal::TooManySessions)
            }
            RouterCall::Open => {
                self.last_session += 1;
                self.sessions.insert(self.last_session, 0);
                RouterReply::Opened(Session { router: cx.me(), number: self.last_session })
            }
            RouterCall::Close(session) => {
                if session.router == cx.me() {
                    self.sessions.remove(&session.number);
                }
                RouterReply::Done
            }
            RouterCall::Subscribe(topic, subscriber) => self.subscribe(cx, topic, subscriber),
            RouterCall::Unsubscribe(topic, subscriber) => {
                self.unsubscribe(cx, Some(&topic), subscriber);
                RouterReply::Done
            }
            RouterCall::Publish(session, topic, payload) => {
                self.publish(cx, session, topic, payload)
            }
            RouterCall::Reach(topic) => RouterReply::Reach(self.wanting(&topic).count()),
        })
    }

    fn handle_cast(&mut self, cast: RouterCast, cx: &mut ActorContext<'_>) -> Next<Self> {
        match cast {
            RouterCast::Topics(router, changes, topics) => {
                self.learn(cx, (router, changes), Some(topics));
            }
            RouterCast::Changes(router, changes) => self.learn(cx, (router, changes), None),
            RouterCast::Tell(node) => self.tell_topics(cx, node),
            RouterCast::Forward(event) => self.hand_over(cx, &event),
            RouterCast::Tick => {
                for node in self.remotes.keys() {
                    self.tell(cx, *node, &RouterCast::Changes(cx.me(), self.changes));
                }
                // It always serialises.
                _ = ServerRef::<Self>::new(cx.me()).cast_after(cx, TICK, &RouterCast::Tick);
            }
        }
        Next::Wait
    }

    fn handle_info(&mut self, info: Info, cx: &mut ActorContext<'_>) -> Next<Self> {
        match info {
            Info::Signal(Signal::NodeUp { instance, .. }) => {
                self.remotes.insert(instance.node, Remote::default());
                self.tell_topics(cx, instance.node);
            }
            Info::Signal(Signal::NodeDown { instance, .. }) => {
                self.remotes.remove(&instance.node);
            }
            Info::Signal(Signal::Down { number, .. }) => {
                let ended = self.watched.iter().find(|(_, monitor)| **monitor == number);
                if let Some(subscriber) = ended.map(|(subscriber, _)| *subscriber) {
                    self.unsubscribe(cx, None, subscriber);
                }
            }
            _ => {}
        }
        Next::Wait
    }
}
