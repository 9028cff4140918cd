//! Where each event, message, command and timer goes.

use super::around::Around;
use super::services::{Made, Services};
use crate::action::{Action, Answer, Delivery};
use crate::broadcast::Broadcasts;
use crate::call::Call;
use crate::change::{Change, Parcel};
use crate::command::{Command, Send};
use crate::connections::Received;
use crate::context::Context;
use crate::error::{CommandError, Misbehaviour};
use crate::event::Event;
use crate::id::{ChannelId, Instance, Ticket};
use crate::notification::Notification;
use crate::process::{Late, ProcessAct, RequestId, Serial};
use crate::question::{QuestionId, Response};
use crate::relay::Ways;
use crate::timers::Timer;
use crate::wire::{Cargo, ControlMessage, Destination, Frame, ProcessMessage};

/// The parts of a node, while one step runs.
pub(super) struct Parts<'a> {
    pub(super) around: Around<'a>,
    pub(super) broadcast: &'a mut Broadcasts,
    pub(super) services: &'a mut Services,
}

impl Parts<'_> {
    /// Hands a change to every part: one line a part.
    pub(super) fn change(&mut self, cx: &mut Context<'_>, change: &Change) {
        self.around.connections.change(cx, change);
        self.around.manager.change(cx, change);
        self.broadcast.change(cx, change);
        let services = match change {
            Change::Relay(_) => Some(self.services.made(cx)),
            _ => self.services.get_mut(),
        };
        if let Some(services) = services {
            services.change(cx, &mut self.around, change);
        }
    }

    /// Where each event goes: one line an event.
    pub(super) fn dispatch(&mut self, cx: &mut Context<'_>, event: Event) {
        match event {
            Event::Accepted { connection } => self.around.connections.accepted(cx, connection),
            Event::Opened { connection } => self.around.connections.opened(cx, connection),
            Event::OpenFailed { connection, error } => {
                self.around.connections.open_failed(cx, connection, error);
            }
            Event::Received { connection, frame } => {
                if let Some(received) = self.around.connections.received(cx, connection, frame) {
                    self.received(cx, received);
                }
            }
            Event::Closed { connection, reason } => {
                self.around.connections.closed(cx, connection, reason)
            }
            Event::Congested { connection } => {
                self.around.connections.set_congested(connection, true);
                self.broadcast.set_congested(connection, true);
            }
            Event::Drained { connection } => {
                self.around.connections.set_congested(connection, false);
                self.broadcast.set_congested(connection, false);
                if let Some(node) = self.around.connections.peer_of(connection)
                    && let Some(services) = self.services.get_mut()
                {
                    services.deliveries.drained(cx, &mut self.around, node);
                    services.processes.drained(cx, &mut self.around, node);
                    services.calls.drained(cx, &mut self.around, connection);
                }
            }
            Event::Process { process, act } => self.act(cx, process, *act),
            Event::Command { ticket, command } => self.command(cx, ticket, command),
            Event::Answered { id, response } => self.answered(cx, id, response),
            Event::Wake => {}
        }
    }

    /// Where each kind of answer goes.
    fn answered(&mut self, cx: &mut Context<'_>, id: QuestionId, response: Response) {
        match response {
            Response::Cost(_) => self.around.manager.answered(cx, id, &response),
            Response::Merge(_)
            | Response::IsStale(_)
            | Response::Fetch(_)
            | Response::ExchangeEnded(_) => self.broadcast.answered(cx, id, response),
        }
    }

    /// Where each kind of message goes.
    fn received(&mut self, cx: &mut Context<'_>, received: Received) {
        match received {
            Received::App(delivery) => cx.act(Action::Deliver(delivery)),
            Received::Relayed { from, channel, header, payload } => {
                let (around, by) = (&mut self.around, (from, channel));
                self.services.relay(cx).arrived(cx, around, by, *header, payload);
            }
            Received::Request { from, connection, header, payload } => {
                let (around, by) = (&mut self.around, (from, connection));
                let Made { calls, processes, .. } = self.services.made(cx);
                calls.requested(cx, around, processes, by, (*header, payload));
            }
            Received::Newest { from, channel, header, payload } => {
                let by = (from, channel);
                self.services.deliveries(cx).receive_newest(cx, by, *header, payload);
            }
            Received::Reliable { from, channel, header, payload } => {
                let by = (from, channel, false);
                self.services.deliveries(cx).receive(cx, by, *header, payload);
            }
            Received::Reply { connection, header, payload } => {
                let around = &mut self.around;
                self.services.calls(cx).replied(cx, around, connection, *header, payload);
            }
            Received::Signal { from, connection, message } => match *message {
                ProcessMessage::Down { monitor, reason } => {
                    self.services.processes(cx).receive_on_lane(cx, from, monitor, reason);
                }
                ProcessMessage::Abandon { birth, request } => {
                    self.services.calls(cx).abandoned(from, birth, request);
                }
                _ => self.around.connections.misbehaved(cx, connection, Misbehaviour::WrongChannel),
            },
            Received::Broadcast { from, message } => {
                self.broadcast.receive_message(cx, from, message);
            }
            Received::Control { from, message } => self.control(cx, from, message),
        }
    }

    /// Where each control message goes.
    fn control(&mut self, cx: &mut Context<'_>, from: Instance, message: ControlMessage) {
        let around = &mut self.around;
        match message {
            ControlMessage::Plumtree(message) => self.broadcast.receive(cx, from, message),
            ControlMessage::Relay(message) => self.services.relay(cx).receive(cx, from, message),
            ControlMessage::Acknowledge(acknowledgement) => {
                self.services.deliveries(cx).acknowledged(cx, around, from, &acknowledgement);
            }
            ControlMessage::Process(message) => {
                self.services.processes(cx).receive(cx, around, from, *message);
            }
            ControlMessage::Partition(message) => {
                self.services.partitions(cx).receive(cx, from, message);
            }
            of_manager => {
                if around.manager.receive(cx, from, of_manager).is_err() {
                    around.connections.has_other_manager(cx, from.node);
                }
            }
        }
    }

    fn command(&mut self, cx: &mut Context<'_>, ticket: Ticket, command: Command) {
        if cx.me.stopping {
            return cx.reply(ticket, Err(CommandError::Stopping));
        }
        match command {
            Command::Send(send) => {
                let result = self.send(cx, send);
                cx.reply(ticket, result);
            }
            Command::SendReliable(send) => {
                self.services.deliveries(cx).send(cx, &mut self.around, ticket, *send);
            }
            Command::CausalPast(label) => {
                let result = self.services.deliveries(cx).causal_past(cx, label);
                cx.reply(ticket, result);
            }
            Command::RecallCausalPast { label, past } => {
                let result = self.services.deliveries(cx).recall_causal_past(cx, label, &past);
                cx.reply(ticket, result);
            }
            Command::InjectPartition { ttl } => {
                let result = self.services.partitions(cx).inject(cx, ttl).map(Answer::Partition);
                cx.reply(ticket, result);
            }
            Command::ResolvePartition(id) => {
                self.services.partitions(cx).resolve(cx, id);
                cx.reply(ticket, Ok(Answer::Done));
            }
            Command::Disconnect(node) => {
                let result = self.around.connections.disconnect(cx, node).map(|()| Answer::Done);
                cx.reply(ticket, result);
            }
            Command::Broadcast(broadcast) => {
                let result = self.broadcast.send(cx, broadcast).map(Answer::Broadcast);
                cx.reply(ticket, result);
            }
            Command::CancelExchanges(which) => {
                let cancelled = self.broadcast.cancel_exchanges(cx, which);
                cx.reply(ticket, Ok(Answer::Cancelled(cancelled)));
            }
            Command::Spawn { process, options } => {
                let result = self.services.processes(cx).spawn(cx, process, options);
                cx.reply(ticket, result.map(|()| Answer::Done));
            }
            Command::Register { name, process } => {
                let result = self.services.processes(cx).register(cx, process, name);
                cx.reply(ticket, result.map(|()| Answer::Done));
            }
            Command::Unregister(name) => {
                let result = self.services.processes(cx).unregister(&name);
                cx.reply(ticket, result.map(|()| Answer::Done));
            }
            Command::CancelTimer(timer) => {
                let left = self.services.processes(cx).cancel_timer(cx, timer);
                cx.reply(ticket, Ok(Answer::TimeLeft(left)));
            }
            Command::ReadTimer(timer) => {
                let due = cx.timers.due(Timer::Process(timer));
                let left = due.map(|due| due.since(cx.now));
                cx.reply(ticket, Ok(Answer::TimeLeft(left)));
            }
            Command::Leave | Command::Remove(_) | Command::Stop => self.end(cx, ticket, command),
            membership => self.around.manager.command(cx, ticket, membership),
        }
    }

    /// What ends sessions. Their other sides would take for lost what has arrived, and so are told of
    /// it before.
    fn end(&mut self, cx: &mut Context<'_>, ticket: Ticket, command: Command) {
        if let Some(services) = self.services.get_mut() {
            services.deliveries.acknowledge_all(cx);
        }
        match command {
            Command::Stop => {
                cx.me.stopping = true;
                cx.change(Change::Stopping);
                cx.notify(Notification::Stopped);
                cx.reply(ticket, Ok(Answer::Done));
            }
            of_members => self.around.manager.command(cx, ticket, of_members),
        }
    }

    fn send(&mut self, cx: &mut Context<'_>, send: Send) -> Result<Answer, CommandError> {
        let (to, channel) = (send.to, send.channel);
        if cx.config.channels.name(channel).is_none() {
            return Err(CommandError::UnknownChannel(channel.0));
        }
        if channel == ChannelId::MEMBERSHIP {
            return Err(CommandError::ReservedChannel);
        }
        if to == cx.me.instance.node {
            let Send { destination, payload, .. } = send;
            let relayed = false;
            let delivery = Delivery { from: to, channel, relayed, destination, payload };
            cx.act(Action::Deliver(delivery));
            return Ok(Answer::Done);
        }
        if cx.config.channels.is_monotonic(channel) {
            return self.services.deliveries(cx).send_newest(cx, &mut self.around, send);
        }
        let connected = match send.relay {
            // There may be no lane, as with a peer that is only probed.
            true => cx.routes.lane(to, channel, send.key, 0, |_| 0).map(|_| ()),
            false => cx.routes.check(to).map(|_| ()),
        };
        match connected {
            Err(error) if !send.relay || error == CommandError::Partitioned(to) => Err(error),
            Err(_) => {
                let Send { to, channel, key, destination, payload, .. } = send;
                let cargo = Cargo::Message;
                let parcel = Parcel { to, channel, key, cargo, destination, payload };
                self.services.relay(cx).send(cx, &mut self.around, parcel).map(Answer::Relayed)
            }
            Ok(()) => {
                let Send { key, destination, payload, .. } = send;
                let frame = Frame::App { destination, payload };
                self.around.transmit(cx, to, (channel, key), frame)?;
                Ok(Answer::Done)
            }
        }
    }

    pub(super) fn fire(&mut self, cx: &mut Context<'_>, timer: Timer) {
        match timer {
            Timer::EndHandshake(_)
            | Timer::KeepAlive(_)
            | Timer::Dial(..)
            | Timer::DialContact(_)
            | Timer::EndGoodbye(_) => {
                self.around.connections.fire(cx, timer);
            }
            Timer::Gossip
            | Timer::News
            | Timer::EndJoin(_)
            | Timer::Custom(_)
            | Timer::Strategy
            | Timer::Shuffle
            | Timer::Promote
            | Timer::Reconcile
            | Timer::Store
            | Timer::Peer(_)
            | Timer::Optimize
            | Timer::EndRound => {
                self.around.manager.fire(cx, timer);
            }
            Timer::Broadcast(timer) => self.broadcast.fire(cx, timer),
            Timer::Process(timer) => {
                if let Some(late) = self.services.processes(cx).fire(cx, timer) {
                    self.send_late(cx, late);
                }
            }
            Timer::Retransmit(_) | Timer::Acknowledge(_) | Timer::Causal | Timer::Ordered(_) => {
                self.services.deliveries(cx).fire(cx, &mut self.around, timer);
            }
            Timer::Request(request) => {
                self.services.calls(cx).fire(cx, &mut self.around, request);
            }
        }
    }

    /// A process did something.
    fn act(&mut self, cx: &mut Context<'_>, process: Serial, act: ProcessAct) {
        match act {
            ProcessAct::Reply { reply_to, result } => {
                self.services.calls(cx).reply(cx, &mut self.around, reply_to, result)
            }
            ProcessAct::Abandon { number } => {
                self.services.calls(cx).abandon(
                    cx,
                    &mut self.around,
                    RequestId { owner: process, number },
                );
            }
            ProcessAct::Call { number, server, payload, timeout, lane } => {
                let Made { calls, processes, .. } = self.services.made(cx);
                if processes.lives(process) {
                    let request = RequestId { owner: process, number };
                    let call = Call { request, server, payload, timeout, lane };
                    calls.ask(cx, &mut self.around, processes, call);
                }
            }
            act => self.services.processes(cx).act(cx, &mut self.around, process, act),
        }
    }

    /// Sends what a process asked to be sent later, as if it sent it now.
    fn send_late(&mut self, cx: &mut Context<'_>, Late { target, payload }: Late) {
        let destination = Destination::of(&target);
        let (to, channel) = (target.node(), ChannelId::DEFAULT);
        let send = Send { to, channel, key: None, destination, relay: false, payload };
        // Best effort, as every plain message.
        _ = self.send(cx, send);
    }
}
