//! Messages of monotonic channels, sent, received and forgotten; who is the newest is known by
//! [`Newest`](super::newest::Newest).

use alloc::collections::BTreeSet;

use bytes::Bytes;

use super::Deliveries;
use super::outgoing::Outgoing;
use super::sending::is_for_ever;
use crate::action::{Action, Answer, Delivery};
use crate::call::Wires;
use crate::command::Send;
use crate::context::Context;
use crate::error::CommandError;
use crate::id::{ChannelId, Instance, NodeId};
use crate::process::Lane;
use crate::wire::NewestHeader;

impl Deliveries {
    /// The application sends a message on a monotonic channel.
    pub(crate) fn send_newest(
        &mut self,
        cx: &mut Context<'_>,
        wires: &mut impl Wires,
        send: Send,
    ) -> Result<Answer, CommandError> {
        let Send { to, channel, key, destination, relay, payload } = send;
        match cx.routes.check(to) {
            // Who is known is waited for.
            Ok(_) | Err(CommandError::Disconnected(_) | CommandError::NotYetConnected(_)) => {}
            Err(error) => return Err(error),
        }
        if relay {
            return Err(CommandError::NotSupported(
                "relays of messages of monotonic channels; use another channel",
            ));
        }
        let limit = cx.config.delivery.max_places;
        let lane = Lane { channel, key };
        let room = self.places < limit;
        let outgoing = self.outgoing.entry(to).or_insert_with(|| Outgoing::after(self.used));
        let before = outgoing.newest.len();
        let put = outgoing.newest.put(lane, destination, payload, room);
        self.places += outgoing.newest.len() - before;
        let superseded = put.ok_or(CommandError::TooManyPlaces { limit })?;
        self.counters.superseded += u64::from(superseded);
        self.flush(cx, wires, to);
        Ok(Answer::Done)
    }

    /// Transmits the newest messages for a node as far as there is room; not by lanes in `full`.
    pub(super) fn flush_newest(
        &mut self,
        cx: &mut Context<'_>,
        wires: &mut impl Wires,
        to: NodeId,
        full: &mut BTreeSet<Lane>,
    ) {
        let Some(outgoing) = self.outgoing.get_mut(&to) else { return };
        let window = cx.config.delivery.monotonic_window;
        for place in outgoing.newest.unsent() {
            let Some((lane, frame)) = outgoing.newest.frame(place, window) else { continue };
            if full.contains(&lane) {
                continue;
            }
            match wires.transmit_by(cx, to, lane, frame) {
                Ok(connection) => outgoing.newest.sent(place, connection, cx.now),
                Err(error) if is_for_ever(&error) => {
                    outgoing.newest.remove(place);
                    self.places -= 1;
                    self.counters.expired += 1;
                }
                Err(_) => _ = full.insert(lane),
            }
        }
    }

    /// A message of a monotonic channel arrived.
    pub(crate) fn receive_newest(
        &mut self,
        cx: &mut Context<'_>,
        (from, channel): (Instance, ChannelId),
        header: NewestHeader,
        payload: Bytes,
    ) {
        let most = cx.config.delivery.max_places;
        let Some(incoming) = self.incoming_of(cx, from) else { return };
        if incoming.is_newest(&header, cx.now, most) {
            self.counters.delivered += 1;
            let (from, relayed, destination) = (from.node, false, header.destination);
            cx.act(Action::Deliver(Delivery { from, channel, relayed, destination, payload }));
        } else {
            self.counters.duplicates += 1;
        }
        self.acknowledge_soon(cx, from.node);
    }

    /// Drops what waits for a node that left or was removed: nobody waits for it.
    pub(super) fn forget_newest(&mut self, cx: &Context<'_>, to: NodeId) {
        if let Err(CommandError::UnknownNode(_)) = cx.routes.reachable(to)
            && let Some(outgoing) = self.outgoing.get_mut(&to)
        {
            let forgotten = outgoing.newest.forget();
            self.places -= forgotten;
            self.counters.expired += forgotten as u64;
        }
    }
}
