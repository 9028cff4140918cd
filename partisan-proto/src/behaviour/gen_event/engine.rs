//! The engine of event managers.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::ops::ControlFlow;

use bytes::Bytes;

use super::{
    Answer, Ask, Bus, EventManager, Handled, Handler, HandlerError, HandlerExit, HandlerId, Leaving,
};
use crate::behaviour::report::shown;
use crate::behaviour::{Beginning, Caller, Engine, Flow, Info, Report, Started, envelope};
use crate::process::{ActorContext, ExitReason, MAX_REASON, ProcessId, ReplyTo, Signal, Target};

/// Names a handler among all that its manager ever had.
type Key = u64;

/// The engine of event managers.
pub struct EventEngine<B: Bus> {
    manager: EventManager<B>,
    /// The newest first.
    handlers: Vec<Hosted<B>>,
    last: Key,
    /// What the handlers are being told.
    round: Option<Round<B>>,
    /// What follows if what is being done panics.
    risk: Risk<B>,
}

/// A handler and whose it is.
struct Hosted<B> {
    key: Key,
    id: HandlerId,
    handler: Box<dyn Handler<B>>,
    owner: Option<Owner>,
}

/// The owner of a handler, and the monitor that tells of its end.
#[derive(Clone, Copy, Debug)]
struct Owner {
    process: ProcessId,
    monitor: u64,
}

/// Something that all handlers are told, one after the other.
struct Round<B: Bus> {
    what: What<B>,
    left: VecDeque<Key>,
    /// Who waits until all know.
    caller: Option<CallerOf<B>>,
}

enum What<B: Bus> {
    Event(B::Event),
    Info(Info),
}

type CallerOf<B> = Caller<Answer<<B as Bus>::Answer>>;

/// Who is to be told, and which handler to be removed.
struct Risk<B: Bus> {
    caller: Option<CallerOf<B>>,
    handler: Option<Key>,
}

impl<B: Bus> EventEngine<B> {
    pub(super) const fn new(manager: EventManager<B>) -> Self {
        let risk = Risk { caller: None, handler: None };
        Self { manager, handlers: Vec::new(), last: 0, round: None, risk }
    }

    fn place(&self, key: Key) -> Option<usize> {
        self.handlers.iter().position(|hosted| hosted.key == key)
    }

    fn find(&self, id: &HandlerId) -> Result<Key, HandlerError> {
        let found = self.handlers.iter().find(|hosted| hosted.id == *id);
        found.map(|hosted| hosted.key).ok_or(HandlerError::NotFound)
    }

    fn make(
        &mut self,
        id: &HandlerId,
        args: &[u8],
        before: Option<Vec<u8>>,
    ) -> Result<Box<dyn Handler<B>>, HandlerError> {
        let make = self.manager.kinds.get_mut(&id.kind).ok_or(HandlerError::UnknownKind)?;
        make(args, before).map_err(HandlerError::Refused)
    }

    /// Adds a handler at a place.
    fn add(
        &mut self,
        place: usize,
        id: HandlerId,
        handler: Box<dyn Handler<B>>,
        owner: Option<Owner>,
    ) {
        self.last += 1;
        let place = place.min(self.handlers.len());
        self.handlers.insert(place, Hosted { key: self.last, id, handler, owner });
    }

    /// Removes a handler; says where it was, what it returned, and whose it was.
    fn remove(
        &mut self,
        cx: &mut ActorContext<'_>,
        key: Key,
        why: Leaving,
    ) -> Option<(usize, Vec<u8>)> {
        let place = self.place(key)?;
        // From here on it is gone, even if it panics.
        let Hosted { id, mut handler, owner, .. } = self.handlers.remove(place);
        if let Some(Owner { process, monitor }) = owner {
            cx.demonitor(monitor);
            let exit = HandlerExit { handler: id, why: why.clone() };
            if let Ok(payload) = envelope::write(&exit) {
                cx.send(&Target::Process(process), payload);
            }
        }
        Some((place, handler.terminate(why, cx)))
    }

    fn follow(&mut self, cx: &mut ActorContext<'_>, key: Key, handled: Handled) {
        match handled {
            Handled::Keep => {}
            Handled::Remove => _ = self.remove(cx, key, Leaving::Removed),
            Handled::Swap { args, by, by_args } => {
                // Its owner stays that of the one in its place.
                let place = self.place(key);
                let hosted = place.and_then(|place| self.handlers.get_mut(place));
                let owner = hosted.and_then(|hosted| hosted.owner.take());
                let Some((place, state)) = self.remove(cx, key, Leaving::Swapped(args)) else {
                    return;
                };
                match self.make(&by, &by_args, Some(state)) {
                    Ok(handler) => self.add(place, by, handler, owner),
                    Err(_) => self.lose(cx, by, owner),
                }
            }
        }
    }

