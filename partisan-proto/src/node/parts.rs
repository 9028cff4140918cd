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
use crate::id::{ChannelId, Ticket};
use crate::notification::Notification;
use crate::partitions::Partitions;
use crate::process::{Late, ProcessAct, RequestId, Serial};
use crate::question::{QuestionId, Response};
use crate::relay::Ways;
use crate::timers::Timer;
use crate::wire::{Cargo, ControlMessage, Destination, Frame, ProcessMessage};

/// The parts of a node, while one step runs.
pub(super) struct Parts<'a> {
    pub(super) around: Around<'a>,
    pub(super) broadcast: &'a mut Broadcasts,
    pub(super) partitions: &'a mut Partitions,
    pub(super) services: &'a mut Services,
}

impl Parts<'_> {
    /// Hands a change to every part: one line a part.
    pub(super) fn change(&mut self, cx: &mut Context<'_>, change: &Change) {
        self.around.connections.change(cx, change);
        self.around.manager.change(cx, change);
        self.broadcast.change(cx, change);
        self.partitions.change(cx, change);
        let services = match change {
            Change::Relay(_) => Some(self.services.made(cx.config)),
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
                self.services.made(cx.config).relay.arrived(
                    cx,
                    &mut self.around,
                    (from, channel),
                    *header,
                    payload,
                );
            }
            Received::Request { from, connection, header, payload } => {
                let Made { calls, processes, .. } = self.services.made(cx.config);
                let around = &mut self.around;
                calls.requested(cx, around, processes, (from, connection), (*header, payload));
            }
            Received::Newest { from, channel, header, payload } => {
                self.services.made(cx.config).deliveries.receive_newest(
                    cx,
                    (from, channel),
                    *header,
                    payload,
                );
            }
            Received::Reliable { from, channel, header, payload } => {
                self.services.made(cx.config).deliveries.receive(
                    cx,
                    (from, channel, false),
                    *header,
                    payload,
                );
            }
            Received::Reply { connection, header, payload } => {
                self.services.made(cx.config).calls.replied(
                    cx,
                    &mut self.around,
                    connection,
                    *header,
                    payload,
                );
            }
            Received::Signal { from, connection, message } => match *message {
                ProcessMessage::Down { monitor, reason } => {
                    self.services
                        .made(cx.config)
                        .processes
                        .receive_on_lane(cx, from, monitor, reason);
                }
                ProcessMessage::Abandon { birth, request } => {
                    self.services.made(cx.config).calls.abandoned(from, birth, request);
                }
                _ => self.around.connections.misbehaved(cx, connection, Misbehaviour::WrongChannel),
            },
            Received::Broadcast { from, message } => {
                self.broadcast.receive_message(cx, from, message);
            }
            Received::Control { from, connection, message } => {
                let message = match message {
                    ControlMessage::Plumtree(message) => {
                        return self.broadcast.receive(cx, from, message);
                    }
                    ControlMessage::Relay(message) => {
                        return self.services.made(cx.config).relay.receive(cx, from, message);
                    }
                    ControlMessage::Acknowledge(acknowledgement) => {
                        return self.services.made(cx.config).deliveries.acknowledged(
                            cx,
                            &mut self.around,
                            from,
                            &acknowledgement,
                        );
                    }
                    ControlMessage::Process(message) => {
                        return self.services.made(cx.config).processes.receive(
                            cx,
                            &mut self.around,
                            from,
                            *message,
                        );
                    }
                    ControlMessage::Partition(message) => {
                        return self.partitions.receive(cx, from, message);
                    }
                    of_manager => of_manager,
                };
                if self.around.manager.receive(cx, from, message).is_err() {
                    self.around.connections.misbehaved(cx, connection, Misbehaviour::OtherManager);
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
                self.services.made(cx.config).deliveries.send(cx, &mut self.around, ticket, *send);
            }
            Command::CausalPast(label) => {
                let result = self.services.made(cx.config).deliveries.causal_past(cx, label);
                cx.reply(ticket, result);
            }
            Command::RecallCausalPast { label, past } => {
                let result =
                    self.services.made(cx.config).deliveries.recall_causal_past(cx, label, &past);
                cx.reply(ticket, result);
            }
            Command::InjectPartition { ttl } => {
                let result = self.partitions.inject(cx, ttl).map(Answer::Partition);
                cx.reply(ticket, result);
            }
            Command::ResolvePartition(id) => {
                self.partitions.resolve(cx, id);
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
                let result = self
                    .services
                    .made(cx.config)
                    .processes
                    .spawn(cx, process, options)
                    .map(|()| Answer::Done);
                cx.reply(ticket, result);
            }
            Command::Register { name, process } => {
                let result = self
                    .services
                    .made(cx.config)
                    .processes
                    .register(cx, process, name)
                    .map(|()| Answer::Done);
                cx.reply(ticket, result);
            }
            Command::Unregister(name) => {
                let result = self
                    .services
                    .made(cx.config)
                    .processes
                    .unregister(&name)
                    .map(|()| Answer::Done);
                cx.reply(ticket, result);
            }
            Command::CancelTimer(timer) => {
                let left = self.services.made(cx.config).processes.cancel_timer(cx, timer);
                cx.reply(ticket, Ok(Answer::TimeLeft(left)));
            }
            Command::ReadTimer(timer) => {
                let due = cx.timers.due(Timer::Process(timer));
                let left = due.map(|due| due.since(cx.now));
                cx.reply(ticket, Ok(Answer::TimeLeft(left)));
            }
            Command::Stop => {
                cx.me.stopping = true;
                cx.change(Change::Stopping);
                cx.notify(Notification::Stopped);
                cx.reply(ticket, Ok(Answer::Done));
            }
            membership => self.around.manager.command(cx, ticket, membership),
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
            return self.services.made(cx.config).deliveries.send_newest(
                cx,
                &mut self.around,
                send,
            );
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
                self.services
                    .made(cx.config)
                    .relay
                    .send(cx, &mut self.around, parcel)
                    .map(Answer::Relayed)
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
                if let Some(late) = self.services.made(cx.config).processes.fire(cx, timer) {
                    self.send_late(cx, late);
                }
            }
            Timer::Retransmit(_) | Timer::Acknowledge(_) | Timer::Causal => {
                self.services.made(cx.config).deliveries.fire(cx, &mut self.around, timer);
            }
            Timer::Request(request) => {
                self.services.made(cx.config).calls.fire(cx, &mut self.around, request);
            }
        }
    }

    /// A process did something.
    fn act(&mut self, cx: &mut Context<'_>, process: Serial, act: ProcessAct) {
        match act {
            ProcessAct::Reply { reply_to, result } => {
                self.services.made(cx.config).calls.reply(cx, &mut self.around, reply_to, result)
            }
            ProcessAct::Abandon { number } => {
                self.services.made(cx.config).calls.abandon(
                    cx,
                    &mut self.around,
                    RequestId { owner: process, number },
                );
            }
            ProcessAct::Call { number, server, payload, timeout, lane } => {
                let Made { calls, processes, .. } = self.services.made(cx.config);
                if processes.lives(process) {
                    let request = RequestId { owner: process, number };
                    let call = Call { request, server, payload, timeout, lane };
                    calls.ask(cx, &mut self.around, processes, call);
                }
            }
            act => self.services.made(cx.config).processes.act(cx, &mut self.around, process, act),
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
