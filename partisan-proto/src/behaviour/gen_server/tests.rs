//! The rules of servers, each by itself.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::*;
use crate::behaviour::testing::{ask_system, reports, step_caught};
use crate::behaviour::{
    DEFAULT_HELD, Pending, Report, ServerRef, Severity, StateBytes, Status, SystemRequest, Term,
    TraceEvent, envelope,
};
use crate::call::Failure;
use crate::process::{Effect, ProcessAct, ProcessId, ReplyTo, Serial, Signal, Solo, Target};
use crate::time::Instant;

/// Does what it is told, and writes down what happens.
#[derive(Debug, Default)]
struct Script {
    log: Vec<String>,
    init: Vec<Do>,
    owed: Option<Caller<String>>,
    panics_at_its_end: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Do {
    Nothing,
    Reply(String),
    /// The answer comes later, by [`Do::Owed`].
    Owe,
    Owed(String),
    Timeout(u64),
    Continue(Vec<Self>),
    Stop(ExitReason),
    ReplyAndStop(String, ExitReason),
    Panic,
    Ignore,
    /// Takes a monitor back.
    Demonitor(u64),
}

impl Protocol for Script {
    type Call = (String, Do);
    type Reply = String;
    type Cast = (String, Do);
}

fn next(what: Do) -> Next<Script> {
    match what {
        Do::Timeout(after) => Next::Timeout(Duration::from_millis(after)),
        Do::Continue(then) => Next::Continue(then),
        Do::Stop(reason) => Next::Stop(reason),
        Do::Panic => panic!("boom"),
        _ => Next::Wait,
    }
}

impl GenServer for Script {
    type Continue = Vec<Do>;

    fn init(&mut self, _: &mut ActorContext<'_>) -> Init<Self> {
        match self.init.pop() {
            Some(Do::Ignore) => Init::Ignore,
            Some(what) => Init::Run(next(what)),
            None => Init::Run(Next::Wait),
        }
    }

    fn handle_call(
        &mut self,
        (label, what): (String, Do),
        from: Caller<String>,
        _: &mut ActorContext<'_>,
    ) -> CallResult<Self> {
        self.log.push(alloc::format!("call {label}"));
        match what {
            Do::Reply(reply) => CallResult::reply(reply),
            Do::ReplyAndStop(reply, reason) => CallResult::Reply(reply, Next::Stop(reason)),
            Do::Owe => {
                self.owed = Some(from);
                CallResult::later()
            }
            other => CallResult::NoReply(next(other)),
        }
    }

    fn handle_cast(
        &mut self,
        (label, what): (String, Do),
        cx: &mut ActorContext<'_>,
    ) -> Next<Self> {
        self.log.push(alloc::format!("cast {label}"));
        if let (Do::Owed(reply), Some(caller)) = (&what, self.owed.take()) {
            caller.reply(cx, reply);
        }
        if let Do::Demonitor(number) = what {
            cx.demonitor(number);
        }
        next(what)
    }

    fn handle_info(&mut self, info: Info, _: &mut ActorContext<'_>) -> Next<Self> {
        self.log.push(match info {
            Info::Message { payload, .. } => {
                alloc::format!("info {}", String::from_utf8_lossy(&payload))
            }
            Info::Signal(signal) => alloc::format!("info {signal:?}"),
        });
        Next::Wait
    }

    fn handle_continue(&mut self, mut then: Vec<Do>, _: &mut ActorContext<'_>) -> Next<Self> {
        self.log.push("continue".to_string());
        match (then.len(), then.pop()) {
            (1, Some(what)) => next(what),
            (_, Some(_)) => Next::Continue(then),
            (_, None) => Next::Wait,
        }
    }

    fn handle_timeout(&mut self, _: &mut ActorContext<'_>) -> Next<Self> {
        self.log.push("timeout".to_string());
        Next::Wait
    }

    fn terminate(&mut self, reason: &ExitReason, _: &mut ActorContext<'_>) {
        self.log.push(alloc::format!("terminate {reason}"));
        assert!(!self.panics_at_its_end, "at its end");
    }

    fn state(&self) -> Option<Bytes> {
        postcard::to_allocvec(&self.log).ok().map(Bytes::from)
    }

