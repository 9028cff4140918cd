//! The membership as a bus of events (`partisan_peer_service_events`).
//!
//! ```
//! use partisan_proto::behaviour::gen_event::EventManager;
//! use partisan_proto::behaviour::membership::{Membership, OnMembers};
//! use partisan_proto::behaviour::EventManagerProcess;
//!
//! let manager = EventManager::<Membership>::new()
//!     .kind("show", |_, _| Ok(OnMembers::new(|update| println!("{:?}", update.members))))
//!     .with("show".into(), "");
//! let process = EventManagerProcess::new(manager);
//! # drop(process);
//! ```
//!
//! Each handler is told of all members when something about them changed; the first time when the
//! manager begins, or by whoever adds it. Changes that come while the manager has other things to do
//! become one. Whatever else is true of event managers is true here: handlers come and go, may have
//! owners, and one that panics harms no other.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Info;
use super::gen_event::{Bus, Handled, Handler};
use crate::process::{ActorContext, Signal};
use crate::spec::NodeSpec;

/// The bus of a manager whose handlers hear of members. A handler may be asked anything, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Membership;

/// Who is a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Grows with each change that the node noticed since its start.
    pub version: u64,
    /// All members as the node knows them, itself included.
    pub members: Vec<NodeSpec>,
}

/// A function as a handler.
#[derive(Clone)]
pub struct OnMembers<F>(F);

impl<F: FnMut(&Update) + Send> OnMembers<F> {
    /// Calls this with each update.
    #[must_use]
    pub const fn new(function: F) -> Self {
        Self(function)
    }
}

impl Bus for Membership {
    type Event = Update;
    type Query = Vec<u8>;
    type Answer = Vec<u8>;

    fn begin(cx: &mut ActorContext<'_>) {
        cx.await_members(None);
    }

    fn event_of(info: &Info, cx: &mut ActorContext<'_>) -> Option<Update> {
        let Info::Signal(Signal::Members { version, members, .. }) = info else {
            return None;
        };
        cx.await_members(Some(*version));
        let members = members.iter().map(|member| NodeSpec::clone(&member.spec)).collect();
        Some(Update { version: *version, members })
    }
}

impl<F: FnMut(&Update) + Send> Handler<Membership> for OnMembers<F> {
    fn handle_event(&mut self, update: &Update, _: &mut ActorContext<'_>) -> Handled {
        (self.0)(update);
        Handled::Keep
    }

    /// It has nothing to say.
    fn handle_call(&mut self, _: Vec<u8>, _: &mut ActorContext<'_>) -> (Vec<u8>, Handled) {
        (Vec::new(), Handled::Keep)
    }
}

impl<F> core::fmt::Debug for OnMembers<F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("OnMembers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::EventManagerProcess;
    use crate::behaviour::gen_event::EventManager;
    use crate::behaviour::testing::step_caught;
    use crate::config::Channels;
    use crate::id::{Incarnation, NodeName};
    use crate::manager::Member;
    use crate::process::{Effect, ProcessAct, Solo};
    use alloc::sync::Arc;
    use alloc::vec;
    use std::sync::Mutex;

    type Heard = Arc<Mutex<Vec<(char, u64, usize)>>>;

    /// A manager with three handlers, of which the one in the midst panics at two members.
    fn stage() -> (Solo<EventManagerProcess<Membership>>, Heard) {
        let heard = Heard::default();
        let handler = |who: char| {
            let heard = Arc::clone(&heard);
            move |_: &[u8], _: Option<Vec<u8>>| {
                let heard = Arc::clone(&heard);
                Ok(OnMembers::new(move |update: &Update| {
                    let (version, count) = (update.version, update.members.len());
                    heard.lock().unwrap_or_else(|it| it.into_inner()).push((who, version, count));
                    assert!(who != 'b' || count < 2, "too many");
                }))
            }
        };
        let manager = EventManager::new()
            .kind("a", handler('a'))
            .kind("b", handler('b'))
            .kind("c", handler('c'));
        let manager = manager.with("a".into(), "").with("b".into(), "").with("c".into(), "");
        (Solo::start(EventManagerProcess::new(manager)), heard)
    }

    /// The one thing that it waits for.
    fn awaited(solo: &mut Solo<EventManagerProcess<Membership>>) -> (u64, Option<u64>) {
        let acts = solo.take_effects().into_iter().filter_map(|effect| match effect {
            Effect::Act(ProcessAct::AwaitMembers { number, known }) => Some((number, known)),
            _ => None,
        });
        match acts.collect::<Vec<_>>()[..] {
            [awaited] => awaited,
            ref other => panic!("{other:?}"),
        }
    }

    fn members(names: &[&str]) -> Arc<[Member]> {
        let member = |name: &&str| {
            let (name, channels) = (NodeName::new(name).unwrap(), Channels::default());
            let spec = NodeSpec::new(name, vec![], &channels, vec![]).unwrap();
            Member { incarnation: Incarnation(1), spec: spec.into() }
        };
        names.iter().map(member).collect()
    }

    #[test]
    fn all_handlers_hear_of_each_membership_and_one_that_panics_harms_no_other() {
        let (mut solo, heard) = stage();
        let mut tell = |version, names: &[&str]| {
            let (number, _) = awaited(&mut solo);
            solo.signal(Signal::Members { number, version, members: members(names) });
            while step_caught(&mut solo) {}
            core::mem::take(&mut *heard.lock().unwrap_or_else(|it| it.into_inner()))
        };
        assert_eq!(tell(4, &["x"]), [('c', 4, 1), ('b', 4, 1), ('a', 4, 1)]);
        assert_eq!(tell(6, &["x", "y"]), [('c', 6, 2), ('b', 6, 2), ('a', 6, 2)]);
        assert_eq!(tell(7, &["x"]), [('c', 7, 1), ('a', 7, 1)]);
        assert_eq!(awaited(&mut solo).1, Some(7));
        assert_eq!(solo.ended(), None);
    }
}
