//! Up and down strictly alternate, for each node and each of its channels.

use std::collections::BTreeMap;

use partisan_proto::config::MAX_CHANNELS;
use partisan_proto::{Action, ChannelId, Epoch, Incarnation, NodeId, Notification};

use super::{Checker, Violation, ViolationKind};
use crate::world::{Step, World};

/// Up and down strictly alternate; a channel is up only while its node is; a node goes down as the
/// incarnation and session that came up.
#[derive(Debug, Default)]
pub struct Alternation {
    /// By observer and peer, while anything of the peer is up there.
    up: BTreeMap<(usize, NodeId), Up>,
}

/// What of a peer is up.
#[derive(Debug, Default)]
struct Up {
    session: Option<(Incarnation, Epoch)>,
    /// A bit for each channel.
    channels: u64,
}

const _: () = assert!(MAX_CHANNELS <= u64::BITS as usize);

impl Alternation {
    /// Takes one notification in; says what is wrong with it.
    fn take(&mut self, node: usize, notification: &Notification) -> Result<(), String> {
        let peer = match notification {
            Notification::NodeUp { instance, .. } | Notification::NodeDown { instance, .. } => {
                instance.node
            }
            Notification::ChannelUp { node: peer, .. }
            | Notification::ChannelDown { node: peer, .. } => *peer,
            _ => return Ok(()),
        };
        let up = self.up.entry((node, peer)).or_default();
        let result = up.take(peer, notification);
        if up.session.is_none() && up.channels == 0 {
            self.up.remove(&(node, peer));
        }
        result
    }

    /// A channel of this node that is up though its peer is down.
    fn orphan(&self, node: usize, peer: NodeId) -> Option<ChannelId> {
        let up = self.up.get(&(node, peer)).filter(|up| up.session.is_none())?;
        Some(ChannelId(up.channels.trailing_zeros() as u8))
    }
}

impl Up {
    fn take(&mut self, peer: NodeId, notification: &Notification) -> Result<(), String> {
        match notification {
            Notification::NodeUp { instance, epoch, .. } => {
                match self.session.replace((instance.incarnation, *epoch)) {
                    None => Ok(()),
                    Some(before) => Err(format!("{instance:?} is up, and was: {before:?}")),
                }
            }
            Notification::NodeDown { instance, epoch, .. } => match self.session.take() {
                Some(before) if before == (instance.incarnation, *epoch) => Ok(()),
                Some(before) => {
                    Err(format!("{instance:?} in {epoch:?} is down; up was {before:?}"))
                }
                None => Err(format!("{instance:?} is down, and was not up")),
            },
            Notification::ChannelUp { channel, .. } if self.has(*channel) => {
                Err(format!("{channel:?} to {peer} is up, and was"))
            }
            Notification::ChannelDown { channel, .. } if !self.has(*channel) => {
                Err(format!("{channel:?} to {peer} is down, and was not up"))
            }
            Notification::ChannelUp { channel, .. } | Notification::ChannelDown { channel, .. } => {
                self.channels ^= 1 << channel.0;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    const fn has(&self, channel: ChannelId) -> bool {
        self.channels >> channel.0 & 1 == 1
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
    }
}