    fn replace_state(&mut self, state: &[u8]) -> bool {
        postcard::from_bytes(state).map(|log| self.log = log).is_ok()
    }
}

type Lone = Solo<ServerProcess<Script>>;

fn running() -> Lone {
    Solo::start(ServerProcess::new(Script::default()))
}

fn log(lone: &Lone) -> Vec<&str> {
    lone.actor().engine().server().log.iter().map(String::as_str).collect()
}

fn cast(lone: &mut Lone, label: &str, what: Do) {
    lone.message(ServerRef::<Script>::write_cast(&(label.to_string(), what)).unwrap());
}

fn call(lone: &mut Lone, label: &str, what: Do) -> ReplyTo {
    lone.request(ServerRef::<Script>::write_call(&(label.to_string(), what)).unwrap())
}

fn system(lone: &mut Lone, request: SystemRequest) -> ReplyTo {
    lone.request(request.write().unwrap())
}

fn ask<R: Term>(lone: &mut Lone, request: SystemRequest) -> R {
    ask_system(lone, &request)
}

fn replied(lone: &mut Lone, request: ReplyTo) -> Option<String> {
    let reply = lone.take_reply(request)?;
    Some(ServerRef::<Script>::read_reply(&reply.unwrap()).unwrap())
}

fn why(text: &str) -> ExitReason {
    ExitReason::other(text.as_bytes()).unwrap()
}

const fn ms(span: u64) -> Duration {
    Duration::from_millis(span)
}

#[test]
fn casts_calls_and_infos_come_in_order() {
    let mut lone = running();
    cast(&mut lone, "a", Do::Nothing);
    lone.message("hello");
    let request = call(&mut lone, "b", Do::Reply("x".into()));
    lone.run();
    assert_eq!(log(&lone), ["cast a", "info hello", "call b"]);
    assert_eq!(replied(&mut lone, request).as_deref(), Some("x"));
}

#[test]
fn a_timeout_comes_once_and_is_over_with_whatever_comes_first() {
    let mut lone = running();
    cast(&mut lone, "a", Do::Timeout(20));
    lone.advance(ms(19));
    assert_eq!(log(&lone), ["cast a"]);
    lone.advance(ms(100));
    assert_eq!(log(&lone), ["cast a", "timeout"]);
    cast(&mut lone, "b", Do::Timeout(20));
    lone.advance(ms(10));
    lone.message("i");
    lone.advance(ms(100));
    assert_eq!(log(&lone)[2..], ["cast b", "info i"]);
    assert_eq!(lone.next_timer(), None);
}

#[test]
fn a_timeout_of_zero_comes_only_where_nothing_waits() {
    let mut lone = running();
    cast(&mut lone, "a", Do::Timeout(0));
    cast(&mut lone, "b", Do::Nothing);
    lone.run();
    assert_eq!(log(&lone), ["cast a", "cast b"]);
    cast(&mut lone, "c", Do::Timeout(0));
    lone.run();
    assert_eq!(log(&lone)[2..], ["cast c", "timeout"]);
}

#[test]
fn what_is_to_continue_comes_before_the_mailbox_and_may_go_on() {
    let mut lone = running();
    cast(&mut lone, "a", Do::Continue(vec![Do::Timeout(5), Do::Nothing]));
    cast(&mut lone, "b", Do::Nothing);
    lone.run();
    assert_eq!(log(&lone), ["cast a", "continue", "continue", "cast b"]);
    assert_eq!(lone.next_timer(), None);
}

#[test]
fn a_reply_may_come_later_from_elsewhere_and_the_first_counts() {
    let mut lone = running();
    let request = call(&mut lone, "a", Do::Owe);
    lone.run();
    assert_eq!(lone.take_reply(request), None);
    cast(&mut lone, "b", Do::Owed("late".into()));
    lone.run();
    assert_eq!(replied(&mut lone, request).as_deref(), Some("late"));
}

#[test]
fn a_reply_with_a_stop_is_sent_after_terminate_even_if_that_panics() {
    for panics in [false, true] {
        let server = Script { panics_at_its_end: panics, ..Script::default() };
        let mut lone = Solo::start(ServerProcess::new(server));
        let request = call(&mut lone, "a", Do::ReplyAndStop("bye".into(), ExitReason::Shutdown));
        step_caught(&mut lone);
        assert_eq!(log(&lone), ["call a", "terminate shutdown"]);
        assert_eq!(replied(&mut lone, request).as_deref(), Some("bye"));
        let reason = if panics { ExitReason::panicked("at its end") } else { ExitReason::Shutdown };
        assert_eq!(lone.ended(), Some(&reason));
    }
}

#[test]
fn a_stop_without_a_reply_leaves_the_caller_to_the_reason() {
    let mut lone = running();
    let request = call(&mut lone, "a", Do::Stop(why("why")));
    cast(&mut lone, "never", Do::Nothing);
    lone.run();
    assert_eq!(log(&lone), ["call a", "terminate why"]);
    assert_eq!(lone.take_reply(request), None, "its node answers with the reason");
    assert_eq!(lone.ended(), Some(&why("why")));
}

#[test]
fn a_panic_ends_it_after_terminate() {
    let mut lone = running();
    let request = call(&mut lone, "a", Do::Panic);
    step_caught(&mut lone);
    assert_eq!(log(&lone), ["call a", "terminate panicked: boom"]);
    assert_eq!(lone.take_reply(request), None);
    assert_eq!(lone.ended(), Some(&ExitReason::panicked("boom")));
}

#[test]
fn a_start_that_is_awaited_tells_what_came_of_init_and_goes_on_after_that() {
    let server = Script { init: vec![Do::Continue(vec![Do::Nothing])], ..Script::default() };
    let mut lone = Solo::start(ServerProcess::new(server).awaiting_start());
    cast(&mut lone, "early", Do::Nothing);
    lone.run();
    assert_eq!(log(&lone), Vec::<&str>::new(), "it has not begun");
    assert_eq!(ask::<Started>(&mut lone, SystemRequest::Start), Started::Running);
    assert_eq!(log(&lone), ["continue", "cast early"]);
    assert_eq!(ask::<Status>(&mut lone, SystemRequest::Status).parent, Some(lone.other()));
}

#[test]
fn init_may_have_nothing_to_do_fail_or_panic() {
    let with = |what| {
        let server = Script { init: vec![what], ..Script::default() };
        Solo::start(ServerProcess::new(server).awaiting_start())
    };
    let mut lone = with(Do::Ignore);
    assert_eq!(ask::<Started>(&mut lone, SystemRequest::Start), Started::Ignored);
    assert_eq!(lone.ended(), Some(&ExitReason::Normal));
    for (what, reason) in
        [(Do::Stop(why("no")), why("no")), (Do::Panic, ExitReason::panicked("boom"))]
    {
        let mut lone = with(what);
        let request = system(&mut lone, SystemRequest::Start);
        step_caught(&mut lone);
        assert_eq!(lone.take_reply(request), None, "its node answers with the reason");
        assert_eq!(lone.ended(), Some(&reason));
        assert_eq!(log(&lone), Vec::<&str>::new(), "what has not begun does not terminate");
    }
}

#[test]
fn one_that_is_under_way_goes_on_without_init() {
    let server = Script { init: vec![Do::Panic], ..Script::default() };
    let mut lone = Solo::start(ServerProcess::enter_loop(server, Next::Timeout(ms(5))));
    lone.advance(ms(5));
    assert_eq!(log(&lone), ["timeout"]);
}

#[test]
fn it_ends_with_its_parent_and_with_its_node_but_with_nobody_else() {
    let exit = |from| Signal::Exit { from, reason: why("x") };
    for above in [Serial(u64::MAX), Serial::NODE] {
        let mut lone = Solo::start(ServerProcess::new(Script::default()).awaiting_start());
        ask::<Started>(&mut lone, SystemRequest::Start);
        let stranger = ProcessId { serial: Serial(7), ..lone.me() };
        lone.signal(exit(stranger));
        lone.signal(exit(ProcessId { serial: above, ..lone.me() }));
        lone.run();
        assert!(log(&lone)[0].starts_with("info Exit"), "{:?}", log(&lone));
        assert_eq!(log(&lone)[1], "terminate x");
        assert_eq!(lone.ended(), Some(&why("x")));
    }
}

#[test]
fn a_stop_from_outside_terminates_it_with_that_reason() {
    let mut lone = running();
    let request = system(&mut lone, SystemRequest::Stop(ExitReason::Shutdown));
    lone.run();
    assert_eq!(log(&lone), ["terminate shutdown"]);
    assert_eq!(lone.take_reply(request), None);
    assert_eq!(lone.ended(), Some(&ExitReason::Shutdown));
}

#[test]
fn while_it_is_suspended_all_waits_but_system_requests() {
    let mut lone = running();
    ask::<()>(&mut lone, SystemRequest::Suspend);
    cast(&mut lone, "a", Do::Nothing);
    let request = call(&mut lone, "b", Do::Reply("x".into()));
    lone.run();
    assert_eq!(log(&lone), Vec::<&str>::new());
    let status: Status = ask(&mut lone, SystemRequest::Status);
    assert!(status.suspended && status.statistics.held == 2, "{status:?}");
    ask::<()>(&mut lone, SystemRequest::Resume);
    assert_eq!(log(&lone), ["cast a", "call b"]);
    assert_eq!(replied(&mut lone, request).as_deref(), Some("x"));
    let statistics = ask::<Status>(&mut lone, SystemRequest::Status).statistics;
    assert_eq!((statistics.calls, statistics.casts, statistics.held), (1, 1, 0));
}

#[test]
fn what_waits_while_it_is_suspended_has_a_bound() {
    let mut lone = running();
    ask::<()>(&mut lone, SystemRequest::Suspend);
    for _ in 0..=DEFAULT_HELD {
        cast(&mut lone, "a", Do::Nothing);
    }
    let request = call(&mut lone, "b", Do::Nothing);
    lone.signal(Signal::Exit {
        from: ProcessId { serial: Serial(7), ..lone.me() },
        reason: why("x"),
    });
    lone.run();
    assert_eq!(lone.take_reply(request), Some(Err(Failure::Overloaded)));
    assert_eq!(ask::<Status>(&mut lone, SystemRequest::Status).statistics.dropped, 1);
    ask::<()>(&mut lone, SystemRequest::Resume);
    assert_eq!(log(&lone).len(), DEFAULT_HELD + 1);
    assert!(log(&lone)[DEFAULT_HELD].starts_with("info Exit"));
}

#[test]
fn a_system_request_starts_the_timeout_anew_and_suspension_stops_it() {
    let mut lone = running();
    cast(&mut lone, "a", Do::Timeout(20));
    lone.advance(ms(10));
    ask::<Status>(&mut lone, SystemRequest::Status);
    lone.advance(ms(15));
    assert_eq!(log(&lone), ["cast a"]);
    ask::<()>(&mut lone, SystemRequest::Suspend);
    lone.advance(ms(100));
    assert_eq!(log(&lone), ["cast a"]);
    ask::<()>(&mut lone, SystemRequest::Resume);
    lone.advance(ms(19));
    assert_eq!(log(&lone), ["cast a"]);
    lone.advance(ms(1));
    assert_eq!(log(&lone), ["cast a", "timeout"]);
}

#[test]
fn its_state_can_be_told_and_replaced() {
    let mut lone = running();
    let state = StateBytes::new(&postcard::to_allocvec(&vec!["other".to_string()]).unwrap());
    assert!(ask::<bool>(&mut lone, SystemRequest::ReplaceState(state.clone().unwrap())));
    assert_eq!(log(&lone), ["other"]);
    assert_eq!(ask::<Option<StateBytes>>(&mut lone, SystemRequest::GetState), state);
    let bad = StateBytes::new(b"\xFF\xFF").unwrap();
    assert!(!ask::<bool>(&mut lone, SystemRequest::ReplaceState(bad)));
    assert_eq!(log(&lone), ["other"]);
}

#[test]
fn a_tracer_is_told_what_comes_in() {
    let mut lone = running();
    let tracer = ProcessId { serial: Serial(9), ..lone.me() };
    ask::<()>(&mut lone, SystemRequest::Trace(Some(tracer)));
    cast(&mut lone, "a", Do::Nothing);
    lone.run();
    ask::<()>(&mut lone, SystemRequest::Trace(None));
    cast(&mut lone, "b", Do::Nothing);
    lone.run();
    match &lone.take_effects()[..] {
        [Effect::Send(send)] => {
            let event = TraceEvent::Cast("(\"a\", Nothing)".into());
            assert_eq!(postcard::from_bytes::<TraceEvent>(&send.payload), Ok(event));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_of_another_type_is_refused_or_an_info() {
    let mut lone = running();
    let refused = [
        lone.request(""),
        lone.request(&b"\x00\xFF"[..]),
        lone.request(&b"\x01\xFF"[..]),
        lone.request("raw"),
    ];
    lone.message(&b"\xFFgc\x01\xFF"[..]);
    lone.run();
    for request in refused {
        assert_eq!(lone.take_reply(request), Some(Err(Failure::NotUnderstood)));
    }
    assert_eq!(log(&lone), ["info \u{FFFD}gc\u{1}\u{FFFD}"]);
    let statistics = ask::<Status>(&mut lone, SystemRequest::Status).statistics;
    assert_eq!((statistics.not_understood, statistics.calls, statistics.casts), (4, 0, 0));
}

#[test]
fn a_call_that_is_not_understood_leaves_the_timeout_alone() {
    let mut lone = running();
    cast(&mut lone, "a", Do::Timeout(20));
    lone.request(&b"\x00\xFF"[..]);
    lone.advance(ms(100));
    assert_eq!(log(&lone), ["cast a", "timeout"]);
}

#[test]
fn a_cast_to_oneself_comes_when_it_is_due() {
    let mut lone = running();
    let payload = ServerRef::<Script>::write_cast(&("later".to_string(), Do::Nothing)).unwrap();
    lone.signal(Signal::Timer { number: 77, payload });
    lone.run();
    assert_eq!(log(&lone), ["cast later"]);
}

#[test]
fn actors_ask_and_tell_servers_by_typed_references() {
    let mut effects = Vec::new();
    let (mut numbers, mut serials) = (0, || Serial(2));
    let me = running().me();
    let mut cx = ActorContext::new(Instant::ZERO, me, &mut numbers, &mut serials, &mut effects);
    let server = ServerRef::<Script>::new(me);
    let pending: Pending<String> =
        server.call(&mut cx, &("a".to_string(), Do::Nothing), Some(ms(5))).unwrap();
    server.cast(&mut cx, &("b".to_string(), Do::Nothing)).unwrap();
    assert!(matches!(&effects[..], [Effect::Act(ProcessAct::Call { .. }), Effect::Send(_)]));
    let answer = |number| Signal::Answer { number, result: Ok(envelope::write("x").unwrap()) };
    assert_eq!(pending.answer(&answer(pending.number())), Some(Ok("x".to_string())));
    assert_eq!(pending.answer(&answer(99)), None);
}

#[test]
fn references_and_callers_travel() {
    let lone = running();
    let by_name = crate::id::ProcessName::new("x").unwrap();
    for target in [Target::from(lone.me()), Target::Name(lone.me().node, by_name)] {
        let server = ServerRef::<Script>::new(target);
        let bytes = postcard::to_allocvec(&server).unwrap();
        assert_eq!(postcard::from_bytes::<ServerRef<Script>>(&bytes), Ok(server));
    }
    let mut lone = lone;
    let caller = Caller::<String>::new(call(&mut lone, "a", Do::Nothing));
    let bytes = postcard::to_allocvec(&caller).unwrap();
    assert_eq!(postcard::from_bytes::<Caller<String>>(&bytes), Ok(caller));
}

#[test]
fn what_it_takes_back_does_not_come_even_if_it_waited_while_it_was_suspended() {
    let mut lone = running();
    ask::<()>(&mut lone, SystemRequest::Suspend);
    cast(&mut lone, "a", Do::Demonitor(5));
    let target = Target::Process(lone.other());
    for number in [5, 6] {
        let reason = ExitReason::Normal;
        lone.signal(Signal::Down { number, target: target.clone(), reason, tag: 0 });
    }
    lone.run();
    ask::<()>(&mut lone, SystemRequest::Resume);
    assert_eq!(log(&lone).len(), 2, "{:?}", log(&lone));
    assert!(log(&lone)[1].starts_with("info Down { number: 6"));
}

#[test]
fn one_that_was_never_started_ends_with_whoever_was_to_start_it() {
    let mut lone = Solo::start(ServerProcess::new(Script::default()).awaiting_start());
    lone.signal(Signal::Exit { from: lone.other(), reason: why("x") });
    lone.run();
    assert_eq!(lone.ended(), Some(&why("x")));
    assert_eq!(log(&lone), Vec::<&str>::new());
}

#[test]
fn an_end_in_bad_order_is_reported_with_what_it_was_doing() {
    let mut lone = running();
    call(&mut lone, "a", Do::Stop(why("x")));
    lone.run();
    let reports = reports(&mut lone);
    let [report @ Report::Terminating { behaviour, reason, handling, state }] = &reports[..] else {
        panic!("{reports:?}")
    };
    assert_eq!((report.severity(), *behaviour), (Severity::Error, "gen_server"));
    assert_eq!(reason, &why("x"));
    assert_eq!(handling.as_deref(), Some("(\"a\", Stop(x))"));
    assert!(state.contains("call a"), "{state}");
}

#[test]
fn an_end_in_good_order_is_not_reported() {
    let with = ExitReason::shutdown_with(b"x").unwrap();
    for reason in [ExitReason::Normal, ExitReason::Shutdown, with] {
        let mut lone = running();
        cast(&mut lone, "a", Do::Stop(reason.clone()));
        lone.run();
        assert_eq!(lone.ended(), Some(&reason));
        assert_eq!(reports(&mut lone), []);
    }
}

#[test]
fn every_bad_end_is_reported_once() {
    let reasons = |mut lone: Lone| {
        while step_caught(&mut lone) {}
        let reports = reports(&mut lone).into_iter();
        let reasons: Vec<_> = reports.filter_map(|report| report.reason().cloned()).collect();
        assert_eq!(reasons.last(), lone.ended());
        reasons.len()
    };
    let mut lone = running();
    cast(&mut lone, "a", Do::Panic);
    assert_eq!(reasons(lone), 1);
    let script = Script { panics_at_its_end: true, ..Script::default() };
    let mut lone = Solo::start(ServerProcess::new(script));
    cast(&mut lone, "a", Do::Stop(ExitReason::Normal));
    assert_eq!(reasons(lone), 1, "its end goes wrong");
    let script = Script { init: vec![Do::Stop(why("x"))], ..Script::default() };
    assert_eq!(reasons(Solo::start(ServerProcess::new(script))), 1, "its beginning does");
}

/// Takes what comes as every server does that does not say otherwise.
#[derive(Debug)]
struct Plain;

impl Protocol for Plain {
    type Call = ();
    type Reply = ();
    type Cast = ();
}

impl GenServer for Plain {
    type Continue = ();

    fn handle_call(&mut self, (): (), _: Caller<()>, _: &mut ActorContext<'_>) -> CallResult<Self> {
        CallResult::reply(())
    }

    fn handle_cast(&mut self, (): (), _: &mut ActorContext<'_>) -> Next<Self> {
        Next::Wait
    }
}

#[test]
fn what_nobody_handles_is_reported_and_does_no_harm() {
    let mut lone = Solo::start(ServerProcess::new(Plain));
    lone.message("hello");
    lone.run();
    let reports = reports(&mut lone);
    assert!(
        matches!(&reports[..], [Report::Unexpected { info }] if info.contains("hello")),
        "{reports:?}"
    );
    assert_eq!((reports[0].severity(), lone.ended()), (Severity::Warning, None));
}

#[test]
fn how_much_waits_while_it_is_suspended_is_as_it_is_made() {
    let mut lone = Solo::start(ServerProcess::new(Script::default()).max_held(2));
    ask::<()>(&mut lone, SystemRequest::Suspend);
    for label in ["a", "b", "c"] {
        cast(&mut lone, label, Do::Nothing);
    }
    let request = call(&mut lone, "d", Do::Nothing);
    lone.run();
    assert_eq!(lone.take_reply(request), Some(Err(Failure::Overloaded)));
    ask::<()>(&mut lone, SystemRequest::Resume);
    assert_eq!(log(&lone), ["cast a", "cast b"]);
}

#[test]
fn the_exit_of_whom_it_was_started_for_ends_it_as_that_of_its_parent() {
    let owner = ProcessId { serial: Serial(7), ..running().me() };
    let exit = |started: SystemRequest| {
        let mut lone = Solo::start(ServerProcess::new(Script::default()).awaiting_start());
        system(&mut lone, started);
        lone.signal(Signal::Exit { from: owner, reason: ExitReason::Shutdown });
        lone.run();
        log(&lone).join(",")
    };
    assert_eq!(exit(SystemRequest::StartFor(owner)), "terminate shutdown");
    assert!(exit(SystemRequest::Start).starts_with("info Exit"));
}
