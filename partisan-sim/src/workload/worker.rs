//! The process of the workload: does what it is told, and what others ask of it.

use bytes::Bytes;
use partisan_proto::call::Server;
use partisan_proto::process::{Actor, ActorContext, Input, NodeFilter, ReplyTo, SpawnOptions};
use partisan_proto::{Duration, ExitReason, ProcessId, ProcessName, Reference, Signal};

use super::deed::{Deed, Ending, FUNCTION, Manner, Note, Road, Said, answer_to, name};

/// A process of the workload.
#[derive(Debug, Default)]
pub struct Worker {
    watched: Vec<u64>,
    linked: Vec<ProcessId>,
    timers: Vec<u64>,
    asked: Vec<u64>,
    /// Requests to be answered when a timer is due.
    owed: Vec<(u64, ReplyTo, Bytes)>,
    notes: u64,
    questions: u64,
}

impl Actor for Worker {
    fn handle(&mut self, cx: &mut ActorContext<'_>, input: Input) {
        match input {
            Input::Message { from, payload, .. } => match Said::read(&payload) {
                Some(Said::Do(deed)) if from == cx.me().node => self.act(cx, deed),
                Some(Said::AnswerFor { reply_to, question }) => {
                    cx.reply(reply_to, Ok(answer_to(question.as_bytes())));
                }
                _ => {}
            },
            Input::Request { reply_to, payload } => self.serve(cx, reply_to, payload),
            Input::Signal(signal) => self.told(cx, &signal),
        }
    }
}

impl Worker {
    fn told(&mut self, cx: &mut ActorContext<'_>, signal: &Signal) {
        match signal {
            Signal::Down { number, .. } | Signal::NodeLost { number, .. } => {
                self.watched.retain(|watched| watched != number);
            }
            Signal::Answer { number, .. } => self.asked.retain(|asked| asked != number),
            Signal::Exit { from, .. } => self.linked.retain(|linked| linked != from),
            Signal::Timer { number, .. } => {
                self.timers.retain(|timer| timer != number);
                if let Some(place) = self.owed.iter().position(|(timer, ..)| timer == number) {
                    let (_, reply_to, question) = self.owed.remove(place);
                    cx.reply(reply_to, Ok(answer_to(&question)));
                }
            }
            _ => {}
        }
    }

    fn serve(&mut self, cx: &mut ActorContext<'_>, reply_to: ReplyTo, payload: Bytes) {
        let Some(Said::Question { manner, .. }) = Said::read(&payload) else {
            return;
        };
        match manner {
            Manner::AtOnce => cx.reply(reply_to, Ok(answer_to(&payload))),
            Manner::Later(after) => {
                let after = Duration::from_millis(after.into());
                let timer = cx.send_after(after, cx.me(), Said::Remind.write());
                self.owed.push((timer, reply_to, payload));
            }
            Manner::Never => {}
            Manner::Ends => cx.end(own(cx.me(), 0)),
            Manner::Elsewhere(whom) => {
                let question = String::from_utf8_lossy(&payload).into_owned();
                let said = Said::AnswerFor { reply_to, question };
                if let Ok(target) = whom.target() {
                    cx.send(&target, said.write());
                }
            }
        }
    }

