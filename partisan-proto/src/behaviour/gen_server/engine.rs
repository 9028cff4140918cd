//! The engine of servers.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::ops::ControlFlow;

use bytes::Bytes;

use super::{CallResult, GenServer, Init, Next};
use crate::behaviour::{Beginning, Caller, Engine, Flow, Info, Started, envelope};
use crate::process::{ActorContext, ExitReason, ReplyTo, Signal};
use crate::time::Duration;

/// The engine of servers.
pub struct ServerEngine<S: GenServer> {
    server: S,
    /// What is next once it has begun; given before that where `init` is not to run.
    first: Option<Next<S>>,
    /// The timeout that it waits with.
    timeout: Option<Duration>,
    /// The timer of that.
    timer: Option<u64>,
    /// What is to be answered after its end.
    last: Option<(Caller<S::Reply>, S::Reply)>,
}

impl<S: GenServer> ServerEngine<S> {
    pub(super) const fn new(server: S, first: Option<Next<S>>) -> Self {
        Self { server, first, timeout: None, timer: None, last: None }
    }

    /// The server's state.
    pub const fn server(&self) -> &S {
        &self.server
    }

    /// Does what is next, up to waiting.
    fn go_on(&mut self, cx: &mut ActorContext<'_>, mut next: Next<S>) -> Flow {
        loop {
            match next {
                Next::Wait => return ControlFlow::Continue(()),
                Next::Timeout(after) => {
                    self.timeout = Some(after);
                    self.arm(cx);
                    return ControlFlow::Continue(());
                }
                Next::Continue(then) => next = self.server.handle_continue(then, cx),
                Next::Stop(reason) => return ControlFlow::Break(reason),
            }
        }
    }

    /// A timer of zero comes behind all that waits in the mailbox, of which the first cancels it.
    fn arm(&mut self, cx: &mut ActorContext<'_>) {
        self.timer = self.timeout.map(|after| cx.send_after(after, cx.me(), envelope::timer()));
    }

    fn disarm(&mut self, cx: &mut ActorContext<'_>) {
        if let Some(timer) = self.timer.take() {
            cx.cancel_timer(timer);
        }
    }

    /// Something has come: it waits with no timeout any more.
    fn wake(&mut self, cx: &mut ActorContext<'_>) {
        self.timeout = None;
        self.disarm(cx);
    }
}

impl<S: GenServer> Engine for ServerEngine<S> {
    type Protocol = S;

    const KIND: &'static str = "gen_server";

    fn init(&mut self, cx: &mut ActorContext<'_>) -> Beginning {
        if self.first.is_some() {
            return ControlFlow::Continue(Some(Started::Running));
        }
        let init = self.server.init(cx);
        let started = init.started();
        match init {
            Init::Run(Next::Stop(reason)) => return ControlFlow::Break(reason),
            Init::Run(next) => self.first = Some(next),
            Init::Ignore => {}
        }
        ControlFlow::Continue(Some(started))
    }

    fn begin(&mut self, cx: &mut ActorContext<'_>) -> Flow {
        let first = self.first.take().unwrap_or(Next::Wait);
        self.go_on(cx, first)
    }

    fn call(
        &mut self,
        cx: &mut ActorContext<'_>,
        reply_to: ReplyTo,
        call: &[u8],
    ) -> Result<Flow, postcard::Error> {
        let (call, from) = (envelope::read(call)?, Caller::new(reply_to));
        self.wake(cx);
        let next = match self.server.handle_call(call, from, cx) {
            CallResult::Reply(reply, next @ Next::Stop(_)) => {
                self.last = Some((from, reply));
                next
            }
            CallResult::Reply(reply, next) => {
                from.reply(cx, &reply);
                next
            }
            CallResult::NoReply(next) => next,
        };
        Ok(self.go_on(cx, next))
    }

    fn cast(&mut self, cx: &mut ActorContext<'_>, cast: &[u8]) -> Result<Flow, postcard::Error> {
        let cast = envelope::read(cast)?;
        self.wake(cx);
        let next = self.server.handle_cast(cast, cx);
        Ok(self.go_on(cx, next))
    }

    fn info(&mut self, cx: &mut ActorContext<'_>, info: Info) -> Flow {
        if let Info::Signal(Signal::Timer { number, payload }) = &info
            && envelope::is_timer(payload)
        {
            if self.timer != Some(*number) {
                return ControlFlow::Continue(());
            }
            (self.timer, self.timeout) = (None, None);
            let next = self.server.handle_timeout(cx);
            return self.go_on(cx, next);
        }
        self.wake(cx);
        let next = self.server.handle_info(info, cx);
        self.go_on(cx, next)
    }

    /// A system request starts the timeout anew.
    fn system(&mut self, cx: &mut ActorContext<'_>, suspended: bool) {
        self.disarm(cx);
        if !suspended {
            self.arm(cx);
        }
    }

    fn terminate(&mut self, cx: &mut ActorContext<'_>, reason: &ExitReason) {
        self.disarm(cx);
        self.server.terminate(reason, cx);
    }

    fn last_words(&mut self, cx: &mut ActorContext<'_>) {
        if let Some((caller, reply)) = self.last.take() {
            caller.reply(cx, &reply);
        }
    }

    fn describe(&self, call: bool, payload: &[u8]) -> Option<String> {
        Some(match call {
            true => format!("{:?}", envelope::read::<S::Call>(payload).ok()?),
            false => format!("{:?}", envelope::read::<S::Cast>(payload).ok()?),
        })
    }

    fn state(&self) -> Option<Bytes> {
        self.server.state()
    }

    fn replace_state(&mut self, state: &[u8]) -> bool {
        self.server.replace_state(state)
    }
}

impl<S: GenServer> fmt::Debug for ServerEngine<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.server, f)
    }
}
