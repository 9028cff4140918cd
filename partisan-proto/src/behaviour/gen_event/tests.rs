//! The rules of event managers.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use std::sync::Mutex;

use super::*;
use crate::behaviour::testing::{ask_system, reports, step_caught};
use crate::behaviour::{ServerRef, Severity, Started, SystemRequest, TraceEvent};
use crate::call::Failure;
use crate::process::{Effect, ProcessAct, ReplyTo, Signal, Solo, Target};

type Log = Arc<Mutex<Vec<String>>>;

#[derive(Debug)]
struct News;

impl Bus for News {
    type Event = String;
    type Query = String;
    type Answer = String;
}

/// Writes down what it hears, and does as the event says that begins with its name.
#[derive(Debug)]
struct Reader {
    name: String,
    log: Log,
}

impl Reader {
    fn writes(&self, line: &str) {
        self.log
            .lock()
            .unwrap_or_else(|log| log.into_inner())
            .push(format!("{}: {line}", self.name));
    }

    fn obeys(&self, order: &str) -> Handled {
        match order.strip_prefix(&format!("{} ", self.name)) {
            Some("panics") => panic!("oh"),
            Some("goes") => Handled::Remove,
            Some("swaps") => {
                Handled::Swap { args: b"bye".to_vec(), by: id("b"), by_args: b"hi".to_vec() }
            }
            Some("swaps badly") => {
                Handled::Swap { args: vec![], by: "nothing".into(), by_args: vec![] }
            }
            _ => Handled::Keep,
        }
    }
}

impl Handler<News> for Reader {
    fn handle_event(&mut self, event: &String, _: &mut ActorContext<'_>) -> Handled {
        self.writes(event);
        self.obeys(event)
    }

    fn handle_call(&mut self, query: String, _: &mut ActorContext<'_>) -> (String, Handled) {
        let handled = self.obeys(&query);
        (format!("{} was asked {query}", self.name), handled)
    }

    fn handle_info(&mut self, info: &Info, _: &mut ActorContext<'_>) -> Handled {
        if let Info::Message { payload, .. } = info {
            self.writes(&format!("info {}", String::from_utf8_lossy(payload)));
        }
        Handled::Keep
    }

    fn terminate(&mut self, why: Leaving, _: &mut ActorContext<'_>) -> Vec<u8> {
        self.writes(&format!("{why:?}"));
        assert!(why != Leaving::Deleted(b"panic".to_vec()), "at its end");
        format!("left by {}", self.name).into_bytes()
    }
}

/// A reader of this name.
fn id(name: &str) -> HandlerId {
    HandlerId { kind: "reader".into(), instance: Some(name.into()) }
}

/// A manager, alone.
struct Stage {
    solo: Solo<EventManagerProcess<News>>,
    log: Log,
}

impl Stage {
    /// With these readers, each of which was added after the one before.
    fn with<const N: usize>(names: [&str; N]) -> Self {
        let log = Log::default();
        let shared = Arc::clone(&log);
        let mut manager = EventManager::new().kind("reader", move |args, before| {
            let name = String::from_utf8_lossy(args).into_owned();
            match &*name {
                "nobody" => Err("nobody wants to read".to_string()),
                "panic" => panic!("in its beginning"),
                _ => {
                    let reader = Reader { name, log: Arc::clone(&shared) };
                    if let Some(before) = before {
                        reader.writes(&format!("after {}", String::from_utf8_lossy(&before)));
                    }
                    Ok(reader)
                }
            }
        });
        for name in names {
            manager = manager.with(id(name), name);
        }
        Self { solo: Solo::start(EventManagerProcess::new(manager)), log }
    }

    fn run(&mut self) {
        while step_caught(&mut self.solo) {}
    }

    fn tell(&mut self, event: &str) {
        let cast = ServerRef::<EventManager<News>>::write_cast(&event.to_string()).unwrap();
        self.solo.message(cast);
        self.run();
    }

    fn asked(&mut self, ask: Ask<String, String>) -> ReplyTo {
        self.solo.request(ServerRef::<EventManager<News>>::write_call(&ask).unwrap())
    }

    fn ask(&mut self, ask: Ask<String, String>) -> Answer<String> {
        let request = self.asked(ask);
        self.run();
        let reply = self.solo.take_reply(request).unwrap().unwrap();
        ServerRef::<EventManager<News>>::read_reply(&reply).unwrap()
    }

    fn add(&mut self, name: &str, supervised: bool) -> Answer<String> {
        self.ask(Ask::Add { handler: id(name), args: name.into(), supervised })
    }

