//! What parts that send payloads are given of the others.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::call::Wires;
use crate::connections::Connections;
use crate::context::Context;
use crate::error::CommandError;
use crate::id::{ChannelId, ConnectionId, NodeId};
use crate::manager::{Manager, Member};
use crate::process::{Lane, Signals};
use crate::relay::Ways;
use crate::spec::NodeSpec;
use crate::wire::{Frame, ProcessMessage};

/// Who is connected, and who is a member: what parts that send payloads need of the others.
pub(super) struct Around<'a> {
    pub(super) connections: &'a mut Connections,
    pub(super) manager: &'a mut dyn Manager,
}

impl Signals for Around<'_> {
    fn signal(
        &mut self,
        cx: &mut Context<'_>,
        to: NodeId,
        lane: Lane,
        message: ProcessMessage,
    ) -> Result<ConnectionId, CommandError> {
        self.transmit_by(cx, to, lane, Frame::Signal(Box::new(message)))
    }

    fn spec(&self, node: NodeId) -> Option<Arc<NodeSpec>> {
        self.connections.peer(node).map(|peer| peer.spec)
    }

    fn members(&self) -> Vec<Member> {
        self.manager.members()
    }
}

impl Wires for Around<'_> {
    fn transmit_by(
        &mut self,
        cx: &mut Context<'_>,
        to: NodeId,
        Lane { channel, key }: Lane,
        frame: Frame,
    ) -> Result<ConnectionId, CommandError> {
        let load = |connection| self.connections.load(connection);
        let connection = cx.routes.lane(to, channel, key, frame.payload_frame_len(), load)?;
        if !self.connections.admit_message(connection) {
            return Err(CommandError::QueueFull(to));
        }
        cx.send_on(connection, frame);
        Ok(connection)
    }

    fn is_open(&self, connection: ConnectionId) -> bool {
        self.connections.peer_of(connection).is_some()
    }

    fn transmit_back(
        &mut self,
        cx: &mut Context<'_>,
        by: ConnectionId,
        frame: Frame,
    ) -> Result<(), CommandError> {
        let Some(node) = self.connections.peer_of(by) else {
            return Err(CommandError::NoSuchConnection(by));
        };
        cx.routes.fits(node, frame.payload_frame_len())?;
        if !self.connections.admit_message(by) {
            return Err(CommandError::QueueFull(node));
        }
        cx.send_on(by, frame);
        Ok(())
    }
}

impl Ways for Around<'_> {
    fn next_hop(&self, to: NodeId) -> Option<NodeId> {
        self.manager.next_hop(to)
    }

    fn transmit(
        &mut self,
        cx: &mut Context<'_>,
        to: NodeId,
        (channel, key): (ChannelId, Option<u64>),
        frame: Frame,
    ) -> Result<(), CommandError> {
        self.transmit_by(cx, to, Lane { channel, key }, frame).map(|_| ())
    }
}
