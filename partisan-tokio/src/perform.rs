//! Performs the actions of the core, in order.

use std::sync::atomic::Ordering;

use partisan_proto::wire::Frame;
use partisan_proto::{Action, CloseReason, ConnectionId, Delivery, Event, Notification};

use crate::connection::{Lane, Outgoing, Pressure, PutError};
use crate::event_loop::{EventLoop, LoopEvent};
use crate::events::NodeEvent;
use crate::mailboxes::Arrived;
use crate::network::dialler::dial;

impl EventLoop {
    /// Performs all actions of the outbox. What it causes is left in `feedback`.
    pub(crate) fn perform(&mut self) {
        let mut actions = std::mem::take(&mut self.out.actions);
        for action in actions.drain(..) {
            self.perform_one(action);
        }
        self.out.actions = actions;
    }

    fn perform_one(&mut self, action: Action) {
        match action {
            Action::Open { connection, addresses, timeout } => {
                let events = self.around.events.clone();
                let tcp_timeout = self.around.config.tcp_timeout;
                let task = self.helpers.spawn(async move {
                    let result = dial(addresses, timeout, tcp_timeout).await;
                    // Without a loop there is nobody to tell.
                    let _ = events.send(LoopEvent::Dialled { connection, result }).await;
                });
                self.dials.insert(connection, task);
            }
            Action::Send { connection, frame } => self.send(connection, &frame),
            Action::Close { connection, reason, flush } => self.close(connection, reason, flush),
            Action::Deliver(delivery) => self.deliver(delivery),
            Action::DeliverBroadcast(message) => self.shared.subscriptions.deliver(&message),
            Action::Reply { ticket, result } => {
                match self.tickets.remove(&ticket) {
                    // Whoever asked may have given up.
                    Some(reply) => drop(reply.send(result)),
                    None => self.answered(ticket, result),
                }
            }
            Action::Signal { process, signal } => self.signal(process, signal),
            Action::Serve(request) => self.serve(request),
            Action::End { process, .. } => self.bury(process),
            Action::Persist(bytes) => {
                if let Some(store) = &self.store {
                    store.latest.send_replace(bytes);
                }
            }
            Action::Ask { id, question } => {
                self.feedback.extend(self.shared.answerers.ask(id, question));
            }
            Action::Notify(notification) => {
                trace(&notification);
                if let Notification::ExchangeEnded { exchange, handler, .. } = notification {
                    self.shared.answerers.exchange_over(handler, exchange);
                }
                self.shared.tell(NodeEvent::Notification(notification));
            }
        }
    }

    fn send(&mut self, id: ConnectionId, frame: &Frame) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let outgoing = Outgoing::Core(frame);
        match self.around.interception.outgoing(connection, outgoing, &self.around.events) {
            Ok(Pressure::Unchanged) | Err(PutError::Closed) => {}
            Ok(Pressure::Congested) => self.feedback.push(Event::Congested { connection: id }),
            Err(PutError::Full) => {
                let reason = CloseReason::Stalled;
                self.shared.counters.stalled.fetch_add(1, Ordering::Relaxed);
                self.close(id, reason, false);
                let connection = id;
                self.feedback.push(Event::Closed { connection, reason });
            }
        }
    }

    fn close(&mut self, id: ConnectionId, reason: CloseReason, flush: bool) {
        if let Some(dial) = self.dials.remove(&id) {
            dial.abort();
        }
        if let Some(connection) = self.forget(id) {
            tracing::debug!(connection = ?id, %reason, "closed");
            connection.end(flush);
        }
    }

    /// The core delivers what did not come by the straight path; it cannot wait for room, which the
    /// connection that brought it has done.
    fn deliver(&self, delivery: Delivery) {
        let Delivery { from, channel, relayed, destination, payload } = delivery;
        let lane = Lane { peer: from, channel };
        let arrived = Arrived { destination, payload };
        self.shared.mailboxes.deliver_waited(lane, relayed, arrived);
    }
}

/// Tells the log; failed dials, which repeat, only at a level that is off by default.
fn trace(notification: &Notification) {
    match notification {
        Notification::MemberJoined { spec, incarnation } => {
            tracing::info!(node = %spec.name(), %incarnation, "member joined");
        }
        Notification::MemberLeft { node } => tracing::info!(%node, "member left"),
        Notification::Removed { .. } => tracing::warn!("removed from the cluster"),
        Notification::NodeUp { spec, .. } => tracing::info!(node = %spec.name(), "up"),
        Notification::NodeDown { instance, reason, .. } => {
            tracing::info!(node = %instance.node, %reason, "down")
        }
        Notification::BroadcastsMissed { origin, count } => {
            tracing::warn!(node = %origin.node, count, "missed broadcasts");
        }
        Notification::DuplicateName { .. } => {
            tracing::error!("another node with this name is alive and newer; rename one");
        }
        other => tracing::debug!(event = ?other, "told"),
    }
}
