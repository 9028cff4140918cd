//! Up and down strictly alternate, for each node and each of its channels.

use std::collections::BTreeMap;

use partisan_proto::{Action, ChannelId, Epoch, Instance, NodeId, Notification};

use super::{Checker, Violation, ViolationKind};
use crate::world::{Step, World};

/// Up and down strictly alternate; a channel is up only while its node is; a node goes down as the
/// incarnation and session that came up.
#[derive(Debug, Default)]
pub struct Alternation {
    up: BTreeMap<(usize, NodeId), (Instance, Epoch)>,
    channels: BTreeMap<(usize, NodeId, ChannelId), ()>,
}

impl Alternation {
    /// Takes one notification in; says what is wrong with it.
    fn take(&mut self, node: usize, notification: &Notification) -> Result<(), String> {
        match notification {
            Notification::NodeUp { instance, epoch, .. } => {
                match self.up.insert((node, instance.node), (*instance, *epoch)) {
                    None => Ok(()),
                    Some(before) => Err(format!("{instance:?} is up, and was: {before:?}")),
                }
            }
            Notification::NodeDown { instance, epoch, .. } => {
                match self.up.remove(&(node, instance.node)) {
                    Some(before) if before == (*instance, *epoch) => Ok(()),
                    Some(before) => {
                        Err(format!("{instance:?} in {epoch:?} is down; up was {before:?}"))
                    }
                    None => Err(format!("{instance:?} is down, and was not up")),
                }
            }
            Notification::ChannelUp { node: peer, channel } => {
                match self.channels.insert((node, *peer, *channel), ()) {
                    None => Ok(()),
                    Some(()) => Err(format!("{channel:?} to {peer} is up, and was")),
                }
            }
            Notification::ChannelDown { node: peer, channel } => {
                match self.channels.remove(&(node, *peer, *channel)) {
                    Some(()) => Ok(()),
                    None => Err(format!("{channel:?} to {peer} is down, and was not up")),
                }
            }
            _ => Ok(()),
        }
    }

    /// A channel of this node that is up though its peer is down.
    fn orphan(&self, node: usize, peer: NodeId) -> Option<ChannelId> {
        if self.up.contains_key(&(node, peer)) {
            return None;
        }
        let range = (node, peer, ChannelId(0))..=(node, peer, ChannelId(u8::MAX));
        self.channels.range(range).next().map(|((_, _, channel), ())| *channel)
    }
}

impl Checker for Alternation {
    fn on_step(&mut self, step: &Step<'_>, _: &World, found: &mut Vec<Violation>) {
        let mut report = |text| {
            let kind = ViolationKind::Alternation;
            found.push(Violation::new(kind, step.now, Some(step.node), text));
        };
        let notifications = || {
            step.actions.iter().filter_map(|action| match action {
                Action::Notify(notification) => Some(notification),
                _ => None,
            })
        };
        for notification in notifications() {
            if let Err(text) = self.take(step.node, notification) {
                report(text);
            }
        }
        for notification in notifications() {
            let peer = match notification {
                Notification::NodeDown { instance, .. } => instance.node,
                Notification::ChannelUp { node, .. } => *node,
                _ => continue,
            };
            if let Some(channel) = self.orphan(step.node, peer) {
                report(format!("{channel:?} to {peer} is up, and the node is down"));
            }
        }
    }

    fn on_crash(&mut self, _: &World, node: usize) {
        self.up.retain(|(observer, _), _| *observer != node);
        self.channels.retain(|(observer, _, _), ()| *observer != node);
    }
}