    /// The one in whose place another was to come is gone, and that does not come.
    fn lose(&mut self, cx: &mut ActorContext<'_>, handler: HandlerId, owner: Option<Owner>) {
        if let Some(Owner { process, monitor }) = owner {
            cx.demonitor(monitor);
            let exit = HandlerExit { handler, why: Leaving::Removed };
            if let Ok(payload) = envelope::write(&exit) {
                cx.send(&Target::Process(process), payload);
            }
        }
    }

    fn begin_round(&mut self, what: What<B>, caller: Option<CallerOf<B>>) {
        let left = self.handlers.iter().map(|hosted| hosted.key).collect();
        self.round = Some(Round { what, left, caller });
    }

    /// Tells those handlers that do not know yet.
    fn go_on(&mut self, cx: &mut ActorContext<'_>) -> Flow {
        while let Some(round) = &mut self.round
            && let Some(key) = round.left.pop_front()
        {
            let known = self.handlers.iter_mut().find(|hosted| hosted.key == key);
            let Some(Hosted { handler, .. }) = known else {
                continue;
            };
            self.risk.handler = Some(key);
            let handled = match &round.what {
                What::Event(event) => handler.handle_event(event, cx),
                What::Info(info) => handler.handle_info(info, cx),
            };
            self.risk.handler = None;
            self.follow(cx, key, handled);
        }
        if let Some(Round { caller: Some(caller), .. }) = self.round.take() {
            caller.reply(cx, &Answer::Done(Ok(())));
        }
        ControlFlow::Continue(())
    }

    fn own(cx: &mut ActorContext<'_>, supervised: bool, caller: CallerOf<B>) -> Option<Owner> {
        let process = caller.process();
        supervised.then(|| Owner { process, monitor: cx.monitor(process) })
    }

    fn query(
        &mut self,
        cx: &mut ActorContext<'_>,
        id: &HandlerId,
        query: B::Query,
    ) -> Result<(Key, B::Answer, Handled), HandlerError> {
        let key = self.find(id)?;
        let place = self.place(key).ok_or(HandlerError::NotFound)?;
        self.risk.handler = Some(key);
        let (answer, handled) = self.handlers[place].handler.handle_call(query, cx);
        self.risk.handler = None;
        Ok((key, answer, handled))
    }

    fn asked(
        &mut self,
        cx: &mut ActorContext<'_>,
        caller: CallerOf<B>,
        ask: Ask<B::Event, B::Query>,
    ) {
        let answer = match ask {
            Ask::Notify(event) => return self.begin_round(What::Event(event), Some(caller)),
            Ask::Which => {
                Answer::Handlers(self.handlers.iter().map(|hosted| hosted.id.clone()).collect())
            }
            Ask::Query(id, query) => match self.query(cx, &id, query) {
                Ok((key, answer, handled)) => {
                    caller.reply(cx, &Answer::Answered(Ok(answer)));
                    return self.follow(cx, key, handled);
                }
                Err(error) => Answer::Answered(Err(error)),
            },
            Ask::Add { handler: id, args, supervised } => {
                Answer::Done(self.make(&id, &args, None).map(|handler| {
                    let owner = Self::own(cx, supervised, caller);
                    self.add(0, id, handler, owner);
                }))
            }
            Ask::Delete { handler, args } => {
                let key = self.find(&handler);
                let removed = key.map(|key| self.remove(cx, key, Leaving::Deleted(args)));
                Answer::Deleted(removed.map(|removed| removed.unwrap_or_default().1))
            }
            Ask::Swap { handler, args, by, by_args, supervised } => {
                let key = self.find(&handler).ok();
                let gone = key.and_then(|key| self.remove(cx, key, Leaving::Swapped(args)));
                let made = self.make(&by, &by_args, gone.map(|(_, state)| state));
                Answer::Done(made.map(|handler| {
                    let owner = Self::own(cx, supervised, caller);
                    self.add(0, by, handler, owner);
                }))
            }
        };
        caller.reply(cx, &answer);
    }

    /// Whose handlers are to be removed by this.
    fn owned_by(&self, monitor: u64) -> Option<Key> {
        let owned = |hosted: &&Hosted<B>| hosted.owner.is_some_and(|own| own.monitor == monitor);
        self.handlers.iter().find(owned).map(|hosted| hosted.key)
    }