    fn log(&self) -> Vec<String> {
        core::mem::take(&mut self.log.lock().unwrap())
    }

    fn names(&mut self) -> Vec<String> {
        match self.ask(Ask::Which) {
            Answer::Handlers(ids) => ids.into_iter().filter_map(|id| id.instance).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// What owners were told.
    fn exits(&mut self) -> Vec<HandlerExit> {
        let owner = Target::Process(self.solo.other());
        let effects = self.solo.take_effects().into_iter();
        let sent = effects.filter_map(|effect| match effect {
            Effect::Send(send) => {
                assert_eq!(send.destination, crate::wire::Destination::of(&owner));
                postcard::from_bytes(&send.payload).ok()
            }
            _ => None,
        });
        sent.collect()
    }
}

const DONE: Answer<String> = Answer::Done(Ok(()));

#[test]
fn the_newest_hears_of_an_event_first() {
    let mut stage = Stage::with(["a", "b"]);
    assert_eq!(stage.add("c", false), DONE);
    stage.tell("x");
    stage.solo.message("raw");
    stage.run();
    let expected = ["c: x", "b: x", "a: x", "c: info raw", "b: info raw", "a: info raw"];
    assert_eq!(stage.log(), expected);
    assert_eq!(stage.names(), ["c", "b", "a"]);
}

#[test]
fn whoever_notifies_and_waits_is_answered_once_all_know() {
    let mut stage = Stage::with(["a", "b"]);
    assert_eq!(stage.ask(Ask::Notify("x".into())), DONE);
    assert_eq!(stage.log(), ["b: x", "a: x"]);
    assert_eq!(stage.ask(Ask::Notify("b panics".into())), DONE, "those that are left");
}

#[test]
fn one_that_panics_is_removed_and_the_others_hear_of_the_event() {
    let mut stage = Stage::with(["a", "b", "c"]);
    stage.tell("b panics");
    let expected = ["c: b panics", "b: b panics", "b: Crashed(panicked: oh)", "a: b panics"];
    assert_eq!(stage.log(), expected);
    assert_eq!(stage.names(), ["c", "a"]);
    assert_eq!(stage.solo.ended(), None);
}

#[test]
fn one_that_panics_when_it_is_asked_is_removed_and_whoever_asked_is_told() {
    let mut stage = Stage::with(["a", "b"]);
    let answered = stage.ask(Ask::Query(id("a"), "what?".into()));
    assert_eq!(answered, Answer::Answered(Ok("a was asked what?".into())));
    let crashed = HandlerError::Crashed(ExitReason::panicked("oh"));
    assert_eq!(stage.ask(Ask::Query(id("a"), "a panics".into())), Answer::Answered(Err(crashed)));
    let nobody = stage.ask(Ask::Query(id("a"), "what?".into()));
    assert_eq!(nobody, Answer::Answered(Err(HandlerError::NotFound)));
    stage.ask(Ask::Query(id("b"), "b goes".into()));
    assert_eq!(stage.names(), Vec::<String>::new());
}

#[test]
fn handlers_are_added_by_name_and_may_refuse() {
    let mut stage = Stage::with([]);
    let refused = HandlerError::Refused("nobody wants to read".into());
    assert_eq!(stage.add("nobody", false), Answer::Done(Err(refused)));
    let unknown = Ask::Add { handler: "nothing".into(), args: vec![], supervised: false };
    assert_eq!(stage.ask(unknown), Answer::Done(Err(HandlerError::UnknownKind)));
    let crashed = HandlerError::Crashed(ExitReason::panicked("in its beginning"));
    assert_eq!(stage.add("panic", false), Answer::Answered(Err(crashed)));
    stage.add("a", false);
    stage.add("a", false);
    assert_eq!(stage.names(), ["a", "a"], "two of one name are two");
}

#[test]
fn whoever_deletes_one_is_told_what_its_terminate_returned() {
    let mut stage = Stage::with(["a", "b"]);
    let delete = |name: &str, args: &[u8]| Ask::Delete { handler: id(name), args: args.into() };
    assert_eq!(stage.ask(delete("a", b"x")), Answer::Deleted(Ok(b"left by a".to_vec())));
    assert_eq!(stage.log(), ["a: Deleted([120])"]);
    assert_eq!(stage.ask(delete("a", b"x")), Answer::Deleted(Err(HandlerError::NotFound)));
    let crashed = HandlerError::Crashed(ExitReason::panicked("at its end"));
    assert_eq!(stage.ask(delete("b", b"panic")), Answer::Answered(Err(crashed)));
    assert_eq!(stage.names(), Vec::<String>::new());
}

#[test]
fn one_in_the_place_of_another_is_given_what_that_left() {
    let mut stage = Stage::with(["a", "b", "c"]);
    stage.tell("b swaps");
    let log = stage.log();
    assert_eq!(log[2..4], ["b: Swapped([98, 121, 101])", "hi: after left by b"]);
    assert_eq!(stage.names(), ["c", "b", "a"], "in its place");
    let swap = |handler: &str| Ask::Swap {
        handler: id(handler),
        args: vec![],
        by: id("d"),
        by_args: b"d".to_vec(),
        supervised: false,
    };
    assert_eq!(stage.ask(swap("a")), DONE);
    assert_eq!(stage.log(), ["a: Swapped([])", "d: after left by a"]);
    assert_eq!(stage.ask(swap("nowhere")), DONE);
    assert_eq!(stage.log(), Vec::<String>::new(), "there was nothing left");
    assert_eq!(stage.names(), ["d", "d", "c", "b"]);
    stage.tell("c swaps badly");
    assert_eq!(stage.names(), ["d", "d", "b"]);
}

#[test]
fn an_owner_is_told_of_the_end_of_its_handler() {
    let mut stage = Stage::with([]);
    for name in ["a", "b", "c"] {
        assert_eq!(stage.add(name, true), DONE);
    }
    stage.exits();
    stage.tell("a goes");
    stage.tell("b panics");
    stage.tell("c swaps badly");
    let why = [Leaving::Removed, Leaving::Crashed(ExitReason::panicked("oh")), Leaving::Removed];
    let told: Vec<_> = stage.exits().into_iter().map(|exit| exit.why).collect();
    assert_eq!(told, why);
}

#[test]
fn the_end_of_its_owner_removes_a_handler_wherever_that_runs() {
    let mut stage = Stage::with(["a"]);
    stage.add("b", true);
    let effects = stage.solo.take_effects();
    let [Effect::Act(ProcessAct::Monitor { number, target, .. })] = &effects[..] else {
        panic!("{effects:?}")
    };
    let reason = ExitReason::NoConnection;
    stage.solo.signal(Signal::Down { number: *number, target: target.clone(), reason, tag: 0 });
    stage.run();
    assert_eq!(stage.log(), ["b: OwnerEnded(no connection)"]);
    assert_eq!(stage.names(), ["a"]);
}

#[test]
fn at_the_end_all_terminate_whatever_one_of_them_does() {
    let mut stage = Stage::with(["a", "b"]);
    stage.solo.request(SystemRequest::Stop(ExitReason::Shutdown).write().unwrap());
    stage.run();
    assert_eq!(stage.log(), ["b: Stopped(shutdown)", "a: Stopped(shutdown)"]);
    assert_eq!(stage.solo.ended(), Some(&ExitReason::Shutdown));
}

#[test]
fn a_manager_whose_first_handlers_cannot_be_added_does_not_begin() {
    let stage = Stage::with(["a", "nobody"]);
    assert_eq!(stage.solo.ended().cloned(), ExitReason::other(b"nobody wants to read"));
}

#[test]
fn it_is_looked_into_as_all_behaviours_are() {
    let mut stage = Stage::with(["a"]);
    assert_eq!(ask_system::<Started>(&mut stage.solo, &SystemRequest::Start), Started::Running);
    let tracer = stage.solo.other();
    ask_system::<()>(&mut stage.solo, &SystemRequest::Trace(Some(tracer)));
    stage.tell("x");
    match &stage.solo.take_effects()[..] {
        [Effect::Send(send)] => {
            let event = TraceEvent::Cast("\"x\"".into());
            assert_eq!(postcard::from_bytes::<TraceEvent>(&send.payload), Ok(event));
        }
        other => panic!("{other:?}"),
    }
    let bad = stage.solo.request(&b"\x00\xFF"[..]);
    stage.run();
    assert_eq!(stage.solo.take_reply(bad), Some(Err(Failure::NotUnderstood)));
}

#[test]
fn a_handler_that_panics_is_reported_with_what_it_was_told() {
    let mut stage = Stage::with(["a", "b"]);
    stage.tell("b panics");
    stage.ask(Ask::Query(id("a"), "a panics".into()));
    let reports = reports(&mut stage.solo);
    let [first, second] = &reports[..] else { panic!("{reports:?}") };
    let handling = |report: &Report| match report {
        Report::HandlerCrashed { handler, handling, .. } => {
            assert_eq!(report.severity(), Severity::Error);
            (handler.instance.clone(), handling.clone())
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(handling(first), (Some("b".into()), Some("\"b panics\"".into())));
    assert_eq!(handling(second), (Some("a".into()), None));
}
