//! The Partisan protocol as one pure state machine: membership, connections and channels, with no
//! I/O, clock, threads or randomness of its own.
//!
//! A [`Node`] consumes [`Event`]s and leaves [`Action`]s. Whoever drives it owns the sockets and
//! the clock: `partisan-tokio` on TCP, `partisan-sim` in a simulation of thousands of nodes, or
//! your own loop. The whole contract:
//!
//! 1. [`Node::start`], then for everything that happens [`Node::handle`] with the present moment
//!    on a clock that never goes back;
//! 2. after each call, do what [`Outbox::actions`] says, in that order;
//! 3. call again with [`Event::Wake`] when [`Outbox::wake_at`] has come, if nothing else happens
//!    before.
//!
//! # Driving a node
//!
//! Two nodes, and the simplest thing that can carry frames between them:
//!
//! ```
//! use std::collections::VecDeque;
//! use std::sync::Arc;
//! use partisan_proto::*;
//!
//! let config = Arc::new(Config::default());
//! let mut queue = VecDeque::new(); // (to which node, what)
//! let mut outboxes = [Outbox::default(), Outbox::default()];
//! let mut nodes = Vec::new();
//! for (port, name) in [(9000, "alice@host"), (9001, "bob@host")] {
//!     let address: Address = format!("127.0.0.1:{port}").parse()?;
//!     let spec = NodeSpec::new(name.parse()?, vec![address], &config.channels, vec![])?;
//!     let incarnation = Incarnation(1); // greater at each start
//!     let seed = [port as u8; 32]; // from the operating system, in earnest
//!     let birth = Birth { spec, incarnation, seed, snapshot: None, manager: None };
//!     let outbox = &mut outboxes[nodes.len()];
//!     nodes.push(Node::start(Instant::ZERO, birth, config.clone(), outbox)?);
//! }
//!
//! let contact = Contact::at("127.0.0.1:9001".parse()?);
//! queue.push_back((0, Event::Command { ticket: Ticket(1), command: Command::Join(contact) }));
//!
//! // Connection n of one end is connection n of the other: dialled here, accepted there.
//! let other_end = |id: ConnectionId| ConnectionId::from_u64(id.as_u64() ^ 1);
//! while let Some((index, event)) = queue.pop_front() {
//!     nodes[index].handle(Instant::from_secs(1), event, &mut outboxes[index]);
//!     for action in outboxes[index].actions.drain(..) {
//!         match action {
//!             Action::Open { connection, .. } => {
//!                 queue.push_back((1 - index, Event::Accepted { connection: other_end(connection) }));
//!                 queue.push_back((index, Event::Opened { connection }));
//!             }
//!             Action::Send { connection, frame } => {
//!                 let connection = other_end(connection);
//!                 queue.push_back((1 - index, Event::Received { connection, frame }));
//!             }
//!             Action::Close { connection, reason, .. } => {
//!                 let connection = other_end(connection);
//!                 queue.push_back((1 - index, Event::Closed { connection, reason }));
//!             }
//!             Action::Notify(notification) => println!("{index}: {notification:?}"),
//!             Action::Deliver(_) | Action::DeliverBroadcast(_) | Action::Reply { .. } => {}
//!             Action::Persist(_) | Action::Ask { .. } => {}
//!             // No process lives here.
//!             Action::Signal { .. } | Action::Serve(_) | Action::End { .. } => {}
//!         }
//!     }
//! }
//! assert_eq!(nodes[0].members().len(), 2);
//! assert_eq!(nodes[1].members().len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `examples/std_net.rs` does the same with real sockets in a hundred lines more.
//!
//! # What is where
//!
//! [`event`], [`command`], [`action`] and [`notification`] are the vocabulary of the interface;
//! [`connections`] says how nodes find and keep each other, [`manager`] who is a member, [`wire`]
//! what travels; [`config`] all that can be set. `ARCHITECTURE.md` has the map and the invariants.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
// Only what fuzzers use needs more than `alloc`.
#[cfg(any(test, feature = "arbitrary"))]
extern crate std;

pub mod action;
pub mod behaviour;
pub mod broadcast;
pub mod call;
pub mod change;
pub mod command;
pub mod config;
pub mod connections;
pub mod context;
pub mod delivery;
pub mod error;
pub mod event;
pub mod id;
pub mod interposition;
pub mod manager;
pub mod neighbors;
pub mod notification;
pub mod partitions;
pub mod process;
pub mod question;
pub mod random;
pub mod relay;
pub mod snapshot;
pub mod spec;
pub mod time;
pub mod timers;
pub mod wire;

mod few;
mod node;

pub use action::{Action, Answer, Delivery, Outbox};
pub use broadcast::{BroadcastCounters, BroadcastTree};
pub use change::{Change, ContactId, Parcel};
pub use command::{Broadcast, Command, Contact, ExchangeSelector, Send, SendReliable};
pub use config::{ChannelOptions, Channels, Config};
pub use connections::{ConnectionInfo, Counters, Lanes, PeerInfo, PeerRoutes, Routes};
pub use context::{Context, Me};
pub use error::{
    CloseReason, CommandError, ConfigError, JoinError, Misbehaviour, OpenError, Refusal,
};
pub use event::Event;
pub use id::{
    ChannelId, ChannelName, ClusterName, ConnectionId, Epoch, HandlerId, HandlerName, Incarnation,
    Instance, LabelId, LabelName, MessageId, NodeId, NodeName, ProcessName, Tag, Ticket,
};
pub use manager::{Manager, Member, MembershipCounters, ViewCounters, Views};
pub use neighbors::Neighbors;
pub use node::{Birth, Node};
pub use notification::{DialError, ExchangeOutcome, Notification};
pub use process::{ExitReason, ProcessAct, ProcessId, Reference, Serial, Signal, Target};
pub use question::{
    ExchangeId, ExchangeInfo, ExchangeResult, Fetched, Merged, Question, QuestionId, Response,
};
pub use random::{Random, Seed};
pub use snapshot::Snapshot;
pub use spec::{Address, Host, NodeSpec};
pub use time::{Duration, Instant};
pub use timers::{BroadcastTimer, Timer};