    fn report_crash(&self, cx: &mut ActorContext<'_>, key: Key, reason: &ExitReason) {
        let Some(hosted) = self.handlers.iter().find(|hosted| hosted.key == key) else {
            return;
        };
        let handling = self.round.as_ref().map(|round| match &round.what {
            What::Event(event) => shown(event),
            What::Info(info) => shown(info),
        });
        cx.report(Report::HandlerCrashed {
            handler: hosted.id.clone(),
            reason: reason.clone(),
            handling,
            state: shown(&hosted.handler),
        });
    }

    fn end_all(&mut self, cx: &mut ActorContext<'_>, reason: &ExitReason) {
        while let Some(key) = self.handlers.first().map(|hosted| hosted.key) {
            self.remove(cx, key, Leaving::Stopped(reason.clone()));
        }
    }
}

impl<B: Bus> Engine for EventEngine<B> {
    type Protocol = EventManager<B>;

    const KIND: &'static str = "gen_event";

    fn init(&mut self, cx: &mut ActorContext<'_>) -> Beginning {
        for (id, args) in core::mem::take(&mut self.manager.first) {
            match self.make(&id, &args, None) {
                Ok(handler) => self.add(0, id, handler, None),
                Err(error) => {
                    let text = error.to_string();
                    let cut = &text.as_bytes()[..text.len().min(MAX_REASON)];
                    let reason = ExitReason::other(cut).unwrap_or(ExitReason::SystemLimit);
                    return ControlFlow::Break(reason);
                }
            }
        }
        B::begin(cx);
        ControlFlow::Continue(Some(Started::Running))
    }

    fn call(
        &mut self,
        cx: &mut ActorContext<'_>,
        reply_to: ReplyTo,
        call: &[u8],
    ) -> Result<Flow, postcard::Error> {
        let (ask, caller) = (envelope::read(call)?, Caller::new(reply_to));
        self.risk.caller = Some(caller);
        self.asked(cx, caller, ask);
        self.risk.caller = None;
        Ok(self.go_on(cx))
    }

    fn cast(&mut self, cx: &mut ActorContext<'_>, cast: &[u8]) -> Result<Flow, postcard::Error> {
        self.begin_round(What::Event(envelope::read(cast)?), None);
        Ok(self.go_on(cx))
    }

    fn info(&mut self, cx: &mut ActorContext<'_>, info: Info) -> Flow {
        if let Info::Signal(Signal::Down { number, reason, .. }) = &info
            && let Some(key) = self.owned_by(*number)
        {
            self.remove(cx, key, Leaving::OwnerEnded(reason.clone()));
            return ControlFlow::Continue(());
        }
        let what = B::event_of(&info, cx).map_or(What::Info(info), What::Event);
        self.begin_round(what, None);
        self.go_on(cx)
    }

    /// The handler goes; the others hear of what it did not survive.
    fn panicked(&mut self, cx: &mut ActorContext<'_>, reason: ExitReason) -> Flow {
        if let Some(caller) = self.risk.caller.take() {
            caller.reply(cx, &Answer::Answered(Err(HandlerError::Crashed(reason.clone()))));
        }
        if let Some(key) = self.risk.handler.take() {
            self.report_crash(cx, key, &reason);
            self.remove(cx, key, Leaving::Crashed(reason));
        }
        self.go_on(cx)
    }

    fn terminate(&mut self, cx: &mut ActorContext<'_>, reason: &ExitReason) {
        self.end_all(cx, reason);
    }

    /// Those whose turn to terminate did not come, since another panicked in its.
    fn last_words(&mut self, cx: &mut ActorContext<'_>) {
        self.end_all(cx, &ExitReason::Shutdown);
    }

    fn describe(&self, call: bool, payload: &[u8]) -> Option<String> {
        Some(match call {
            true => format!("{:?}", envelope::read::<Ask<B::Event, B::Query>>(payload).ok()?),
            false => format!("{:?}", envelope::read::<B::Event>(payload).ok()?),
        })
    }

    fn state(&self) -> Option<Bytes> {
        None
    }

    fn replace_state(&mut self, _: &[u8]) -> bool {
        false
    }
}

impl<B: Bus> fmt::Debug for EventEngine<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let handlers = self.handlers.iter().map(|hosted| (&hosted.id, &hosted.handler));
        f.debug_map().entries(handlers).finish()
    }
}