    fn act(&mut self, cx: &mut ActorContext<'_>, deed: Deed<Reference>) {
        let target = |whom: &Reference| whom.target().ok();
        match deed {
            Deed::Spawn { link, watch, name, trap } => self.spawn(cx, link, watch, (name, trap)),
            Deed::End(ending) => cx.end(reason(cx.me(), ending)),
            Deed::Watch(whom, road) => {
                let number = target(&whom).map(|target| cx.monitor_on(target, road.into()));
                self.watched.extend(number);
            }
            Deed::Unwatch(pick) => {
                if let Some(number) = take(&mut self.watched, pick) {
                    cx.demonitor(number);
                }
            }
            Deed::WatchNode(whom) => self.watched.push(cx.monitor_node(whom.node())),
            Deed::Subscribe { present } => cx.monitor_nodes(NodeFilter { tag: None, present }),
            Deed::Unsubscribe => cx.demonitor_nodes(NodeFilter::default()),
            Deed::Link(whom) => {
                if let Ok(other) = whom.process() {
                    cx.link(other);
                    self.linked.push(other);
                }
            }
            Deed::Unlink(pick) => {
                if let Some(other) = take(&mut self.linked, pick) {
                    cx.unlink(other);
                }
            }
            Deed::Exit { whom, kill } => {
                let said = ExitReason::other(&Said::Exit(whom.clone()).write());
                let reason = if kill { Some(ExitReason::Kill) } else { said };
                if let (Some(target), Some(reason)) = (target(&whom), reason) {
                    cx.exit(target, reason);
                }
            }
            Deed::Trap(on) => cx.trap_exit(on),
            Deed::Register(number) => cx.register(name(number)),
            Deed::Remind(after, whom) => {
                let whom = whom.and_then(|whom| target(&whom));
                let whom = whom.unwrap_or_else(|| cx.me().into());
                let after = Duration::from_millis(after.into());
                self.timers.push(cx.send_after(after, whom, Said::Remind.write()));
            }
            Deed::Cancel(pick) => {
                if let Some(number) = take(&mut self.timers, pick) {
                    cx.cancel_timer(number);
                }
            }
            Deed::Ask { whom, function, manner, timeout, road } => {
                self.ask(cx, (whom, function), manner, timeout, road);
            }
            Deed::Abandon(pick) => {
                if let Some(number) = take(&mut self.asked, pick) {
                    cx.abandon(number);
                }
            }
            Deed::Send(whom, road, count) => self.send(cx, &whom, road, count),
        }
    }

    fn spawn(
        &mut self,
        cx: &mut ActorContext<'_>,
        link: bool,
        watch: bool,
        (called, trap_exit): (Option<u8>, bool),
    ) {
        let link = link.then_some(cx.me().serial);
        let options = SpawnOptions { link, monitor: None, name: called.map(name), trap_exit };
        let child = Box::new(Self::default());
        let child = if watch {
            let (child, number) = cx.spawn_monitor_with(child, options);
            self.watched.push(number);
            child
        } else {
            cx.spawn_with(child, options)
        };
        if link.is_some() {
            self.linked.push(child);
        }
    }

    fn ask(
        &mut self,
        cx: &mut ActorContext<'_>,
        (whom, function): (Reference, bool),
        manner: Manner<Reference>,
        timeout: Option<u32>,
        road: Road,
    ) {
        let Ok(target) = whom.target() else {
            return;
        };
        let server = match function {
            true => Server::Function(whom.node(), function_name()),
            false => Server::Process(target),
        };
        self.questions += 1;
        let (by, number) = (cx.me(), self.questions);
        let payload = Said::Question { by, number, whom, manner }.write();
        let timeout = timeout.map(|timeout| Duration::from_millis(timeout.into()));
        self.asked.push(cx.call_on(server, payload, timeout, road.into()));
    }

    fn send(&mut self, cx: &mut ActorContext<'_>, whom: &Reference, road: Road, count: u8) {
        let Ok(target) = whom.target() else {
            return;
        };
        for _ in 0..count {
            self.notes += 1;
            let note = Note { from: cx.me(), to: whom.clone(), road, number: self.notes };
            cx.send_on(&target, road.into(), Said::Note(note).write());
        }
    }
}

/// The name of the function that every node runs.
///
/// # Panics
/// Never: the name is a good one.
#[must_use]
pub(super) fn function_name() -> ProcessName {
    ProcessName::new(FUNCTION).expect("a short plain name is good")
}

fn reason(me: ProcessId, ending: Ending) -> ExitReason {
    match ending {
        Ending::Normal => ExitReason::Normal,
        Ending::Shutdown => ExitReason::Shutdown,
        Ending::Own(number) => own(me, number),
    }
}

/// A reason that no other process ends for.
fn own(me: ProcessId, number: u8) -> ExitReason {
    ExitReason::other(format!("{me:?} ends {number}").as_bytes()).unwrap_or(ExitReason::Shutdown)
}

fn take<T>(from: &mut Vec<T>, pick: usize) -> Option<T> {
    (!from.is_empty()).then(|| from.remove(pick % from.len()))
}
